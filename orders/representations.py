"""Products, orders and events as JSON: each field by name, so that a new column never leaks."""

from datetime import datetime
from typing import Any

from common import conditional, times
from common.connection import Row
from common.events import data_of, name_of
from orders import lifecycle


def product_to_json(row: Row) -> dict[str, Any]:
    """Return a product."""
    return {
        "id": row["id"],
        "sku": row["sku"],
        "name": row["name"],
        "price_cents": row["price_cents"],
        "stock": row["stock"],
        "active": bool(row["active"]),
        "created_at": times.to_json(row["created_at"]),
        "updated_at": times.to_json(row["updated_at"]),
    }


def shortage_to_json(product: Row, requested: int) -> dict[str, Any]:
    """Return how a problem document names stock that is too short."""
    return {
        "product_id": product["id"],
        "sku": product["sku"],
        "requested": requested,
        "available": product["stock"],
    }


def order_to_json(row: Row, items: list[Row], now: datetime, cancel_window: int) -> dict[str, Any]:
    """Return a whole order; `now` and `cancel_window` (seconds) decide its allowed actions."""
    return {
        "id": row["id"],
        "customer_id": row["customer_id"],
        "customer": {
            "id": row["customer_id"],
            "name": row["customer_name"],
            "email": row["customer_email"],
            "phone": row["customer_phone"],
        },
        **_status_to_json(row),
        "items": [order_item_to_json(item) for item in items],
        "allowed_actions": lifecycle.allowed_actions(row, now, cancel_window),
    }


def listed_order_to_json(row: Row, now: datetime, cancel_window: int) -> dict[str, Any]:
    """Return an order as lists show it: without its items and its customer."""
    return {
        "id": row["id"],
        "customer_id": row["customer_id"],
        **_status_to_json(row),
        "allowed_actions": lifecycle.allowed_actions(row, now, cancel_window),
    }


def _status_to_json(row: Row) -> dict[str, Any]:
    return {
        "customer_reference": row["customer_reference"],
        "status": row["status"],
        "total_cents": row["total_cents"],
        "version": row["version"],
        "created_at": times.to_json(row["created_at"]),
        "confirmed_at": times.to_json(row["confirmed_at"]),
        "canceled_at": times.to_json(row["canceled_at"]),
        # Only an order that holds stock without being confirmed can expire.
        "expires_at": times.to_json(row["expires_at"]) if row["status"] == "CREATED" else None,
    }


def order_item_to_json(item: Row) -> dict[str, Any]:
    """Return one line: the product as it was when the order was made."""
    return {
        "product_id": item["product_id"],
        "sku": item["sku"],
        "name": item["name"],
        "qty": item["qty"],
        "unit_price_cents": item["unit_price_cents"],
        "subtotal_cents": item["subtotal_cents"],
    }


def order_entity_tag(order: dict[str, Any]) -> str:
    """Return the entity tag of a whole order as `order_to_json` gives it.

    It is the row's version, and one thing more: when the cancel window closes, the
    answer changes and the row doesn't. A strong tag has to change with the answer.
    """
    is_final = order["status"] == "CONFIRMED" and not order["allowed_actions"]
    return conditional.entity_tag(f"{order['version']}{'-final' if is_final else ''}")


def order_event_to_json(row: Row) -> dict[str, Any]:
    """Return one entry of an order's audit trail."""
    return {
        "id": row["id"],
        "type": row["type"],
        "actor": row["actor"],
        "reason": row["reason"],
        "request_id": row["request_id"],
        "created_at": times.to_json(row["created_at"]),
    }


def product_event_to_json(row: Row) -> dict[str, Any]:
    """Return one entry of a product's audit trail."""
    data = data_of(row)
    return {
        **order_event_to_json({**row, "type": name_of(row)}),
        "stock_delta": row["stock_delta"],
        "stock": data.get("stock"),
        "order_id": row["order_id"],
        "cause": data.get("cause"),
        "price_cents": data.get("price_cents"),
        "changed": data.get("changed"),
    }


def feed_event_to_json(row: Row) -> dict[str, Any]:
    """Return one entry of the feed."""
    data = data_of(row)
    if row["subject_type"] == "order":
        data["reason"] = row["reason"]
    if row["stock_delta"] is not None:
        data |= {"delta": row["stock_delta"], "order_id": row["order_id"]}
    return {
        "id": f"evt_{row['id']}",
        "sequence": row["sequence"],
        "type": row["type"],
        "occurred_at": times.to_json(row["created_at"]),
        "subject": {"type": row["subject_type"], "id": row["subject_id"], "version": row["subject_version"]},
        "data": data,
        "actor": row["actor"],
        "request_id": row["request_id"],
    }
