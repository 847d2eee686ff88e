"""Products over HTTP."""

from collections.abc import Callable
from datetime import datetime

from falcon import Response

from common import conditional, web
from common.database import Database
from common.idempotency import run_once
from common.pagination import Cursors
from common.web import Request
from orders import product_store, product_workflows
from orders.representations import product_to_json


class ProductCollection:
    """`/products`"""

    def __init__(self, database: Database, cursors: Cursors, clock: Callable[[], datetime]):
        self._database = database
        self._cursors = cursors
        self._clock = clock

    def on_get(self, req: Request, resp: Response):
        """List products in id order."""
        query = req.context.query
        scope = ["products", query["search"]]
        after = self._cursors.read(query["cursor"], scope)
        rows = self._database.read(product_store.select_products, query["search"], after, query["limit"] + 1)
        page = self._cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), product_to_json)
        web.send_json(resp, page)

    def on_post(self, req: Request, resp: Response):
        """Add a product."""
        now = self._clock()
        answer = self._database.transact(
            run_once, req.context.key, now, product_workflows.create_product, req.context.body, now
        )
        web.send_answer(resp, answer, location="/products/{}")


class ProductItem:
    """`/products/{product_id}`"""

    def __init__(self, database: Database, clock: Callable[[], datetime]):
        self._database = database
        self._clock = clock

    def on_get(self, req: Request, resp: Response, product_id: int):
        """Show one product, or 304."""
        row = self._database.read(product_workflows.get_product, product_id)
        etag = conditional.entity_tag(row["version"])
        if conditional.is_unmodified(req.context.headers["If-None-Match"], etag):
            web.send_not_modified(resp, etag)
        else:
            web.send_json(resp, product_to_json(row), etag)

    def on_patch(self, req: Request, resp: Response, product_id: int):
        """Change the fields given; `stock_delta` adds to what is there."""
        row = self._database.transact(
            product_workflows.update_product,
            product_id,
            req.context.body,
            req.context.headers["If-Match"],
            self._clock(),
        )
        web.send_json(resp, product_to_json(row), conditional.entity_tag(row["version"]))
