"""What the schema itself refuses, whoever asks."""

import re

import pytest
from mysql.connector import errors

from tests.system.conftest import ROOT

NOW = "'2026-01-01'"
CUSTOMER = (
    "INSERT INTO customers (id, name, email, created_at, updated_at, deleted_at)"
    " VALUES ({}, 'N', '{}', '2026-01-01', '2026-01-01', {})"
)
PRODUCT = (
    "INSERT INTO products (id, sku, name, price_cents, stock, created_at, updated_at)"
    " VALUES ({}, '{}', 'N', {}, {}, '2026-01-01', '2026-01-01')"
)
ORDER = (
    "INSERT INTO orders (id, customer_id, customer_name, customer_email, customer_reference, status, total_cents,"
    " created_at, confirmed_at, canceled_at) VALUES ({}, {}, 'N', 'e', {}, '{}', {}, '2026-01-01', {}, {})"
)
ITEM = (
    "INSERT INTO order_items (order_id, product_id, line_no, sku, name, qty, unit_price_cents, subtotal_cents)"
    " VALUES ({}, {}, 1, 'S', 'N', {}, {}, {})"
)
EVENT = (
    "INSERT INTO order_events (order_id, type, actor, request_id, created_at)"
    " VALUES ({}, '{}', 'demo', 'r', '2026-01-01')"
)
HAPPENED = (
    "INSERT INTO events (sequence, type, subject_type, subject_id, subject_version, stock_delta, actor, request_id,"
    " created_at) VALUES ({}, '{}', '{}', 1, 1, {}, 'demo', 'r', '2026-01-01')"
)
OPERATOR = "INSERT INTO operators (username, password_hash, role, created_at) VALUES ('{}', 'h', '{}', '2026-01-01')"

REFUSED = [
    (CUSTOMER.format(700000902, "LIVING@E.TEST", "NULL"), "uq_customers_email"),
    ("UPDATE customers SET deleted_at = NULL WHERE id = 700000901", "uq_customers_email"),
    ("DELETE FROM customers WHERE id = 700000900", "fk_orders_customer"),
    (PRODUCT.format(700000902, "taken", 100, 1), "uq_products_sku"),
    ("UPDATE products SET stock = stock - 8 WHERE id = 700000900", "ck_products_stock_not_negative"),
    (PRODUCT.format(700000902, "NEW", -1, 1), "ck_products_price"),
    (PRODUCT.format(700000902, "NEW", 100_000_001, 1), "ck_products_price"),
    ("DELETE FROM products WHERE id = 700000900", "fk_order_items_product"),
    # MySQL 9.7 checks no foreign key when another column of the index that serves it is NULL.
    (ORDER.format(700000902, 700000999, "NULL", "CREATED", 1, "NULL", "NULL"), "fk_orders_customer"),
    ("UPDATE orders SET customer_id = 700000999 WHERE id = 700000901", "fk_orders_customer"),
    (ORDER.format(700000902, 700000900, "'PO-1'", "CREATED", 1, "NULL", "NULL"), "uq_orders_reference"),
    ("UPDATE orders SET status = 'CREATED', canceled_at = NULL WHERE id = 700000901", "uq_orders_reference"),
    (ORDER.format(700000902, 700000900, "NULL", "PAID", 1, "NULL", "NULL"), "ck_orders_status"),
    (ORDER.format(700000902, 700000900, "NULL", "CREATED", -1, "NULL", "NULL"), "ck_orders_total"),
    (ORDER.format(700000902, 700000900, "NULL", "CONFIRMED", 1, "NULL", "NULL"), "ck_orders_confirmed_at"),
    (ORDER.format(700000902, 700000900, "NULL", "CANCELED", 1, "NULL", "NULL"), "ck_orders_canceled_at"),
    (ORDER.format(700000902, 700000900, "NULL", "CREATED", 1, "NULL", NOW), "ck_orders_canceled_at"),
    ("DELETE FROM orders WHERE id = 700000900", "fk_order_"),
    (ITEM.format(700000900, 700000901, 0, 100, 0), "ck_order_items_qty_positive"),
    ("UPDATE order_items SET qty = 2 WHERE order_id = 700000900", "ck_order_items_subtotal"),
    (ITEM.format(700000900, 700000901, 1, -1, -1), "ck_order_items_price"),
    (ITEM.format(700000900, 700000900, 1, 100, 100), "order_items.PRIMARY"),
    (ITEM.format(700000999, 700000901, 1, 100, 100), "fk_order_items_order"),
    (ITEM.format(700000900, 700000999, 1, 100, 100), "fk_order_items_product"),
    (EVENT.format(700000999, "created"), "fk_order_events_order"),
    (EVENT.format(700000900, "shipped"), "ck_order_events_type"),
    (HAPPENED.format("NULL", "order.paid", "order", "NULL"), "ck_events_type"),
    (HAPPENED.format("NULL", "order.created", "product", "NULL"), "ck_events_subject"),
    (HAPPENED.format("NULL", "order.created", "order", 1), "ck_events_stock"),
    (HAPPENED.format("NULL", "product.stock_changed", "product", "NULL"), "ck_events_stock"),
    (HAPPENED.format(700000900, "order.created", "order", "NULL"), "uq_events_sequence"),
    ("INSERT INTO event_sequence VALUES (2, 0, NULL)", "ck_event_sequence_one"),
    (OPERATOR.format("someone", "root"), "ck_operators_role"),
    (OPERATOR.format("System", "viewer"), "ck_operators_username_not_reserved"),
    (OPERATOR.format("KNOWN", "viewer"), "uq_operators_username"),
]


@pytest.fixture
def rows(other_connection):
    """A cursor on a schema with one row of everything, and a deleted and canceled twin; nothing of it stays."""
    cursor = other_connection.cursor(buffered=True)
    for statement in (
        CUSTOMER.format(700000900, "living@e.test", "NULL"),
        CUSTOMER.format(700000901, "living@e.test", NOW),
        PRODUCT.format(700000900, "TAKEN", 100, 7),
        PRODUCT.format(700000901, "OTHER", 100, 7),
        ORDER.format(700000900, 700000900, "'PO-1'", "CONFIRMED", 100, NOW, "NULL"),
        ORDER.format(700000901, 700000900, "'PO-1'", "CANCELED", 100, "NULL", NOW),
        ITEM.format(700000900, 700000900, 1, 100, 100),
        EVENT.format(700000900, "created"),
        HAPPENED.format(700000900, "order.created", "order", "NULL"),
        OPERATOR.format("known", "viewer"),
    ):
        cursor.execute(statement)
    yield cursor
    other_connection.rollback()


@pytest.mark.parametrize(("statement", "constraint"), REFUSED)
def test_database_refuses_what_must_never_be_true(rows, statement, constraint):
    with pytest.raises(errors.Error) as refusal:
        rows.execute(statement)

    assert constraint in refusal.value.msg


@pytest.mark.parametrize(
    "statement",
    [
        CUSTOMER.format(700000902, "living@e.test", NOW),
        ORDER.format(700000902, 700000900, "'PO-1'", "CANCELED", 1, "NULL", NOW),
        ORDER.format(700000902, 700000900, "NULL", "CREATED", 0, "NULL", "NULL"),
    ],
    ids=["second deleted twin", "second canceled twin", "no reference"],
)
def test_database_takes_what_may_be_true(rows, statement):
    rows.execute(statement)

    assert rows.rowcount == 1


def test_debezium_settings_name_columns_that_there_are(other_connection):
    settings = dict(
        re.findall(r"^transforms\.outbox\.(\S+?)=(.*)$", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE)
    )
    added = settings["table.fields.additional.placement"].split(",")
    named = {settings["route.by.field"], *(column.split(":")[0] for column in added)}
    named |= {column for option, column in settings.items() if option.startswith("table.field.event.")}
    with other_connection.cursor() as cursor:
        cursor.execute("SHOW COLUMNS FROM events")
        kinds = {column: kind.decode() if isinstance(kind, bytes) else kind for column, kind, *_ in cursor.fetchall()}

    assert len(named) == 11
    assert named - kinds.keys() == set()
    assert kinds[settings["table.field.event.timestamp"]] == "datetime(6)"  # the router takes no TIMESTAMP


def test_events_can_be_partitioned_as_the_page_says(other_connection):
    (statement,) = re.findall(
        r"```sql\n(ALTER TABLE events\n.*?);\n```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL
    )
    with other_connection.cursor(buffered=True) as cursor:
        cursor.execute("DROP TABLE IF EXISTS events_partitioned")
        cursor.execute("CREATE TABLE events_partitioned LIKE events")
        try:
            cursor.execute(statement.replace("ALTER TABLE events", "ALTER TABLE events_partitioned"))
            cursor.execute("SELECT 1 FROM events_partitioned FORCE INDEX (uq_events_sequence) WHERE sequence > 0")
        finally:
            cursor.execute("DROP TABLE events_partitioned")
