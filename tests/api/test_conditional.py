"""Conditional requests: 304 for what the client holds, 412 for what has changed since."""

import pytest

from tests.contract_client import refusal


@pytest.fixture(params=["customer", "product", "order"])
def readable(request, customers_api, orders_api, factory, settings):
    """(client, path) of each kind of resource that has an entity tag."""
    made = {
        "customer": lambda: (customers_api, f"/customers/{factory.make_customer()['id']}"),
        "product": lambda: (orders_api, f"/products/{factory.make_product()['id']}"),
        "order": lambda: (orders_api, f"/orders/{factory.make_order(settings)['id']}"),
    }
    return made[request.param]()


@pytest.fixture(params=["put", "patch", "delete"])
def writable(request, customers_api, orders_api, factory):
    """(current entity tag, function that writes with the headers given)."""
    customer_path = f"/customers/{factory.make_customer()['id']}"
    product_path = f"/products/{factory.make_product()['id']}"
    made = {
        "put": (customers_api, "PUT", customer_path, {"phone": "555"}),
        "patch": (orders_api, "PATCH", product_path, {"stock_delta": 1}),
        "delete": (customers_api, "DELETE", customer_path, None),
    }
    api, method, path, body = made[request.param]
    tag = api.get(path).headers["ETag"]
    return tag, lambda if_match: api.request(method, path, json=body, headers={"If-Match": if_match})


@pytest.mark.parametrize("pattern", ["{tag}", "W/{tag}", "*", '"other", {tag}'])
def test_if_none_match_that_names_the_tag_is_304_without_a_body(readable, pattern):
    api, path = readable
    tag = api.get(path).headers["ETag"]

    response = api.get(path, headers={"If-None-Match": pattern.format(tag=tag)})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == tag
    assert tag.startswith('"')


def test_order_changes_the_tag_of_its_products(orders_api, factory, settings):
    product = factory.make_product()
    path = f"/products/{product['id']}"
    old = orders_api.get(path).headers["ETag"]
    factory.make_order(settings, items=[{"product_id": product["id"], "qty": 1}])

    assert orders_api.get(path, headers={"If-None-Match": old}).status_code == 200


@pytest.mark.parametrize("pattern", ["{tag}", "*", 'W/"other", {tag}'])
def test_if_match_that_names_the_tag_writes(writable, checksum, pattern):
    tag, write = writable
    before = checksum()

    response = write(pattern.format(tag=tag))

    assert response.status_code in (200, 204)
    assert checksum() != before


@pytest.mark.parametrize("pattern", ['"other"', "W/{tag}", "garbage"])
def test_if_match_that_does_not_name_the_tag_is_412_and_writes_nothing(writable, refused, pattern):
    tag, write = writable

    refused((412, "precondition_failed"), write, pattern.format(tag=tag))


def test_second_writer_with_the_same_tag_is_412(customers_api, factory):
    path = f"/customers/{factory.make_customer()['id']}"
    headers = {"If-Match": customers_api.get(path).headers["ETag"]}
    first = customers_api.put(path, json={"phone": "111"}, headers=headers)

    second = customers_api.put(path, json={"phone": "222"}, headers=headers)

    assert (first.status_code, refusal(second)) == (200, (412, "precondition_failed"))
    # The tag of the answer serves the next write.
    third = customers_api.put(path, json={"phone": "333"}, headers={"If-Match": first.headers["ETag"]})
    assert third.status_code == 200


def test_without_if_match_the_last_write_wins(customers_api, factory):
    path = f"/customers/{factory.make_customer()['id']}"
    customers_api.put(path, json={"phone": "111"})

    response = customers_api.put(path, json={"phone": "222"})

    assert response.status_code == 200
    assert customers_api.get(path).json["phone"] == "222"


def test_if_match_on_nothing_is_404(customers_api, refused):
    path, headers = "/customers/9223372036854775807", {"If-Match": '"1"'}

    refused((404, "customer_not_found"), customers_api.put, path, json={"phone": "555"}, headers=headers)


@pytest.mark.parametrize("value", ["é", "x" * 1001])
def test_malformed_if_match_is_400_and_writes_nothing(writable, refused, value):
    _, write = writable

    response = refused((400, "invalid_request"), write, value)

    assert response.json["errors"][0]["pointer"] == "header:If-Match"
