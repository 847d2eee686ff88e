"""Customers over HTTP."""

from dataclasses import dataclass

import falcon
from falcon import Response

from common import conditional, web
from common.database import Database
from common.idempotency import once
from common.pagination import Cursors
from common.times import Clock
from common.web import Request
from customers import store, workflows
from customers.representations import customer_to_json, internal_customer_to_json


@dataclass(frozen=True)
class CustomerCollection:
    """`/customers`"""

    database: Database
    cursors: Cursors
    clock: Clock

    def on_get(self, req: Request, resp: Response):
        """List living customers in id order."""
        query = req.context.query
        search, email = query["search"], query["email"]
        # Without an email as it was before there was that filter, so that cursors of then stay good.
        scope = ["customers", search] if email is None else ["customers", search, email]
        after = self.cursors.read(query["cursor"], scope)
        rows = self.database.read(store.select_customers, search, after, query["limit"] + 1, email)
        page = self.cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), customer_to_json)
        web.send_json(resp, page)

    on_head = on_get

    def on_post(self, req: Request, resp: Response):
        """Add a customer."""
        answer = once(
            self.database, self.clock, req.context.key, workflows.create_customer, req.context.body, web.origin(req)
        )
        web.send_answer(resp, answer, location="/customers/{}")


@dataclass(frozen=True)
class CustomerItem:
    """`/customers/{customer_id}`"""

    database: Database
    clock: Clock

    def on_get(self, req: Request, resp: Response, customer_id: int):
        """Show one customer, or 304."""
        row = self.database.read(workflows.get_customer, customer_id)
        web.send_tagged(req, resp, customer_to_json(row), conditional.entity_tag(row["version"]))

    on_head = on_get

    def on_put(self, req: Request, resp: Response, customer_id: int):
        """Replace the fields given."""
        answer = once(
            self.database,
            self.clock,
            req.context.key,
            workflows.update_customer,
            customer_id,
            req.context.body,
            req.context.headers["If-Match"],
            web.origin(req),
        )
        web.send_answer(resp, answer)

    def on_delete(self, req: Request, resp: Response, customer_id: int):
        """Delete softly."""
        self.database.transact(
            workflows.delete_customer, self.clock, customer_id, req.context.headers["If-Match"], web.origin(req)
        )
        resp.status = falcon.HTTP_204


@dataclass(frozen=True)
class InternalCustomer:
    """`/internal/customers/{customer_id}`: what our other programs may know."""

    database: Database

    def on_get(self, req: Request, resp: Response, customer_id: int):
        """Show one living customer."""
        row = self.database.read(workflows.get_customer, customer_id)
        web.send_json(resp, internal_customer_to_json(row))

    on_head = on_get
