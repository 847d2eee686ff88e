"""Products over HTTP."""

from dataclasses import dataclass

from falcon import Response

from common import conditional, web
from common.database import Database
from common.idempotency import once
from common.pagination import Cursors
from common.times import Clock
from common.web import Request
from orders import product_store, product_workflows
from orders.representations import product_to_json


@dataclass(frozen=True)
class ProductCollection:
    """`/products`"""

    database: Database
    cursors: Cursors
    clock: Clock

    def on_get(self, req: Request, resp: Response):
        """List products in id order."""
        query = req.context.query
        filters = {name: query[name] for name in ("sku", "active") if query[name] is not None}
        # Without filters as it was before there were any, so that cursors of then stay good.
        scope = ["products", query["search"], *filters.items()]
        after = self.cursors.read(query["cursor"], scope)
        rows = self.database.read(
            product_store.select_products, query["search"], after, query["limit"] + 1, query["sku"], query["active"]
        )
        page = self.cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), product_to_json)
        web.send_json(resp, page)

    on_head = on_get

    def on_post(self, req: Request, resp: Response):
        """Add a product."""
        answer = once(
            self.database,
            self.clock,
            req.context.key,
            product_workflows.create_product,
            req.context.body,
            web.origin(req),
        )
        web.send_answer(resp, answer, location="/products/{}")


@dataclass(frozen=True)
class ProductItem:
    """`/products/{product_id}`"""

    database: Database
    clock: Clock

    def on_get(self, req: Request, resp: Response, product_id: int):
        """Show one product, or 304."""
        row = self.database.read(product_workflows.get_product, product_id)
        web.send_tagged(req, resp, product_to_json(row), conditional.entity_tag(row["version"]))

    on_head = on_get

    def on_patch(self, req: Request, resp: Response, product_id: int):
        """Change the fields given; `stock_delta` adds to what is there."""
        answer = once(
            self.database,
            self.clock,
            req.context.key,
            product_workflows.update_product,
            product_id,
            req.context.body,
            req.context.headers["If-Match"],
            web.origin(req),
        )
        web.send_answer(resp, answer)
