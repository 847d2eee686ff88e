"""The rules of products and stock: each function is the body of one transaction."""

from typing import Any

from common import conditional, strict_json
from common.connection import Cursor, Row
from common.idempotency import Answer
from common.problems import InsufficientStock, ProductNotFound
from common.times import Clock
from orders import product_store
from orders.representations import product_to_json, shortage_to_json


def create_product(tx: Cursor, clock: Clock, product: dict[str, Any]) -> Answer:
    """Add a product; raises `SkuTaken`."""
    # Locks: none but the new row.
    now = clock()
    row = {
        "sku": product["sku"],
        "name": product["name"],
        "price_cents": product["price_cents"],
        "stock": product["stock"],
        "active": True,
        "created_at": now,
        "updated_at": now,
    }
    row["id"] = product_store.insert_product(tx, row)
    product_store.SEARCH.insert(tx, row)
    return Answer(201, strict_json.dumps(product_to_json(row)), "product", row["id"])


def get_product(tx: Cursor, product_id: int) -> Row:
    """Return the product's row; raises `ProductNotFound`."""
    row = product_store.select_product(tx, product_id)
    if row is None:
        raise ProductNotFound()
    return row


def update_product(tx: Cursor, clock: Clock, product_id: int, changes: dict[str, Any], if_match: str | None) -> Answer:
    """Change the fields given.

    `stock` sets and `stock_delta` adds; the contract lets only one of them through.
    Raises `ProductNotFound`, `PreconditionFailed`, `InsufficientStock`, `SkuTaken`.
    """
    # Locks: (idempotency key,) product.
    rows = product_store.lock_products(tx, [product_id])
    if not rows:
        raise ProductNotFound()
    old = rows[0]
    conditional.require_match(if_match, conditional.entity_tag(old["version"]))
    delta = changes.get("stock_delta", 0)
    if old["stock"] + delta < 0:
        raise InsufficientStock(items=[shortage_to_json(old, -delta)])
    fields = {name: value for name, value in changes.items() if name != "stock_delta"}
    row: Row = {**old, "stock": old["stock"] + delta, **fields, "version": old["version"] + 1, "updated_at": clock()}
    product_store.update_product(tx, row)
    product_store.SEARCH.update(tx, old, row)
    etag = conditional.entity_tag(row["version"])
    return Answer(200, strict_json.dumps(product_to_json(row)), "product", product_id, etag)
