"""The saga's compensation: only after a definitive refusal, and never in doubt."""

import pytest

from common.problems import UpstreamTimeout
from lambda_orchestrator.clients import Done, Refused, Unknown
from lambda_orchestrator.saga import StepRefused
from tests.unit.conftest import CONFLICT, CREATED, FakeService, make_order, make_problem, paths


def test_refused_confirm_is_compensated_once_and_says_so(run, time):
    orders = FakeService(time, CREATED, CONFLICT, Unknown(), Done(make_order(), False))

    with pytest.raises(StepRefused) as caught:
        run(orders)

    document = caught.value.to_document("abc")
    assert (document["status"], document["code"]) == (409, "order_state_conflict")
    assert (document["step"], document["compensation"]) == ("confirm_order", "order_canceled")
    assert paths(orders) == ["/orders", "/orders/7/confirm", "/orders/7/cancel", "/orders/7/cancel"]
    assert orders.calls[2]["body"] == orders.calls[3]["body"] == {"reason": "confirm was refused"}
    # Without the operator's name, which may be what was refused, and the key, which another operator may have as well.
    assert orders.calls[2]["headers"] == {"X-Request-ID": "abc"}


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
