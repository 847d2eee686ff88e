"""The saga on a clock of its own: retries until the deadline, never a blind compensation."""

import json

import pytest

from common.problems import UpstreamBroken, UpstreamTimeout
from lambda_orchestrator.clients import Done, Refused, Unknown
from lambda_orchestrator.saga import MIN_CALL_SECONDS, Saga, StepRefused, make_body
from tests.unit.conftest import CUSTOMER, make_order, make_problem

REQUEST = {
    "customer_id": 1,
    "items": [{"product_id": 3, "qty": 2}],
    "customer_reference": "PO-1",
    "idempotency_key": "the-key",
    "correlation_id": "the-correlation",
}
HEADERS = {"X-On-Behalf-Of": "maria", "X-Request-ID": "abc"}
CREATED = Done(make_order("CREATED"), False)
CONFIRMED = Done(make_order("CONFIRMED"), False)
CONFLICT = Refused(409, make_problem(409, "order_state_conflict"))
DEADLINE = 10.0


class FakeTime:
    """A clock that only sleeping and calls move."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class FakeService:
    """Gives scripted outcomes in turn, the last for ever; each call takes `seconds`."""

    def __init__(self, time, *outcomes, seconds=0.0):
        self.time, self.outcomes, self.seconds = time, list(outcomes), seconds
        self.calls = []

    def call(self, method, path, is_expected, headers, body=None, timeout=None):
        self.calls.append({"method": method, "path": path, "headers": headers, "body": body, "timeout": timeout})
        self.time.now += min(self.seconds, timeout)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def run(time):
    """`run(orders, …)` runs the saga against fake services and returns what it returns."""

    def run_saga(orders, customers=None, request=REQUEST, log=lambda **fields: None):
        customers = customers or FakeService(time, Done(CUSTOMER, False))
        saga = Saga(customers, orders, time.monotonic, time.sleep, jitter=lambda low, high: high)
        return saga.run(request, HEADERS, DEADLINE, log)

    return run_saga


def paths(service):
    return [call["path"] for call in service.calls]


def test_order_is_created_and_confirmed_with_the_callers_key(run, time):
    orders, customers = FakeService(time, CREATED, CONFIRMED), FakeService(time, Done(CUSTOMER, False))

    customer, order, replayed = run(orders, customers)

    assert customer == CUSTOMER
    assert order == {name: value for name, value in make_order("CONFIRMED").items() if name != "customer"}
    assert replayed is False
    assert paths(customers) == ["/internal/customers/1"]
    assert paths(orders) == ["/orders", "/orders/7/confirm"]
    assert [call["body"] for call in orders.calls] == [
        {"customer_id": 1, "items": REQUEST["items"], "customer_reference": "PO-1"},
        {},
    ]
    assert [call["headers"] for call in orders.calls] == [{**HEADERS, "X-Idempotency-Key": "the-key"}] * 2


def test_reference_that_is_absent_stays_absent(run, time):
    orders = FakeService(time, CREATED, CONFIRMED)

    run(orders, request={name: value for name, value in REQUEST.items() if name != "customer_reference"})

    assert orders.calls[0]["body"] == {"customer_id": 1, "items": REQUEST["items"]}


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
def test_refused_creation_is_passed_on_and_nothing_else_is_called(run, time, code, status, step):
    items = [{"product_id": 3, "sku": "A", "requested": 2, "available": 1}]
    orders = FakeService(time, Refused(status, make_problem(status, code, items=items)))

    with pytest.raises(StepRefused) as caught:
        run(orders)

    document = caught.value.to_document("abc")
    assert (document["status"], document["code"], document["step"]) == (status, code, step)
    assert (document["items"], document["retryable"]) == (items, False)
    assert "compensation" not in document
    assert paths(orders) == ["/orders"]


@pytest.mark.parametrize("unknowns", [1, 2, 5])
def test_unknown_outcome_is_repeated_with_the_same_key_and_body(run, time, unknowns):
    orders = FakeService(time, *[Unknown()] * unknowns, CREATED, *[Unknown(True)] * unknowns, CONFIRMED)

    run(orders)

    assert paths(orders) == ["/orders"] * (unknowns + 1) + ["/orders/7/confirm"] * (unknowns + 1)
    assert {call["headers"]["X-Idempotency-Key"] for call in orders.calls} == {"the-key"}
    assert len({json.dumps(call["body"]) for call in orders.calls}) == 2


@pytest.mark.reaches("upstream_timeout")
def test_unknown_creation_until_the_deadline_is_a_timeout(run, time, codes):
    orders = FakeService(time, Unknown(), seconds=1)

    with pytest.raises(UpstreamTimeout) as caught:
        run(orders)

    codes.add(caught.value.code)
    document = caught.value.to_document("abc")
    assert (document["status"], document["step"], document["retryable"]) == (504, "create_order", True)
    assert set(paths(orders)) == {"/orders"}
    assert DEADLINE - 1 - MIN_CALL_SECONDS <= time.now <= DEADLINE


@pytest.mark.reaches("upstream_timeout")
def test_unknown_confirm_until_the_deadline_is_a_timeout_and_never_compensated(run, time, codes):
    orders = FakeService(time, CREATED, Unknown(), seconds=0.5)

    with pytest.raises(UpstreamTimeout) as caught:
        run(orders)

    codes.add(caught.value.code)
    assert caught.value.members["step"] == "confirm_order"
    assert set(paths(orders)) == {"/orders", "/orders/7/confirm"}


@pytest.mark.reaches("upstream_broken")
def test_broken_answers_until_the_deadline_are_a_bad_gateway(run, time, codes):
    orders = FakeService(time, Unknown(), Unknown(is_broken=True), seconds=1)

    with pytest.raises(UpstreamBroken) as caught:
        run(orders)

    codes.add(caught.value.code)
    document = caught.value.to_document("abc")
    assert (document["status"], document["step"], document["retryable"]) == (502, "create_order", True)


def test_calls_never_outlast_the_deadline(run, time):
    orders = FakeService(time, Unknown(), seconds=4)

    with pytest.raises(UpstreamTimeout):
        run(orders)

    assert time.now <= DEADLINE
    assert all(call["timeout"] >= MIN_CALL_SECONDS for call in orders.calls)
    assert orders.calls[0]["timeout"] == DEADLINE
    assert orders.calls[-1]["timeout"] < orders.calls[0]["timeout"]


def test_no_time_left_makes_no_call_to_orders(run, time):
    time.now = DEADLINE
    orders = FakeService(time, CREATED)

    with pytest.raises(UpstreamTimeout):
        run(orders)

    assert orders.calls == []


def test_slow_customers_leave_time_for_the_order(run, time):
    orders, customers = FakeService(time, CREATED, CONFIRMED), FakeService(time, Unknown(), seconds=4)

    run(orders, customers)

    assert len(customers.calls) == 1
    assert paths(orders) == ["/orders", "/orders/7/confirm"]


def test_refused_confirm_is_compensated_once_and_says_so(run, time):
    orders = FakeService(time, CREATED, CONFLICT, Unknown(), Done(make_order(), False))

    with pytest.raises(StepRefused) as caught:
        run(orders)

    document = caught.value.to_document("abc")
    assert (document["status"], document["code"]) == (409, "order_state_conflict")
    assert (document["step"], document["compensation"]) == ("confirm_order", "order_canceled")
    assert paths(orders) == ["/orders", "/orders/7/confirm", "/orders/7/cancel", "/orders/7/cancel"]
    assert orders.calls[2]["body"] == orders.calls[3]["body"] == {"reason": "confirm was refused"}
    assert orders.calls[2]["headers"]["X-Idempotency-Key"] == "the-key"


def test_compensation_that_is_refused_says_so(run, time):
    orders = FakeService(time, CREATED, CONFLICT, Refused(409, make_problem(409, "cancel_window_closed")))

    with pytest.raises(StepRefused) as caught:
        run(orders)

    assert caught.value.code == "order_state_conflict"
    assert caught.value.members["compensation"] == "not_possible"


def test_compensation_of_unknown_outcome_is_retryable(run, time):
    orders = FakeService(time, CREATED, CONFLICT, Unknown(), seconds=1)

    with pytest.raises(UpstreamTimeout) as caught:
        run(orders)

    assert caught.value.members == {"step": "confirm_order", "retryable": True}


def test_every_unknown_outcome_is_logged(run, time):
    lines = []

    run(FakeService(time, Unknown(), CREATED, Unknown(True), CONFIRMED), log=lambda **fields: lines.append(fields))

    assert [(line["step"], line["attempt"], line["broken"]) for line in lines] == [
        ("create_order", 1, False),
        ("confirm_order", 1, True),
    ]


def test_refused_step_is_not_a_registered_code():
    with pytest.raises(StepRefused) as caught:
        raise StepRefused(Refused(409, {"code": "sku_taken"}), step="create_order")

    assert caught.value.code == "sku_taken"


def test_equal_orders_give_equal_bytes():
    order = make_order("CONFIRMED")

    assert make_body("c", CUSTOMER, order) == make_body("c", dict(CUSTOMER), dict(order))
