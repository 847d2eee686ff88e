"""Bodies that are refused: not JSON, or against the contract; nothing written, nothing echoed."""

import json

import pytest

from tests.factories import order_request, unique

JSON = {"Content-Type": "application/json"}


MALFORMED = {
    "nothing": b"",
    "a space": b" ",
    "half an object": b'{"sku":',
    "NaN": b'{"price_cents":NaN}',
    "Infinity": b'{"price_cents":Infinity}',
    "-Infinity": b'{"price_cents":-Infinity}',
    "a name twice": b'{"sku":"A","sku":"B"}',
    "a name twice, once escaped": b'{"sku":"A","\\u0073ku":"B"}',
    "a name twice, further in": b'[{"a":{"b":1,"b":1}}]',
    "10,000 brackets deep": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a lone high surrogate": b'{"name":"\\ud83d"}',
    "a lone low surrogate": b'{"name":"\\ude00"}',
    "surrogates in the wrong order": b'{"name":"\\ude00\\ud83d"}',
    "a lone surrogate in a name": b'{"\\ud83d":1}',
    "a raw surrogate": b'{"name":"\xed\xa0\xbd"}',
    "bad UTF-8": b'{"name":"\xff"}',
    "overlong UTF-8": b'{"name":"\xc0\xaf"}',
    "Latin-1": '{"name":"é"}'.encode("latin-1"),
    "UTF-16": '{"name":"A"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name":"A"}',
    "single quotes": b"{'name':'A'}",
    "a comma at the end": b'{"name":"A",}',
    "a comment": b'{"name":"A"/* */}',
    "two documents": b'{"name":"A"}{"name":"A"}',
    "a leading zero": b'{"stock":01}',
    "a plus sign": b'{"stock":+1}',
    "a hexadecimal number": b'{"stock":0x1}',
    "a number of 5,000 digits": b'{"stock":' + b"9" * 5_000 + b"}",
    "a raw newline in a string": b'{"name":"a\nb"}',
    "a null byte": b'{"name":"A"}\x00',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_body_that_is_not_strict_json_is_400(orders_api, refused, body):
    refused((400, "malformed_json"), orders_api.post, "/products", body=body, headers=JSON)


@pytest.mark.parametrize(
    ("api", "method", "path"),
    [
        ("customers_api", "POST", "/auth/token"),
        ("customers_api", "POST", "/customers"),
        ("customers_api", "PUT", "/customers/1"),
        ("orders_api", "PATCH", "/products/1"),
        ("orders_api", "POST", "/orders"),
        ("orders_api", "POST", "/orders/1/confirm"),
        ("orders_api", "POST", "/orders/1/cancel"),
    ],
)
def test_every_operation_with_a_body_wants_strict_json(request, refused, api, method, path):
    headers = {**JSON, "X-Idempotency-Key": unique("key")}

    refused(
        (400, "malformed_json"), request.getfixturevalue(api).request, method, path, body=b'{"a":NaN}', headers=headers
    )


AGAINST_THE_CONTRACT = {
    "a float": ('{"price_cents":1.5}', "#/price_cents", "type"),
    "1.0 for an integer": ('{"price_cents":1.0}', "#/price_cents", "type"),
    "1e2 for an integer": ('{"price_cents":1e2}', "#/price_cents", "type"),
    "1e999": ('{"price_cents":1e999}', "#/price_cents", "type"),
    "-1e999": ('{"price_cents":-1e999}', "#/price_cents", "type"),
    "-0.0": ('{"stock":-0.0}', "#/stock", "type"),
    "true for an integer": ('{"stock":true}', "#/stock", "type"),
    "2^63": ('{"stock":9223372036854775808}', "#/stock", "maximum"),
    "-2^63-1": ('{"stock":-9223372036854775809}', "#/stock", "minimum"),
    "4,000 digits": ('{"stock":' + "9" * 4_000 + "}", "#/stock", "maximum"),
    "a newline at the end of a sku": ('{"sku":"A\\n"}', "#/sku", "pattern"),
    "a newline at the end of a name": ('{"name":"A\\n"}', "#/name", "pattern"),
    "a null character": ('{"name":"A\\u0000B"}', "#/name", "pattern"),
    "an escape character": ('{"name":"A\\u001bB"}', "#/name", "pattern"),
    "a delete character": ('{"name":"A\\u007fB"}', "#/name", "pattern"),
    "a tab": ('{"name":"A\\tB"}', "#/name", "pattern"),
    "a space before a name": ('{"name":" A"}', "#/name", "pattern"),
    "an object for a name": ('{"name":{"a":1}}', "#/name", "type"),
    "400 brackets for a name": ('{"name":' + "[" * 400 + "]" * 400 + "}", "#/name", "type"),
    "an unknown field": ('{"colour":"red"}', "#", "additional_properties"),
    "a missing field": ('{"sku":"A"}', "#/stock", "required"),
    "an array": ("[]", "#", "type"),
    "a string": ('"A"', "#", "type"),
    "null": ("null", "#", "type"),
    "a number": ("1e999", "#", "type"),
}


@pytest.mark.parametrize(("body", "pointer", "code"), AGAINST_THE_CONTRACT.values(), ids=AGAINST_THE_CONTRACT.keys())
def test_body_against_the_contract_is_400_with_its_place(orders_api, refused, body, pointer, code):
    response = refused((400, "invalid_request"), orders_api.post, "/products", body=body.encode(), headers=JSON)

    assert (pointer, code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"customer_id": 0}, "#/customer_id", "minimum"),
        ({"customer_id": 2**63}, "#/customer_id", "maximum"),
        ({"customer_id": "1"}, "#/customer_id", "type"),
        ({"customer_id": 1.0}, "#/customer_id", "type"),
        ({"items": []}, "#/items", "min_items"),
        ({"items": [{"product_id": 1, "qty": 1}] * 101}, "#/items", "max_items"),
        ({"items": {"product_id": 1, "qty": 1}}, "#/items", "type"),
        ({"items": [{"product_id": 1, "qty": 0}]}, "#/items/0/qty", "minimum"),
        ({"items": [{"product_id": 1, "qty": -1}]}, "#/items/0/qty", "minimum"),
        ({"items": [{"product_id": 1, "qty": 100_001}]}, "#/items/0/qty", "maximum"),
        ({"items": [{"product_id": 1, "qty": 1.0}]}, "#/items/0/qty", "type"),
        ({"items": [{"product_id": 1, "qty": 1}, {"product_id": 1}]}, "#/items/1/qty", "required"),
        ({"items": [{"product_id": 2**63, "qty": 1}]}, "#/items/0/product_id", "maximum"),
        ({"items": [{"product_id": 1, "qty": 1, "unit_price_cents": 1}]}, "#/items/0", "additional_properties"),
        ({"customer_reference": ""}, "#/customer_reference", "min_length"),
        ({"customer_reference": "x" * 65}, "#/customer_reference", "max_length"),
        ({"customer_reference": "PO\n"}, "#/customer_reference", "pattern"),
        ({"customer_reference": 7}, "#/customer_reference", "type"),
        ({"status": "CONFIRMED"}, "#", "additional_properties"),
        ({"total_cents": 1}, "#", "additional_properties"),
    ],
)
def test_order_against_the_contract_is_400_with_its_place(
    orders_api, factory, refused, stub_customers, changes, pointer, code
):
    request = order_request(factory.make_customer(), (factory.make_product(), 1)) | changes

    response = refused((400, "invalid_request"), orders_api.post, "/orders", json=request)

    assert (pointer, code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}
    assert stub_customers.calls == 0


def test_hundred_broken_lines_give_twenty_errors_at_most(orders_api, refused):
    request = {"customer_id": 1, "items": [{"product_id": 0, "qty": 0}] * 100}

    response = refused((400, "invalid_request"), orders_api.post, "/orders", json=request)

    assert len(response.json["errors"]) == 20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "refusedvalue\n"),
        ("email", "refusedvalue"),
        ("email", "refusedvalue@x"),
        ("email", "a@refusedvalue.test\n"),
        ("email", "é@refusedvalue.test"),
        ("email", "a b@refusedvalue.test"),
        ("email", "a@refusedvalue..test"),
        ("phone", "refusedvalue"),
        ("phone", "+1refusedvalue" + "9" * 40),
        ("refusedvalue", 1),
        ("name", {"refusedvalue": "refusedvalue"}),
        ("name", ["refusedvalue"]),
    ],
)
def test_refused_value_is_never_echoed(customers_api, refused, field, value):
    request = {"name": "A", "email": f"{unique('a')}@example.test", field: value}

    response = refused((400, "invalid_request"), customers_api.post, "/customers", json=request)

    assert "refusedvalue" not in response.text


@pytest.mark.parametrize("text", ["😀", "\U0010ffff", "a\u0301", "\u202e", "\ufeff"])
def test_any_character_but_control_characters_is_accepted_and_kept(orders_api, factory, text):
    request = order_request(factory.make_customer(), (factory.make_product(), 1), customer_reference="PO " + text)

    response = orders_api.post("/orders", json=request)

    assert response.status_code == 201
    assert orders_api.get(response.headers["Location"]).json["customer_reference"] == "PO " + text


def test_surrogate_pair_in_escapes_is_one_character(orders_api):
    product = {"sku": unique("SKU"), "name": "😀", "price_cents": 4900, "stock": 3}
    body = json.dumps(product, ensure_ascii=True).encode()

    response = orders_api.post("/products", body=body, headers=JSON)

    assert b"\\ud83d\\ude00" in body
    assert response.json["name"] == "😀"
