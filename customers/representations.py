"""Customers as JSON: each field by name, so that a new column never leaks."""

from typing import Any

from common import times
from common.connection import Row
from common.events import data_of, name_of


def customer_to_json(row: Row) -> dict[str, Any]:
    """Return what operators see."""
    return {
        "id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "phone": row["phone"],
        "created_at": times.to_json(row["created_at"]),
        "updated_at": times.to_json(row["updated_at"]),
    }


def internal_customer_to_json(row: Row) -> dict[str, Any]:
    """Return what our other programs see, and keep as the order's snapshot."""
    return {"id": row["id"], "name": row["name"], "email": row["email"], "phone": row["phone"]}


def customer_event_to_json(row: Row) -> dict[str, Any]:
    """Return one entry of a customer's audit trail: which fields changed, and not to what."""
    return {
        "id": row["id"],
        "type": name_of(row),
        "actor": row["actor"],
        "reason": row["reason"],
        "request_id": row["request_id"],
        "created_at": times.to_json(row["created_at"]),
        "changed": data_of(row).get("changed"),
    }


def operator_to_json(row: Row) -> dict[str, Any]:
    """Return what admins see."""
    return {
        "username": row["username"],
        "role": row["role"],
        "active": bool(row["active"]),
        "created_at": times.to_json(row["created_at"]),
        "updated_at": times.to_json(row["updated_at"]),
        "last_login_at": row["last_login_at"] and times.to_json(row["last_login_at"]),
    }
