"""Orders over HTTP."""

from dataclasses import dataclass

from falcon import Response

from common import times, web
from common.config import Settings
from common.database import Database
from common.idempotency import once
from common.pagination import Cursors
from common.times import Clock
from common.tracing import headers_to_pass_on
from common.web import Request
from orders import order_store, order_workflows
from orders.customers_client import CustomersClient
from orders.representations import listed_order_to_json, order_entity_tag, order_to_json


@dataclass(frozen=True)
class OrderCollection:
    """`/orders`"""

    database: Database
    customers: CustomersClient
    cursors: Cursors
    settings: Settings
    clock: Clock

    def on_get(self, req: Request, resp: Response):
        """List orders, newest first."""
        query = req.context.query
        names = ("status", "customer_id", "customer_reference", "from", "to")
        filters = {name: query[name] for name in names if query[name] is not None}
        scope = ["orders", filters]
        before = self.cursors.read(query["cursor"], scope)
        rows = self.database.read(
            order_store.select_orders,
            {
                name: times.from_json(text, is_end=name == "to") if name in ("from", "to") else text
                for name, text in filters.items()
            },
            None if before is None else (times.from_microseconds(before[0]), before[1]),
            query["limit"] + 1,
        )
        now = self.clock()
        page = self.cursors.page(
            rows,
            query["limit"],
            scope,
            lambda row: (times.to_microseconds(row["created_at"]), row["id"]),
            lambda row: listed_order_to_json(row, now, self.settings.cancel_window_seconds),
        )
        web.send_json(resp, page)

    on_head = on_get

    def on_post(self, req: Request, resp: Response):
        """Create an order."""
        answer = order_workflows.place_order(
            self.database,
            self.clock,
            self.customers,
            headers_to_pass_on(req.get_header, req.context.request_id),
            req.context.key,
            req.context.body,
            web.origin(req),
            self.settings,
        )
        web.send_answer(resp, answer, location="/orders/{}")


@dataclass(frozen=True)
class OneOrder:
    """What shows or changes one order."""

    database: Database
    settings: Settings
    clock: Clock


class OrderItem(OneOrder):
    """`/orders/{order_id}`"""

    def on_get(self, req: Request, resp: Response, order_id: int):
        """Show one order, or 304."""
        row, items = self.database.read(order_workflows.get_order, order_id)
        order = order_to_json(row, items, self.clock(), self.settings.cancel_window_seconds)
        web.send_tagged(req, resp, order, order_entity_tag(order))

    on_head = on_get


class OrderConfirmation(OneOrder):
    """`/orders/{order_id}/confirm`"""

    def on_post(self, req: Request, resp: Response, order_id: int):
        """Confirm."""
        answer = once(
            self.database,
            self.clock,
            req.context.key,
            order_workflows.confirm_order,
            order_id,
            web.origin(req),
            self.settings,
        )
        web.send_answer(resp, answer)


class OrderCancellation(OneOrder):
    """`/orders/{order_id}/cancel`"""

    def on_post(self, req: Request, resp: Response, order_id: int):
        """Cancel."""
        answer = once(
            self.database,
            self.clock,
            req.context.key,
            order_workflows.cancel_order,
            order_id,
            req.context.body.get("reason"),
            web.origin(req),
            self.settings,
        )
        web.send_answer(resp, answer)
