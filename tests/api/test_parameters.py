"""Query parameters that are against the contract."""

import pytest

from tests.contract_client import refusal


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "query:limit", "minimum"),
        ("limit=101", "query:limit", "maximum"),
        ("limit=abc", "query:limit", "type"),
        ("limit=%2B1", "query:limit", "type"),
        ("limit=1_0", "query:limit", "type"),
        ("limit=%D9%A1", "query:limit", "type"),
        ("customer_id=9223372036854775808", "query:customer_id", "maximum"),
        ("status=created", "query:status", "enum"),
        ("from=2026-11-25T03:10", "query:from", "format"),
        ("from=2026-13-25T03:10:30Z", "query:from", "format"),
        ("from=2026-02-30", "query:from", "format"),
        ("to=2026-11-25T03:10:30+02:00", "query:to", "format"),
        ("cursor=" + "A" * 201, "query:cursor", "max_length"),
        ("cursor=a%20b", "query:cursor", "pattern"),
        ("colour=red", "query:colour", "unknown"),
        ("Status=CREATED", "query:Status", "unknown"),
        ("a%2F%22%00" + "b" * 500, "query:a~1%22%00" + "b" * 60, "unknown"),
        ("%F0%9D%90%93" * 70, "query:" + "%F0%9D%90%93" * 64, "unknown"),
        ("limit=1&limit=", "query:limit", "repeated"),
        ("status=%FF%FE", "query", "malformed"),
        ("status=\u00ff", "query", "malformed"),
        ("&".join(["limit=1"] * 21), "query", "malformed"),
    ],
)
def test_parameter_against_the_contract_is_400_with_its_pointer(orders_api, query, pointer, code):
    response = orders_api.get("/orders", query_string=query)

    assert refusal(response) == (400, "invalid_request")
    assert (pointer, code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/products/1", "/orders/1", "/health", "/orders/1/events")),
        *(("POST", path) for path in ("/orders", "/products", "/orders/1/confirm", "/orders/1/cancel")),
    ],
)
def test_unknown_parameter_is_400_everywhere(orders_api, refused, method, path):
    response = refused((400, "invalid_request"), orders_api.request, method, path, query_string="colour=red")

    assert "red" not in response.text
    assert response.json["errors"][0]["pointer"] == "query:colour"
