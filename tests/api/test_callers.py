"""Scopes, the two kinds of callers, and the name that the audit trail shows."""

import dataclasses
import logging

import pytest

from tests.contract_client import refusal
from tests.factories import order_request

OTHER_TOKEN = "another-service-token-0123456789abcdef"
NOT_FOR_THIS_CALLER = (403, "caller_not_allowed")

WRITES = [
    ("customers_api", "POST", "/customers"),
    ("customers_api", "PUT", "/customers/1"),
    ("customers_api", "DELETE", "/customers/1"),
    ("orders_api", "POST", "/products"),
    ("orders_api", "PATCH", "/products/1"),
    ("orders_api", "POST", "/orders"),
    ("orders_api", "POST", "/orders/1/confirm"),
    ("orders_api", "POST", "/orders/1/cancel"),
]
NOT_FOR_PROGRAMS = [
    *WRITES[:5],
    ("customers_api", "GET", "/customers"),
    ("customers_api", "GET", "/customers/1"),
    ("orders_api", "GET", "/products"),
    ("orders_api", "GET", "/products/1"),
]


def test_each_403_is_a_line_in_the_log(orders_api, customers_api, make_token, service_token, caplog):
    with caplog.at_level(logging.WARNING):
        orders_api.post("/products", json={}, token=make_token("eve", "viewer"))
        customers_api.get("/customers", token=service_token)
        orders_api.get("/orders", token=service_token, headers={"X-On-Behalf-Of": "nobody"})

    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert lines == [
        "create_product refused: eve has no scope products:write",
        "list_customers refused: service is no caller of it",
        "a program was refused: it names no operator",
    ]


@pytest.mark.parametrize(("api", "method", "path"), WRITES)
def test_viewer_may_not_write(request, make_token, refused, api, method, path):
    send = request.getfixturevalue(api).request

    response = refused((403, "insufficient_scope"), send, method, path, token=make_token(role="viewer"))

    scope = path.split("/")[1] + ":write"
    assert response.headers["WWW-Authenticate"] == f'Bearer realm="b2b", error="insufficient_scope", scope="{scope}"'


def test_viewer_reads_all_and_a_program_reads_orders(
    customers_api, orders_api, make_token, service_token, factory, settings
):
    order, token = factory.make_order(settings), make_token(role="viewer")
    paths = ["/products", f"/products/{order['items'][0]['product_id']}"]
    both = ["/orders", f"/orders/{order['id']}", f"/orders/{order['id']}/events"]

    answers = [customers_api.get(path, token=token) for path in ("/customers", f"/customers/{order['customer_id']}")]
    answers += [orders_api.get(path, token=token) for path in paths + both]
    answers += [orders_api.get(path, token=service_token) for path in both]

    assert {answer.status_code for answer in answers} == {200}


def test_operator_may_not_use_the_internal_route(customers_api, factory):
    customer = factory.make_customer()

    response = customers_api.get(f"/internal/customers/{customer['id']}")

    assert refusal(response) == NOT_FOR_THIS_CALLER
    assert customer["email"] not in response.text


@pytest.mark.parametrize(("api", "method", "path"), NOT_FOR_PROGRAMS)
def test_service_token_may_not_use_customers_and_products(request, service_token, refused, api, method, path):
    refused(NOT_FOR_THIS_CALLER, request.getfixturevalue(api).request, method, path, token=service_token)


def test_previous_service_token_is_accepted(make_orders_api, settings, service_token):
    rotated = dataclasses.replace(settings, service_tokens=(OTHER_TOKEN, service_token))

    assert make_orders_api(settings=rotated).get("/orders", token=service_token).status_code == 200


@pytest.mark.parametrize("change", [str.upper, lambda token: token[:-1], lambda token: token + "x"])
def test_almost_the_service_token_is_refused(orders_api, service_token, change):
    assert refusal(orders_api.get("/orders", token=change(service_token))) == (401, "invalid_token")


def actor_of_a_new_order(api, factory, token, **headers):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    order = api.post("/orders", json=request, token=token, headers=headers).json
    (event,) = api.get(f"/orders/{order['id']}/events").json["data"]
    return event["actor"]


def test_audit_trail_names_the_operator_and_whom_a_program_acts_for(
    orders_api, factory, make_token, service_token, known_operator
):
    headers = {"X-On-Behalf-Of": known_operator}
    assert actor_of_a_new_order(orders_api, factory, make_token("maria")) == "maria"
    assert actor_of_a_new_order(orders_api, factory, service_token, **headers) == known_operator
    assert actor_of_a_new_order(orders_api, factory, service_token) == "service"


def test_operator_can_not_act_for_another_operator(orders_api, factory, make_token):
    assert actor_of_a_new_order(orders_api, factory, make_token("demo"), **{"X-On-Behalf-Of": "maria"}) == "demo"


@pytest.mark.parametrize("name", ["a b", "x" * 65, "é"])
def test_no_operators_name_can_be_acted_for(orders_api, service_token, refused, name):
    headers = {"X-On-Behalf-Of": name}

    response = refused((400, "invalid_request"), orders_api.post, "/orders", token=service_token, headers=headers)

    assert response.json["errors"][0]["pointer"] == "header:X-On-Behalf-Of"


@pytest.mark.parametrize("name", ["service", "System", "nobody", "DEMO"])
def test_a_name_that_is_no_operators_can_not_be_acted_for(orders_api, service_token, refused, name):
    headers = {"X-On-Behalf-Of": name}

    refused((403, "caller_not_allowed"), orders_api.get, "/orders", token=service_token, headers=headers)


def test_program_acts_for_an_operator_within_the_scopes_of_its_role(orders_api, service_token, factory, refused):
    headers = {"X-On-Behalf-Of": factory.make_operator("seven-brown-pallets", role="viewer")}

    assert orders_api.get("/orders", token=service_token, headers=headers).status_code == 200
    refused((403, "insufficient_scope"), orders_api.post, "/orders", token=service_token, headers=headers)
