"""Query parameters that are against the contract."""

import pytest

from tests.contract_client import refusal


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "query:limit", "minimum"),
        ("limit=101", "query:limit", "maximum"),
        ("limit=-1", "query:limit", "minimum"),
        ("limit=abc", "query:limit", "type"),
        ("limit=1.0", "query:limit", "type"),
        ("limit=%2B1", "query:limit", "type"),
        ("limit=1_0", "query:limit", "type"),
        ("limit=%D9%A1", "query:limit", "type"),
        ("limit=99999999999999999999", "query:limit", "type"),
        ("customer_id=0", "query:customer_id", "minimum"),
        ("customer_id=9223372036854775808", "query:customer_id", "maximum"),
        ("customer_id=007", "query:customer_id", "type"),
        ("customer_id=-1", "query:customer_id", "minimum"),
        ("status=created", "query:status", "enum"),
        ("status=NONE", "query:status", "enum"),
        ("from=yesterday-or-the-day-before", "query:from", "format"),
        ("from=2026-11-25T03:10:30", "query:from", "min_length"),
        ("from=2026-11-25T03:10:30.1234567Z", "query:from", "format"),
        ("from=2026-13-25T03:10:30Z", "query:from", "format"),
        ("to=2026-11-25T03:10:30+02:00", "query:to", "format"),
        ("to=0001-01-01T00:00:00%2B02:00", "query:to", "format"),
        ("cursor=" + "A" * 201, "query:cursor", "max_length"),
        ("cursor=a%20b", "query:cursor", "pattern"),
        ("colour=red", "query", "unknown"),
        ("Status=CREATED", "query", "unknown"),
        ("=", "query", "unknown"),
        ("limit=1&limit=1", "query:limit", "repeated"),
        ("limit=1&limit=", "query:limit", "repeated"),
        ("status=%FF%FE", "query", "malformed"),
        ("&".join(["limit=1"] * 21), "query", "malformed"),
    ],
)
def test_parameter_against_the_contract_is_400_with_its_pointer(orders_api, query, pointer, code):
    response = orders_api.get("/orders", query_string=query)

    assert refusal(response) == (400, "invalid_request")
    assert (pointer, code) in {(error["pointer"], error["code"]) for error in response.json["errors"]}


@pytest.mark.parametrize("path", ["/products/1", "/orders/1", "/health", "/orders/1/events"])
def test_unknown_parameter_is_400_on_every_read(orders_api, path):
    response = orders_api.get(path, query_string="colour=red")

    assert refusal(response) == (400, "invalid_request")
    assert "red" not in response.text
    assert "colour" not in response.text


@pytest.mark.parametrize("path", ["/orders", "/products", "/orders/1/confirm", "/orders/1/cancel"])
def test_unknown_parameter_is_400_on_every_write(orders_api, refused, path):
    refused((400, "invalid_request"), orders_api.post, path, query_string="dry_run=true")
