"""The rules of products and stock: each function is the body of one transaction."""

from typing import Any

from common import conditional, strict_json
from common.auth import Origin
from common.connection import Cursor, Row
from common.events import Event, record, select_history
from common.idempotency import Answer
from common.problems import InsufficientStock, ProductNotFound
from common.times import Clock
from orders import product_store
from orders.representations import product_to_json, shortage_to_json


def create_product(tx: Cursor, clock: Clock, product: dict[str, Any], origin: Origin) -> Answer:
    """Add a product; raises `SkuTaken`."""
    # Locks: none but the new row.
    now = clock()
    row: Row = {
        "sku": product["sku"],
        "name": product["name"],
        "price_cents": product["price_cents"],
        "stock": product["stock"],
        "active": True,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    row["id"] = product_store.insert_product(tx, row)
    product_store.SEARCH.insert(tx, row)
    events = [_event("product.created", row)]
    if row["stock"]:
        events.append(stock_changed({**row, "stock": 0, "version": 0}, row["stock"], "opening"))
    record(tx, origin, now, events)
    return Answer(201, strict_json.dumps(product_to_json(row)), "product", row["id"])


def get_product(tx: Cursor, product_id: int) -> Row:
    """Return the product's row; raises `ProductNotFound`."""
    row = product_store.select_product(tx, product_id)
    if row is None:
        raise ProductNotFound()
    return row


def get_product_events(tx: Cursor, product_id: int, after: tuple[int, ...] | None, count: int) -> list[Row]:
    """Return up to `count` event rows past the position `after`, (id,) or None; raises `ProductNotFound`."""
    events = select_history(tx, "product", product_id, after, count)
    if not events:  # a product from before there were events may have none
        get_product(tx, product_id)
    return events


def update_product(
    tx: Cursor, clock: Clock, product_id: int, changes: dict[str, Any], if_match: str | None, origin: Origin
) -> Answer:
    """Change the fields given.

    `stock` sets and `stock_delta` adds; the contract lets only one of them through. `note` says why.
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
    fields = {name: value for name, value in changes.items() if name not in ("stock_delta", "note")}
    row: Row = {**old, "stock": old["stock"] + delta, **fields, "version": old["version"] + 1, "updated_at": clock()}
    product_store.update_product(tx, row)
    product_store.SEARCH.update(tx, old, row)
    record(tx, origin, row["updated_at"], change_events(old, row, changes.get("note")))
    etag = conditional.entity_tag(row["version"])
    return Answer(200, strict_json.dumps(product_to_json(row)), "product", product_id, etag)


def stock_changed(
    product: Row, delta: int, cause: str, order_id: int | None = None, reason: str | None = None
) -> Event:
    """Return the event of a movement; `product` is the locked row as it was before it."""
    data = {"cause": cause, "stock": product["stock"] + delta}
    return Event("product.stock_changed", product["id"], product["version"] + 1, data, reason, order_id, delta)


def change_events(old: Row, row: Row, note: str | None = None) -> list[Event]:
    """Return the events of a change, which are one at least: each version has its own."""
    events = []
    if row["stock"] != old["stock"]:
        events.append(stock_changed(old, row["stock"] - old["stock"], "correction", reason=note))
    changed = [name for name in ("sku", "name", "price_cents", "active") if row[name] != old[name]]
    if changed or not events:
        events.append(_event("product.updated", row, note, changed=changed))
    return events


def _event(event_type: str, row: Row, reason: str | None = None, **more: Any) -> Event:
    data = {"sku": row["sku"], "price_cents": row["price_cents"], "active": bool(row["active"]), **more}
    return Event(event_type, row["id"], row["version"], data, reason)
