"""The rules of orders: each function but `place_order` is the body of one transaction.

Locks are taken in one order everywhere: idempotency key, order, products by id, customer. The clock is read before the
last, which nobody holds for long, and after all others, for a wait may outlast the cancel window, and other orders may
be made meanwhile.
"""

from datetime import timedelta
from typing import Any

from common import strict_json
from common.auth import Origin
from common.config import Settings
from common.connection import Cursor, Row
from common.database import Database
from common.events import Event, record
from common.idempotency import Answer, Key, find_answer, once
from common.problems import (
    InsufficientStock,
    OrderNotFound,
    Problem,
    ProductInactive,
    ProductNotFound,
)
from common.schemas import MAX_ERRORS
from common.times import Clock
from orders import lifecycle, order_store, product_store, product_workflows
from orders.customers_client import CustomersClient
from orders.representations import order_to_json, shortage_to_json


def place_order(
    database: Database,
    clock: Clock,
    customers: CustomersClient,
    headers: dict[str, str],
    key: Key | None,
    request: dict[str, Any],
    origin: Origin,
    settings: Settings,
) -> Answer:
    """Check the customer, then create the order; returns an `Answer`.

    The customer is asked for before the transaction opens; `headers` go with the question.
    An order that was made with this key already is replayed, whatever Customers says.
    """
    try:
        customer = customers.fetch(request["customer_id"], headers)
    except Problem:
        replay = key and database.transact(find_answer, clock, key, lock=key.identity, may_be_late=True)
        if replay is None:
            raise
        return replay
    return once(database, clock, key, create_order, customer, request, origin, settings)


def create_order(
    tx: Cursor, clock: Clock, customer: dict[str, Any], request: dict[str, Any], origin: Origin, settings: Settings
) -> Answer:
    """Create an order and take its stock; `customer` is what the order keeps of it.

    Raises `ProductNotFound`, `ProductInactive`, `InsufficientStock`, `DuplicateReference`, and `CustomerNotFound` for
    one that was deleted since.
    """
    # Locks: (idempotency key,) products by id, customer (shared, by the insert).
    quantities = merge_lines(request["items"])
    products = {row["id"]: row for row in product_store.lock_products(tx, list(quantities))}
    now = clock()
    _require_available(products, quantities, request["items"])
    items = [_line(products[product_id], qty) for product_id, qty in quantities.items()]
    ttl = settings.order_ttl_seconds
    row = {
        "customer_id": customer["id"],
        "customer_name": customer["name"],
        "customer_email": customer["email"],
        "customer_phone": customer["phone"],
        "customer_reference": request.get("customer_reference"),
        "status": "CREATED",
        "total_cents": sum(item["subtotal_cents"] for item in items),
        "version": 1,
        "created_at": now,
        "confirmed_at": None,
        "canceled_at": None,
        "expires_at": now + timedelta(seconds=ttl) if ttl else None,
    }
    row["id"] = order_store.insert_order(tx, row)
    order_store.insert_order_items(tx, row["id"], items)
    product_store.update_stock(tx, {product_id: -qty for product_id, qty in quantities.items()}, now)
    moved = [
        product_workflows.stock_changed(products[product_id], -qty, "order", order_id=row["id"])
        for product_id, qty in quantities.items()
    ]
    record(tx, origin, now, [_event("order.created", row), *moved])
    return _answer(201, row, items, now, settings)


def confirm_order(tx: Cursor, clock: Clock, order_id: int, origin: Origin, settings: Settings) -> Answer:
    """Confirm an order; one that is confirmed already stays as it is.

    Raises `OrderNotFound`, `OrderStateConflict`.
    """
    # Locks: (idempotency key,) order.
    row, items = _order(order_store.lock_order(tx, order_id))
    now = clock()
    if not lifecycle.is_done(row, "confirm"):
        status = lifecycle.require(row, "confirm", now, settings.cancel_window_seconds)
        row.update(status=status, confirmed_at=now, version=row["version"] + 1)
        order_store.update_order_status(tx, row)
        record(tx, origin, now, [_event("order.confirmed", row)])
    return _answer(200, row, items, now, settings)


def cancel_order(
    tx: Cursor,
    clock: Clock,
    order_id: int,
    reason: str | None,
    origin: Origin,
    settings: Settings,
    cause: str = "cancel",
) -> Answer:
    """Cancel an order and restore its stock; one that is canceled already stays as it is.

    `cause` is what the movements of stock say.

    Raises `OrderNotFound`, `CancelWindowClosed`.
    """
    # Locks: (idempotency key,) order, products by id.
    row, items = _order(order_store.lock_order(tx, order_id))
    if lifecycle.is_done(row, "cancel"):
        return _answer(200, row, items, clock(), settings)
    products = {
        product["id"]: product for product in product_store.lock_products(tx, [item["product_id"] for item in items])
    }
    now = clock()
    status = lifecycle.require(row, "cancel", now, settings.cancel_window_seconds)
    row.update(status=status, canceled_at=now, version=row["version"] + 1)
    order_store.update_order_status(tx, row)
    product_store.update_stock(tx, {item["product_id"]: item["qty"] for item in items}, now)
    moved = [
        product_workflows.stock_changed(products[item["product_id"]], item["qty"], cause, order_id=order_id)
        for item in items
    ]
    record(tx, origin, now, [_event("order.canceled", row, reason), *moved])
    return _answer(200, row, items, now, settings)


def get_order(tx: Cursor, order_id: int) -> tuple[Row, list[Row]]:
    """Return (order row, item rows); raises `OrderNotFound`."""
    return _order(order_store.select_order(tx, order_id))


def get_order_events(tx: Cursor, order_id: int, after: tuple[int, ...] | None, count: int) -> list[Row]:
    """Return up to `count` event rows past the position `after`, (id,) or None; raises `OrderNotFound`."""
    events = order_store.select_order_events(tx, order_id)
    if not events:  # an order has one from its first moment on
        raise OrderNotFound()
    ids = [event["id"] for event in events]
    first = 0 if after is None else ids.index(after[0]) + 1
    return events[first : first + count]


def merge_lines(lines: list[dict[str, Any]]) -> dict[int, int]:
    """Return {product_id: qty}, in the order in which each product is first named."""
    quantities = {}
    for line in lines:
        quantities[line["product_id"]] = quantities.get(line["product_id"], 0) + line["qty"]
    return quantities


def _require_available(products, quantities, lines):
    _refuse_lines(ProductNotFound, lines, lambda product_id: product_id not in products)
    _refuse_lines(ProductInactive, lines, lambda product_id: not products[product_id]["active"])
    short = [
        shortage_to_json(products[product_id], qty)
        for product_id, qty in quantities.items()
        if products[product_id]["stock"] < qty
    ]
    if short:
        raise InsufficientStock(items=short)


def _refuse_lines(problem, lines, is_refused):
    """Raise `problem` with a pointer to each line whose product is refused, if there is one."""
    errors = [
        {"pointer": f"#/items/{index}/product_id", "code": problem.code, "detail": problem.detail}
        for index, line in enumerate(lines)
        if is_refused(line["product_id"])
    ]
    if errors:
        raise problem(errors=errors[:MAX_ERRORS])


def _line(product, qty):
    return {
        "product_id": product["id"],
        "sku": product["sku"],
        "name": product["name"],
        "qty": qty,
        "unit_price_cents": product["price_cents"],
        "subtotal_cents": qty * product["price_cents"],
    }


def _order(lines: list[Row]) -> tuple[Row, list[Row]]:
    """Return (order row, item rows) of the lines that the store gives; raises `OrderNotFound`."""
    if not lines:
        raise OrderNotFound()
    return dict(lines[0]), lines


def _event(event_type: str, row: Row, reason: str | None = None) -> Event:
    names = ("status", "total_cents", "customer_id", "customer_reference")
    return Event(event_type, row["id"], row["version"], {name: row[name] for name in names}, reason)


def _answer(status, row, items, now, settings):
    document = order_to_json(row, items, now, settings.cancel_window_seconds)
    return Answer(status, strict_json.dumps(document), "order", row["id"])
