"""Scopes, the two kinds of callers, and the name that the audit trail shows."""

import dataclasses

import pytest

from tests.contract_client import refusal
from tests.factories import order_request, unique

OTHER_TOKEN = "another-service-token-0123456789abcdef"

CUSTOMER_WRITES = [("POST", "/customers"), ("PUT", "/customers/1"), ("DELETE", "/customers/1")]
CUSTOMER_READS = [("GET", "/customers"), ("GET", "/customers/1")]
PRODUCT_ROUTES = [("GET", "/products"), ("POST", "/products"), ("GET", "/products/1"), ("PATCH", "/products/1")]
ORDER_WRITES = [("POST", "/orders"), ("POST", "/orders/1/confirm"), ("POST", "/orders/1/cancel")]
ORDER_READS = ["/orders", "/orders/{id}", "/orders/{id}/events"]


@pytest.fixture
def order(factory, settings):
    return factory.make_order(settings)


@pytest.mark.parametrize(("method", "path"), CUSTOMER_WRITES)
def test_viewer_may_not_write_customers(customers_api, make_token, refused, method, path):
    response = refused(
        (403, "insufficient_scope"), customers_api.request, method, path, token=make_token(role="viewer")
    )

    assert (
        response.headers["WWW-Authenticate"]
        == 'Bearer realm="b2b", error="insufficient_scope", scope="customers:write"'
    )


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/products", "products:write"),
        ("PATCH", "/products/1", "products:write"),
        *((method, path, "orders:write") for method, path in ORDER_WRITES),
    ],
)
def test_viewer_may_not_write_products_and_orders(orders_api, make_token, refused, method, path, scope):
    response = refused((403, "insufficient_scope"), orders_api.request, method, path, token=make_token(role="viewer"))

    assert response.headers["WWW-Authenticate"] == f'Bearer realm="b2b", error="insufficient_scope", scope="{scope}"'


@pytest.mark.parametrize("path", ["/customers", "/customers/{id}"])
def test_viewer_reads_customers(customers_api, make_token, factory, path):
    customer = factory.make_customer()

    response = customers_api.get(path.format(**customer), token=make_token(role="viewer"))

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/products", "/products/{id}"])
def test_viewer_reads_products(orders_api, make_token, factory, path):
    product = factory.make_product()

    response = orders_api.get(path.format(**product), token=make_token(role="viewer"))

    assert response.status_code == 200


@pytest.mark.parametrize("path", ORDER_READS)
def test_viewer_and_service_read_orders(orders_api, make_token, service_token, order, path):
    by_viewer = orders_api.get(path.format(**order), token=make_token(role="viewer"))
    by_service = orders_api.get(path.format(**order), token=service_token)

    assert (by_viewer.status_code, by_service.status_code) == (200, 200)
    assert by_viewer.content == by_service.content


def test_admin_may_do_what_an_operator_may(orders_api, make_token):
    product = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1, "stock": 1}

    response = orders_api.post("/products", json=product, token=make_token(role="admin"))

    assert response.status_code == 201


def test_operator_may_not_use_the_internal_route(customers_api, factory):
    customer = factory.make_customer()

    response = customers_api.get(f"/internal/customers/{customer['id']}")

    assert refusal(response) == (403, "caller_not_allowed")
    assert customer["email"] not in response.text


@pytest.mark.parametrize(("method", "path"), CUSTOMER_READS + CUSTOMER_WRITES)
def test_service_token_may_not_use_customers(customers_api, service_token, refused, method, path):
    refused((403, "caller_not_allowed"), customers_api.request, method, path, token=service_token)


@pytest.mark.parametrize(("method", "path"), PRODUCT_ROUTES)
def test_service_token_may_not_use_products(orders_api, service_token, refused, method, path):
    refused((403, "caller_not_allowed"), orders_api.request, method, path, token=service_token)


def test_previous_service_token_is_accepted(make_orders_api, settings, service_token):
    rotated = dataclasses.replace(settings, service_tokens=(OTHER_TOKEN, service_token))

    assert make_orders_api(settings=rotated).get("/orders", token=service_token).status_code == 200


def test_service_token_that_was_rotated_away_is_refused(make_orders_api, settings, service_token):
    rotated = dataclasses.replace(settings, service_tokens=(OTHER_TOKEN,))

    response = make_orders_api(settings=rotated).get("/orders", token=service_token)

    assert refusal(response) == (401, "invalid_token")


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "x"])
def test_almost_the_service_token_is_refused(orders_api, service_token, change):
    response = orders_api.get("/orders", token=change(service_token))

    assert refusal(response) == (401, "invalid_token")


def events_of(orders_api, order):
    return orders_api.get(f"/orders/{order['id']}/events").json["data"]


def test_audit_trail_names_the_operator(orders_api, factory, make_token):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    order = orders_api.post("/orders", json=request, token=make_token("maria")).json

    assert [event["actor"] for event in events_of(orders_api, order)] == ["maria"]


def test_audit_trail_names_the_operator_that_a_program_acts_for(orders_api, factory, service_token):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    order = orders_api.post("/orders", json=request, token=service_token, headers={"X-On-Behalf-Of": "maria"}).json

    assert [event["actor"] for event in events_of(orders_api, order)] == ["maria"]


def test_audit_trail_says_service_when_a_program_names_nobody(orders_api, factory, service_token):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    order = orders_api.post("/orders", json=request, token=service_token).json

    assert [event["actor"] for event in events_of(orders_api, order)] == ["service"]


def test_operator_can_not_act_for_another_operator(orders_api, factory, make_token):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    headers = {"X-On-Behalf-Of": "maria"}

    order = orders_api.post("/orders", json=request, token=make_token("demo"), headers=headers).json

    assert [event["actor"] for event in events_of(orders_api, order)] == ["demo"]


@pytest.mark.parametrize("name", ["a b", "x" * 65, "a;b", "é"])
def test_malformed_name_to_act_for_is_400_and_takes_nothing(orders_api, factory, service_token, refused, name):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    response = refused(
        (400, "invalid_request"),
        orders_api.post,
        "/orders",
        json=request,
        token=service_token,
        headers={"X-On-Behalf-Of": name},
    )

    assert response.json["errors"][0]["pointer"] == "header:X-On-Behalf-Of"


@pytest.mark.parametrize("name", ["service", "system"])
def test_names_that_the_audit_trail_reserves_can_not_be_acted_for(orders_api, factory, service_token, refused, name):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    refused(
        (400, "invalid_request"),
        orders_api.post,
        "/orders",
        json=request,
        token=service_token,
        headers={"X-On-Behalf-Of": name},
    )
