"""Fingerprints: equal for requests of equal meaning, different for all others."""

import pytest

from common.database import placeholders
from common.idempotency import fingerprint

BODY = {"customer_id": 1, "items": [{"product_id": 1, "qty": 2}, {"product_id": 2, "qty": 1}]}


def test_fingerprint_has_the_size_of_its_column():
    assert len(fingerprint("POST", "/orders", BODY)) == 32


def test_order_of_names_does_not_matter():
    same = {"items": [{"qty": 2, "product_id": 1}, {"qty": 1, "product_id": 2}], "customer_id": 1}

    assert fingerprint("POST", "/orders", same) == fingerprint("POST", "/orders", BODY)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/orders", BODY),
        ("POST", "/orders/1", BODY),
        ("POST", "/orders", {}),
        ("POST", "/orders", {**BODY, "customer_id": 2}),
        ("POST", "/orders", {**BODY, "customer_id": True}),
        ("POST", "/orders", {**BODY, "items": BODY["items"][::-1]}),
        ("POST", "/orders", {**BODY, "customer_reference": None}),
    ],
)
def test_any_other_request_differs(method, path, body):
    assert fingerprint(method, path, body) != fingerprint("POST", "/orders", BODY)


@pytest.mark.parametrize(("values", "text"), [([1], "%s"), ([1, 2, 3], "%s, %s, %s"), ((), "")])
def test_placeholders_are_one_for_each_value(values, text):
    assert placeholders(values) == text
