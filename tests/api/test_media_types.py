"""The body's media type, length and size."""

import gzip
import json

import pytest

from tests.factories import unique

JSON = {"Content-Type": "application/json"}
CHUNKED = {**JSON, "Transfer-Encoding": "chunked"}
MAX_BODY_BYTES = 65_536


@pytest.fixture
def product():
    return {"sku": unique("SKU"), "name": "Keyboard", "price_cents": 4900, "stock": 3}


PATHS = ["/products", "/orders", "/orders/1/confirm", "/orders/1/cancel"]
OTHER_TYPES = ["text/plain", "", "application/problem+json", "application/json; charset=latin1", "application/json, b"]


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize("path", PATHS)
def test_wrong_content_type_is_415(orders_api, refused, path, content_type):
    headers = {"Content-Type": content_type, "X-Idempotency-Key": unique("key")}

    refused((415, "unsupported_media_type"), orders_api.post, path, body=b"{}", headers=headers)


@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"']
)
def test_json_in_utf_8_is_accepted_however_it_is_written(orders_api, product, content_type):
    response = orders_api.post("/products", body=json.dumps(product).encode(), headers={"Content-Type": content_type})

    assert response.status_code == 201


@pytest.mark.parametrize(("path", "length"), [*((path, JSON) for path in PATHS), ("/products", CHUNKED)])
def test_body_one_byte_too_large_is_413(orders_api, refused, path, length):
    headers = {**length, "X-Idempotency-Key": unique("key")}

    refused((413, "payload_too_large"), orders_api.post, path, body=b" " * (MAX_BODY_BYTES + 1), headers=headers)


@pytest.mark.parametrize("headers", [JSON, CHUNKED], ids=["length", "chunked"])
def test_body_of_the_largest_size_is_accepted(orders_api, product, headers):
    body = json.dumps(product).encode().ljust(MAX_BODY_BYTES)

    assert orders_api.post("/products", body=body, headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/products", "/orders"])
def test_compressed_body_is_415(orders_api, refused, path):
    headers = {**JSON, "Content-Encoding": "gzip"}

    refused((415, "unsupported_media_type"), orders_api.post, path, body=gzip.compress(b"{}"), headers=headers)
