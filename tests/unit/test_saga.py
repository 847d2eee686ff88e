"""The saga on a clock of its own: retries until the deadline, never a blind compensation."""

import json

import pytest

from common.problems import UpstreamTimeout
from lambda_orchestrator.clients import Done, Refused, Unknown
from lambda_orchestrator.saga import MIN_CALL_SECONDS, StepRefused
from tests.unit.conftest import (
    CALL_HEADERS,
    CONFIRMED,
    CREATED,
    CUSTOMER,
    DEADLINE,
    ORDER_TO_CONFIRM,
    FakeService,
    make_order,
    make_problem,
    paths,
)


def test_order_is_created_and_confirmed_with_the_callers_key(run, time):
    orders, customers = FakeService(time, CREATED, CONFIRMED), FakeService(time, Done(CUSTOMER, False))

    customer, order, replayed = run(orders, customers)

    assert customer == CUSTOMER
    assert order == {name: value for name, value in make_order("CONFIRMED").items() if name != "customer"}
    assert replayed is False
    assert paths(customers) == ["/internal/customers/1"]
    assert paths(orders) == ["/orders", "/orders/7/confirm"]
    assert [call["body"] for call in orders.calls] == [
        {"customer_id": 1, "items": ORDER_TO_CONFIRM["items"], "customer_reference": "PO-1"},
        {},
    ]
    assert [call["headers"] for call in orders.calls] == [{**CALL_HEADERS, "X-Idempotency-Key": "the-key"}] * 2


@pytest.mark.parametrize(("created", "confirmed"), [(False, False), (True, False), (False, True), (True, True)])
def test_replay_is_what_the_last_step_says(run, time, created, confirmed):
    orders = FakeService(time, Done(make_order(), created), Done(make_order("CONFIRMED"), confirmed))

    assert run(orders)[2] is confirmed


@pytest.mark.parametrize("outcome", [Refused(404, make_problem(404, "customer_not_found")), Unknown(), Unknown(True)])
def test_replay_needs_no_customer(run, time, outcome):
    orders = FakeService(time, Done(make_order(), True), Done(make_order("CONFIRMED"), True))

    customer, _, replayed = run(orders, FakeService(time, outcome))

    assert customer == CUSTOMER
    assert replayed is True


@pytest.mark.parametrize(
    ("code", "status", "step"),
    [
        ("customer_not_found", 404, "validate_customer"),
        ("product_not_found", 404, "create_order"),
        ("insufficient_stock", 409, "create_order"),
        ("idempotency_key_reused", 422, "create_order"),
    ],
)
def test_refused_creation_is_handed_on_whole_and_nothing_else_is_called(run, time, code, status, step):
    problem = make_problem(status, code, order_id=7, of_a_later_version={"a": None})
    orders = FakeService(time, Refused(status, {**problem, "retryable": True, "success": True}, {"Retry-After": "3"}))

    with pytest.raises(StepRefused) as caught:
        run(orders)

    assert caught.value.to_document("abc") == {**problem, "step": step, "retryable": False}
    assert caught.value.headers == {"Retry-After": "3"}
    assert paths(orders) == ["/orders"]


@pytest.mark.parametrize("unknowns", [1, 2, 5])
def test_unknown_outcome_is_repeated_with_the_same_key_and_body(run, time, unknowns):
    orders = FakeService(time, *[Unknown()] * unknowns, CREATED, *[Unknown(True)] * unknowns, CONFIRMED)

    run(orders)

    assert paths(orders) == ["/orders"] * (unknowns + 1) + ["/orders/7/confirm"] * (unknowns + 1)
    assert {call["headers"]["X-Idempotency-Key"] for call in orders.calls} == {"the-key"}
    assert len({json.dumps(call["body"]) for call in orders.calls}) == 2


def test_unknown_confirm_until_the_deadline_is_a_timeout_and_never_compensated(run, time):
    orders = FakeService(time, CREATED, Unknown(), seconds=0.5)

    with pytest.raises(UpstreamTimeout) as caught:
        run(orders)

    assert caught.value.members["step"] == "confirm_order"
    assert set(paths(orders)) == {"/orders", "/orders/7/confirm"}


def test_calls_never_outlast_the_deadline(run, time):
    orders = FakeService(time, Unknown(), seconds=4)

    with pytest.raises(UpstreamTimeout):
        run(orders)

    assert time.now <= DEADLINE
    assert all(call["timeout"] >= MIN_CALL_SECONDS for call in orders.calls)
    assert orders.calls[0]["timeout"] == DEADLINE
    assert orders.calls[-1]["timeout"] < orders.calls[0]["timeout"]


def test_slow_customers_leave_time_for_the_order(run, time):
    orders, customers = FakeService(time, CREATED, CONFIRMED), FakeService(time, Unknown(), seconds=4)

    run(orders, customers)

    assert len(customers.calls) == 1
    assert paths(orders) == ["/orders", "/orders/7/confirm"]


def test_every_unknown_outcome_is_logged(run, time, log_lines):
    run(FakeService(time, Unknown(reason="ReadTimeout"), CREATED, Unknown(True, "answered 200"), CONFIRMED))

    assert [
        (line["step"], line["attempt"], line["broken"], line["detail"]) for line in log_lines("outcome unknown")
    ] == [
        ("create_order", 1, False, "ReadTimeout"),
        ("confirm_order", 1, True, "answered 200"),
    ]
