"""The story that all examples tell: ACME orders two laptops and a monitor, confirms, and cancels.

A chapter is a function that brings the data to where it ends. For each operation there is a
request that succeeds: after which chapter, at which moment, and what it needs beside its path.
"""

from dataclasses import dataclass, field
from datetime import datetime

from tests.contract.documents import operation_of
from tests.contract.world import Call

LOGGED_IN_AT = datetime(2026, 11, 25, 3, 4, 12)
OPENED_AT = datetime(2026, 11, 25, 3, 5)
DELIVERED_AT = datetime(2026, 11, 25, 3, 8, 41, 70211)
ORDERED_AT = datetime(2026, 11, 25, 3, 10, 30, 123456)
CONFIRMED_AT = datetime(2026, 11, 25, 3, 11, 5, 204817)
ORDERED_AGAIN_AT = datetime(2026, 11, 25, 3, 14, 2, 650938)
CANCELED_AT = datetime(2026, 11, 25, 3, 16, 48, 918230)
PHONE_CHANGED_AT = datetime(2026, 11, 25, 3, 30, 12, 482913)
# The orchestrator's confirmation follows on its creation.
CONFIRMED_AT_ONCE_AT = datetime(2026, 11, 25, 3, 10, 30, 204817)


def nothing(world):
    """Nobody has added anything yet."""
    world.empty()


def stocked(world):
    """The demo data: ACME is customer 1, of product 1 there are ten, of product 2 five."""
    world.empty()
    world.seed(OPENED_AT)


def ordered(world):
    """ACME has order 1."""
    stocked(world)
    _act(world, ORDERED_AT, call("orders", "create_order"), "2f1c9a7e5b3d4860a1c2e4f6b8d0a3c5")


def confirmed(world):
    """Order 1 is confirmed."""
    ordered(world)
    _act(world, CONFIRMED_AT, call("orders", "confirm_order"), "90b4d6f8a2c14e37b5d7f9e1c3a5b7d9")


def ordered_again(world):
    """ACME also has order 2, which is the same by mistake."""
    confirmed(world)
    _act(world, ORDERED_AGAIN_AT, call("orders", "create_order", "no_reference"), "5d7f9b1c3e8046a2b4c6d8e0f2a4b6c8")


def canceled(world):
    """Order 1 is canceled."""
    ordered_again(world)
    _act(world, CANCELED_AT, call("orders", "cancel_order"), "c6e8a0b2d4f64185937b1d3f5a7c9e0b")


def _act(world, moment, act, request_id):
    world.clock.set(moment)
    answer = world.send(act.but(headers={"X-Request-ID": request_id}))
    assert answer.status in (200, 201), answer


@dataclass(frozen=True)
class Occasion:
    """When an operation succeeds: after a chapter, at moments of its own, with these headers."""

    chapter: object = stocked
    moments: tuple = (ORDERED_AT,)
    headers: dict = field(default_factory=dict)


_PATH = {"customer_id": 1, "product_id": 1, "order_id": 1}
_USUAL = Occasion()
_OCCASIONS = {
    "issue_token": Occasion(stocked, (LOGGED_IN_AT,)),
    "create_customer": Occasion(nothing, (OPENED_AT,)),
    "update_customer": Occasion(stocked, (PHONE_CHANGED_AT,)),
    "create_product": Occasion(nothing, (OPENED_AT,)),
    "update_product": Occasion(stocked, (DELIVERED_AT,)),
    "create_order": Occasion(stocked, (ORDERED_AT,)),
    "list_orders": Occasion(ordered_again, (CANCELED_AT,)),
    "get_order": Occasion(ordered, (ORDERED_AT,)),
    "confirm_order": Occasion(ordered, (CONFIRMED_AT,), {"X-Idempotency-Key": "confirm-2026-118"}),
    "cancel_order": Occasion(ordered_again, (CANCELED_AT,)),
    "list_order_events": Occasion(canceled, (CANCELED_AT,)),
    "log_in_documentation": Occasion(stocked, (LOGGED_IN_AT,)),
    "create_and_confirm_order": Occasion(stocked, (ORDERED_AT, CONFIRMED_AT_ONCE_AT)),
}


def call(document, operation, example=None):
    """Return the request that succeeds, about customer, product and order 1; its body is an example of the document."""
    method, path, definition = operation_of(document, operation)
    schemes = {scheme for requirement in definition["security"] for scheme in requirement}
    return Call(
        document,
        operation,
        method.upper(),
        path.format(**_PATH),
        token="operator" if "operatorToken" in schemes else "service" if schemes else None,
        body=_body(definition, example),
        headers=_OCCASIONS.get(operation, _USUAL).headers,
    )


def _body(definition, example):
    if "requestBody" not in definition:
        return None
    examples = definition["requestBody"]["content"]["application/json"]["examples"]
    return examples[example or next(iter(examples))]["value"]


def prepare(world, operation):
    """Bring data and time to where the operation succeeds."""
    occasion = _OCCASIONS.get(operation, _USUAL)
    world.begin(occasion.chapter)
    world.clock.set(*occasion.moments)


def request_id(example):
    """Return the header that gives an answer the request id of an example, where the example has one."""
    return {"X-Request-ID": example["request_id"]} if example and "request_id" in example else {}
