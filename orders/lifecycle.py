"""The lifecycle of an order: this table decides, and nothing else does.

CREATED ──confirm──▶ CONFIRMED ──cancel (within the cancel window)──▶ CANCELED
   └────────cancel──────────────────────────────────────────────────▶ CANCELED
"""

from datetime import datetime, timedelta

from common.connection import Row
from common.problems import CancelWindowClosed, OrderStateConflict

# (status, action) -> the next status; what is missing is not allowed.
TRANSITIONS = {
    ("CREATED", "confirm"): "CONFIRMED",
    ("CREATED", "cancel"): "CANCELED",
    ("CONFIRMED", "cancel"): "CANCELED",
}

# An action that asks for the status which the order already has changes nothing.
_RESULT = {"confirm": "CONFIRMED", "cancel": "CANCELED"}


def is_done(order: Row, action: str) -> bool:
    """Return whether the order is already where `action` would bring it."""
    return order["status"] == _RESULT[action]


def require(order: Row, action: str, now: datetime, cancel_window: int) -> str:
    """Return the next status; raise `OrderStateConflict` or `CancelWindowClosed`.

    `cancel_window` is in seconds after confirmed_at, its last instant included.
    """
    next_status = TRANSITIONS.get((order["status"], action))
    if next_status is None:
        raise OrderStateConflict()
    if action == "cancel" and _window_is_closed(order, now, cancel_window):
        raise CancelWindowClosed()
    return next_status


def allowed_actions(order: Row, now: datetime, cancel_window: int) -> list[str]:
    """Return the actions that `require` would let pass now, as clients see them."""
    return [
        action
        for (status, action) in TRANSITIONS
        if status == order["status"] and not (action == "cancel" and _window_is_closed(order, now, cancel_window))
    ]


def _window_is_closed(order: Row, now: datetime, cancel_window: int) -> bool:
    return order["status"] == "CONFIRMED" and now > order["confirmed_at"] + timedelta(seconds=cancel_window)
