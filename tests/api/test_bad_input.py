"""Bodies that are refused: not JSON, or against the contract; nothing written, nothing echoed."""

import pytest

from tests.factories import order_request, unique

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("api", "method", "path"),
    [
        ("customers_api", "POST", "/auth/token"),
        ("orders_api", "POST", "/products"),
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


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"customer_id": 0}, "#/customer_id", "minimum"),
        ({"customer_id": 2**63}, "#/customer_id", "maximum"),
        ({"customer_id": 1.5}, "#/customer_id", "type"),
        ({"items": []}, "#/items", "min_items"),
        ({"items": [{"product_id": 1, "qty": 1}] * 101}, "#/items", "max_items"),
        ({"items": [{"product_id": 1, "qty": 0}]}, "#/items/0/qty", "minimum"),
        ({"items": [{"product_id": 1, "qty": 100_001}]}, "#/items/0/qty", "maximum"),
        ({"items": [{"product_id": 1, "qty": 1e-18}]}, "#/items/0/qty", "type"),
        ({"items": [{"product_id": 1, "qty": 1}, {"product_id": 1}]}, "#/items/1/qty", "required"),
        (
            {"items": [{"product_id": 1, "qty": 1, "unit_price_cents": 1}]},
            "#/items/0/unit_price_cents",
            "additional_properties",
        ),
        ({"customer_reference": "x" * 65}, "#/customer_reference", "max_length"),
        ({"customer_reference": "P\nO"}, "#/customer_reference", "pattern"),
        ({"status": "CONFIRMED"}, "#/status", "additional_properties"),
    ],
)
def test_order_against_the_contract_is_400_with_its_place(
    orders_api, factory, refused, stub_customers, changes, pointer, code
):
    request = order_request(factory.make_customer(), (factory.make_product(), 1)) | changes

    response = refused((400, "invalid_request"), orders_api.post, "/orders", json=request)

    assert (pointer, code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}
    assert stub_customers.calls == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "refusedvalue\nx"),
        ("email", "refusedvalue"),
        ("email", "é@refusedvalue.test"),
        ("email", "a b@refusedvalue.test"),
        ("email", "a@refusedvalue..test"),
        ("phone", "refusedvalue"),
        ("phone", "+1refusedvalue" + "9" * 40),
        ("name", {"refusedvalue": "refusedvalue"}),
    ],
)
def test_refused_value_is_never_echoed(customers_api, refused, field, value):
    request = {"name": "A", "email": f"{unique('a')}@example.test", field: value}

    response = refused((400, "invalid_request"), customers_api.post, "/customers", json=request)

    assert "refusedvalue" not in response.text
