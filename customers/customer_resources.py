"""Customers over HTTP."""

from collections.abc import Callable
from datetime import datetime

import falcon
from falcon import Response

from common import conditional, web
from common.database import Database
from common.idempotency import run_once
from common.pagination import Cursors
from common.web import Request
from customers import store, workflows
from customers.representations import customer_to_json, internal_customer_to_json


class CustomerCollection:
    """`/customers`"""

    def __init__(self, database: Database, cursors: Cursors, clock: Callable[[], datetime]):
        self._database = database
        self._cursors = cursors
        self._clock = clock

    def on_get(self, req: Request, resp: Response):
        """List living customers in id order."""
        query = req.context.query
        scope = ["customers", query["search"]]
        after = self._cursors.read(query["cursor"], scope)
        rows = self._database.read(store.select_customers, query["search"], after, query["limit"] + 1)
        page = self._cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), customer_to_json)
        web.send_json(resp, page)

    def on_post(self, req: Request, resp: Response):
        """Add a customer."""
        now = self._clock()
        answer = self._database.transact(
            run_once, req.context.key, now, workflows.create_customer, req.context.body, now
        )
        web.send_answer(resp, answer, location="/customers/{}")


class CustomerItem:
    """`/customers/{customer_id}`"""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._database = database
        self._clock = clock

    def on_get(self, req: Request, resp: Response, customer_id: int):
        """Show one customer, or 304."""
        row = self._database.read(workflows.get_customer, customer_id)
        etag = conditional.entity_tag(row["version"])
        if conditional.is_unmodified(req.context.headers["If-None-Match"], etag):
            web.send_not_modified(resp, etag)
        else:
            web.send_json(resp, customer_to_json(row), etag)

    def on_put(self, req: Request, resp: Response, customer_id: int):
        """Replace the fields given."""
        row = self._database.transact(
            workflows.update_customer, customer_id, req.context.body, req.context.headers["If-Match"], self._clock()
        )
        web.send_json(resp, customer_to_json(row), conditional.entity_tag(row["version"]))

    def on_delete(self, req: Request, resp: Response, customer_id: int):
        """Delete softly."""
        self._database.transact(workflows.delete_customer, customer_id, req.context.headers["If-Match"], self._clock())
        resp.status = falcon.HTTP_204


class InternalCustomer:
    """`/internal/customers/{customer_id}`: what our other programs may know."""

    def __init__(self, database: Database):
        self._database = database

    def on_get(self, req: Request, resp: Response, customer_id: int):
        """Show one living customer."""
        row = self._database.read(workflows.get_customer, customer_id)
        web.send_json(resp, internal_customer_to_json(row))
