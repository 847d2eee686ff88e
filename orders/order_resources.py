"""Orders over HTTP."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from falcon import Response

from common import conditional, times, web
from common.config import Settings
from common.database import Database
from common.idempotency import run_once
from common.pagination import Cursors
from common.tracing import headers_to_pass_on
from common.web import Request
from orders import order_store, order_workflows
from orders.customers_client import CustomersClient
from orders.order_store import Origin
from orders.representations import event_to_json, listed_order_to_json, order_to_json


class OrderCollection:
    """`/orders`"""

    def __init__(
        self,
        database: Database,
        customers: CustomersClient,
        cursors: Cursors,
        settings: Settings,
        clock: Callable[[], datetime],
    ):
        self._database = database
        self._customers = customers
        self._cursors = cursors
        self._settings = settings
        self._clock = clock

    def on_get(self, req: Request, resp: Response):
        """List orders, newest first."""
        query = req.context.query
        filters = {name: query[name] for name in ("status", "customer_id", "from", "to") if query[name] is not None}
        scope = ["orders", filters]
        before = self._cursors.read(query["cursor"], scope)
        rows = self._database.read(
            order_store.select_orders,
            _filter_values(filters),
            None if before is None else (times.from_microseconds(before[0]), before[1]),
            query["limit"] + 1,
        )
        now = self._clock()
        page = self._cursors.page(
            rows,
            query["limit"],
            scope,
            lambda row: (times.to_microseconds(row["created_at"]), row["id"]),
            lambda row: listed_order_to_json(row, now, self._settings.cancel_window_seconds),
        )
        web.send_json(resp, page)

    def on_post(self, req: Request, resp: Response):
        """Create an order."""
        answer = order_workflows.place_order(
            self._database,
            self._customers,
            headers_to_pass_on(req.get_header, req.context.request_id),
            req.context.key,
            _origin(req, self._clock()),
            req.context.body,
            self._settings,
        )
        web.send_answer(resp, answer, location="/orders/{}")


class OrderItem:
    """`/orders/{order_id}`"""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], datetime]):
        self._database = database
        self._settings = settings
        self._clock = clock

    def on_get(self, req: Request, resp: Response, order_id: int):
        """Show one order, or 304."""
        row, items = self._database.read(order_workflows.get_order, order_id)
        order = order_to_json(row, items, self._clock(), self._settings.cancel_window_seconds)
        etag = order_entity_tag(order)
        if conditional.is_unmodified(req.context.headers["If-None-Match"], etag):
            web.send_not_modified(resp, etag)
        else:
            web.send_json(resp, order, etag)


class OrderConfirmation:
    """`/orders/{order_id}/confirm`"""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], datetime]):
        self._database = database
        self._settings = settings
        self._clock = clock

    def on_post(self, req: Request, resp: Response, order_id: int):
        """Confirm."""
        origin = _origin(req, self._clock())
        answer = self._database.transact(
            run_once, req.context.key, origin.now, order_workflows.confirm_order, order_id, origin, self._settings
        )
        web.send_answer(resp, answer)


class OrderCancellation:
    """`/orders/{order_id}/cancel`"""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], datetime]):
        self._database = database
        self._settings = settings
        self._clock = clock

    def on_post(self, req: Request, resp: Response, order_id: int):
        """Cancel."""
        origin = _origin(req, self._clock())
        answer = self._database.transact(
            run_once,
            req.context.key,
            origin.now,
            order_workflows.cancel_order,
            order_id,
            req.context.body.get("reason"),
            origin,
            self._settings,
        )
        web.send_answer(resp, answer)


class OrderEventCollection:
    """`/orders/{order_id}/events`"""

    def __init__(self, database: Database, cursors: Cursors):
        self._database = database
        self._cursors = cursors

    def on_get(self, req: Request, resp: Response, order_id: int):
        """List who did what, oldest first."""
        query = req.context.query
        scope = ["order_events", order_id]
        after = self._cursors.read(query["cursor"], scope)
        rows = self._database.read(order_workflows.get_order_events, order_id, after, query["limit"] + 1)
        page = self._cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), event_to_json)
        web.send_json(resp, page)


def order_entity_tag(order: dict[str, Any]) -> str:
    """Return the entity tag of a whole order as `order_to_json` gives it.

    It is the row's version, and one thing more: when the cancel window closes, the
    answer changes and the row doesn't. A strong tag has to change with the answer.
    """
    is_final = order["status"] == "CONFIRMED" and not order["allowed_actions"]
    return conditional.entity_tag(f"{order['version']}{'-final' if is_final else ''}")


def _origin(req: Request, now: datetime) -> Origin:
    return Origin(req.context.caller.actor, req.context.request_id, now)


def _filter_values(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filters with their timestamps as datetimes."""
    return {name: times.from_json(value) if name in ("from", "to") else value for name, value in filters.items()}
