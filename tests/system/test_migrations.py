"""Migrations, the seed, and what the schema refuses whoever asks."""

import os
import re
import signal
import subprocess
import sys

import mysql.connector
import pytest
from mysql.connector import errors

from tests.system.conftest import ROOT, free_ports, run_module, start_module, wait_until

APPLIED = "applied 0001_schema.sql, 0002_search_rest.sql, 0003_search_entries.sql."
NOTHING = "nothing to apply."
FILES = sorted((ROOT / "sql" / "migrations").glob("*.sql"))


def statements(file):
    """Return the statements of a migration; a semicolon at a line's end ends one."""
    return file.read_text().split("-- migrate:down")[0].split(";\n")[:-1]


# Every point at which a run may be interrupted: in the file with that number, after so many of
# its statements; after the last one, which isn't recorded then.
INTERRUPTIONS = [(number, count) for number, file in enumerate(FILES) for count in range(len(statements(file)) + 1)]


@pytest.fixture
def schema(database_settings):
    """The name of a schema that is not there yet, gone afterwards."""
    name = f"{database_settings.name}_migrated"
    with connect(database_settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        yield name
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def environ(schema):
    """The environment in which commands find the schema."""
    return {**os.environ, "DB_NAME": schema}


@pytest.fixture
def cursor(database_settings):
    """A client of the same server, in no schema."""
    with connect(database_settings) as connection, connection.cursor(buffered=True) as cursor:
        yield cursor


def connect(settings, **options):
    return mysql.connector.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password,
        use_pure=False,
        **options,
    )


def migrate(environ):
    return run_module("sql.migrate", environ=environ)


def start_migration(environ):
    """Start a migration and go on."""
    return start_module("sql.migrate", environ=environ)


def fetch(cursor, statement, *values):
    """Return the first column of a statement's only row."""
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


def clients(cursor, schema, state):
    """Return how many connections to the schema are in that state."""
    cursor.execute("SHOW PROCESSLIST")
    return sum(row[3] == schema and row[6] == state for row in cursor.fetchall())


# --- applying --------------------------------------------------------------------------


def test_five_at_once_on_a_new_schema_apply_it_once(environ, schema):
    runs = [start_migration(environ) for _ in range(5)]

    outputs = [run.communicate(timeout=60)[0] for run in runs]

    assert [run.returncode for run in runs] == [0] * 5, outputs
    last_lines = sorted(output.splitlines()[-1] for output in outputs)
    assert last_lines == [f"Schema {schema}: {APPLIED}"] + [f"Schema {schema}: {NOTHING}"] * 4


def test_run_that_waits_for_too_long_says_so(environ, schema, cursor):
    assert fetch(cursor, "SELECT GET_LOCK(%s, 0)", f"migrate:{schema}") == 1

    code = "from sql import migrate; migrate.WAIT_SECONDS = 1; migrate.main()"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    message = "migrate: the schema is still being changed after 1 s; try again later\n"
    assert (run.returncode, run.stderr) == (1, message)


@pytest.mark.parametrize("module", ["sql.migrate", "sql.seed"])
def test_unreachable_server_is_one_line(environ, module):
    login = {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_ports(1)[0]), "DB_USER": "b2b", "DB_PASSWORD": "unused"}

    run = run_module(module, environ={**environ, **login})

    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert "127.0.0.1" in run.stderr or "DB_HOST" in run.stderr


@pytest.mark.parametrize(
    "change", [{"DB_PASSWORD": "not-the-password"}, {"DB_NAME": "not_ours"}], ids=["password", "schema"]
)
def test_refused_login_is_one_line_without_the_password(environ, database_settings, change):
    login = {
        "DB_HOST": database_settings.host,
        "DB_PORT": str(database_settings.port),
        "DB_USER": database_settings.user,
        "DB_PASSWORD": database_settings.password,
    }

    run = run_module("sql.migrate", environ={**environ, **login, **change})

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("migrate: MySQL at ")
    assert {**login, **change}["DB_PASSWORD"] not in run.stderr


def test_seed_before_any_migration_says_what_to_do(environ, schema, cursor):
    cursor.execute(f"CREATE DATABASE {schema}")

    run = run_module("sql.seed", environ=environ)

    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "run make migrate first" in run.stderr


# --- interruptions ---------------------------------------------------------------------


def tables(cursor, schema):
    """Return how each table is made, but dbmate's own."""
    cursor.execute(f"SHOW TABLES FROM {schema} WHERE Tables_in_{schema} <> 'schema_migrations'")
    made = {}
    for (name,) in cursor.fetchall():
        cursor.execute(f"SHOW CREATE TABLE {schema}.{name}")
        made[name] = re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1])
    return made


def run_partly(settings, schema, files, count):
    """Do what dbmate does until it is killed: run and record all files but the last, of that `count` statements."""
    with connect(settings, database=schema, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version VARCHAR(128) PRIMARY KEY)")
        for file in files[:-1]:
            for statement in statements(file):
                cursor.execute(statement)
            cursor.execute("INSERT INTO schema_migrations VALUES (%s)", (file.name[:4],))
        cursor.execute("START TRANSACTION")
        for statement in statements(files[-1])[:count]:
            cursor.execute(statement)


@pytest.mark.parametrize(("number", "count"), INTERRUPTIONS)
def test_run_after_an_interrupted_one_completes_the_schema(environ, schema, cursor, database_settings, number, count):
    cursor.execute(f"CREATE DATABASE {schema}")
    run_partly(database_settings, schema, FILES[: number + 1], count)

    run = migrate(environ)

    missing = ", ".join(file.name for file in FILES[number:])
    assert run.stdout == f"Schema {schema}: applied {missing}.\n", run.stderr
    assert tables(cursor, schema) == tables(cursor, database_settings.name)
    assert fetch(cursor, f"SELECT COUNT(*) FROM {schema}.idempotency_slots") == 1000
    assert migrate(environ).stdout == f"Schema {schema}: {NOTHING}\n"


# Killed with -9 it leaves its dbmate behind, which finishes the file.
@pytest.mark.parametrize(
    ("number", "last_words", "missing"),
    [
        (signal.SIGKILL, "", FILES[2:]),
        (signal.SIGTERM, "migrate: interrupted by SIGTERM; run it again to complete the schema\n", FILES[1:]),
        (signal.SIGINT, "migrate: interrupted by SIGINT; run it again to complete the schema\n", FILES[1:]),
    ],
)
def test_run_after_an_interrupted_one_waits_for_its_alter(
    environ, schema, cursor, database_settings, number, last_words, missing
):
    cursor.execute(f"CREATE DATABASE {schema}")
    run_partly(database_settings, schema, FILES[:2], 0)
    cursor.execute(f"LOCK TABLES {schema}.customer_grams READ")
    interrupted = start_migration(environ)
    wait_until(lambda: clients(cursor, schema, "Waiting for table metadata lock") == 1)
    interrupted.send_signal(number)
    assert interrupted.communicate(timeout=20)[0] == last_words

    run = start_migration(environ)
    assert run.stdout.readline().startswith("migrate: waiting for another run")
    assert clients(cursor, schema, "Waiting for table metadata lock") == 1
    cursor.execute("UNLOCK TABLES")
    output = run.communicate(timeout=60)[0]

    assert output == f"Schema {schema}: applied {', '.join(file.name for file in missing)}.\n"
    assert tables(cursor, schema) == tables(cursor, database_settings.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_run_that_waits(environ, schema, cursor, number):
    assert fetch(cursor, "SELECT GET_LOCK(%s, 0)", f"migrate:{schema}") == 1
    waiting = start_migration(environ)
    assert waiting.stdout.readline().startswith("migrate: waiting for another run")

    waiting.send_signal(number)

    assert waiting.communicate(timeout=20)[0].startswith(f"migrate: interrupted by {number.name};")
    assert waiting.returncode == 1


def entries(cursor, schema):
    """Return the search entries of both tables."""
    cursor.execute(
        f"""
        SELECT 'customer', HEX(WEIGHT_STRING(gram)) AS weight, id, rest FROM {schema}.customer_grams
         UNION ALL SELECT 'product', HEX(WEIGHT_STRING(gram)), id, rest FROM {schema}.product_grams
         ORDER BY 1, id, weight, rest
        """
    )
    return [(table, weight, row_id, rest.lower()) for table, weight, row_id, rest in cursor.fetchall()]


def forget_the_rests(cursor, schema, table):
    """Bring a table of search entries back to what it was before migration 0002, its rows too."""
    cursor.execute(f"CREATE TABLE {schema}.older SELECT DISTINCT gram, id FROM {schema}.{table}")
    cursor.execute(f"DELETE FROM {schema}.{table}")
    cursor.execute(f"ALTER TABLE {schema}.{table} DROP PRIMARY KEY, DROP COLUMN rest, ADD PRIMARY KEY (gram, id)")
    cursor.execute(f"INSERT INTO {schema}.{table} SELECT gram, id FROM {schema}.older")
    cursor.execute(f"DROP TABLE {schema}.older")


@pytest.mark.parametrize("count", range(len(statements(FILES[2])) + 1))
def test_search_entries_of_the_first_schema_become_those_that_are_written_now(
    environ, schema, cursor, database_settings, count
):
    migrate(environ)
    assert run_module("sql.seed", environ=environ).returncode == 0
    written_now = entries(cursor, schema)
    forget_the_rests(cursor, schema, "customer_grams")
    forget_the_rests(cursor, schema, "product_grams")
    cursor.execute(f"DELETE FROM {schema}.schema_migrations WHERE version > '0001'")
    cursor.execute("COMMIT")
    run_partly(database_settings, schema, FILES[1:3], count)

    run = migrate(environ)

    assert run.returncode == 0, run.stderr
    assert len(written_now) > 150
    assert entries(cursor, schema) == written_now


# --- the seed --------------------------------------------------------------------------


def contents(cursor, schema):
    """Return the rows that the seed is about; a new hash of a password is no change."""
    rows = []
    for columns in (
        "id, name, email, phone, version FROM {}.customers",
        "id, sku, price_cents, stock FROM {}.products",
        "id, username, role, active FROM {}.operators",
    ):
        cursor.execute(f"SELECT {columns.format(schema)} ORDER BY id")
        rows.append(cursor.fetchall())
    return rows


def test_seed_twice_is_seed_once(environ, schema, cursor):
    migrate(environ)
    assert run_module("sql.seed", environ=environ).returncode == 0
    first = contents(cursor, schema)

    again = run_module("sql.seed", environ=environ)

    assert again.returncode == 0, again.stderr
    assert [len(rows) for rows in first] == [3, 5, 2]
    assert contents(cursor, schema) == first


def test_seed_leaves_what_operators_changed(environ, schema, cursor):
    migrate(environ)
    run_module("sql.seed", environ=environ)
    cursor.execute(f"UPDATE {schema}.customers SET name = 'ACME Ltd', version = 2 WHERE email = 'ops@acme.example'")
    cursor.execute(f"UPDATE {schema}.products SET stock = 1, price_cents = 1 WHERE sku = 'SKU-001'")
    cursor.execute(f"UPDATE {schema}.operators SET role = 'viewer', active = FALSE WHERE username = 'demo'")
    cursor.execute("COMMIT")
    changed = contents(cursor, schema)

    again = run_module("sql.seed", environ=environ)

    assert again.returncode == 0, again.stderr
    assert contents(cursor, schema) == changed


# --- what the database itself refuses --------------------------------------------------

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
OPERATOR = "INSERT INTO operators (username, password_hash, role, created_at) VALUES ('{}', 'h', '{}', '2026-01-01')"

CHECK, DUPLICATE, NO_PARENT, HAS_CHILDREN = 3819, 1062, 1452, 1451

REFUSED = [
    # customers
    (CUSTOMER.format(700000902, "living@e.test", "NULL"), DUPLICATE, "uq_customers_email"),
    (CUSTOMER.format(700000902, "LIVING@E.TEST", "NULL"), DUPLICATE, "uq_customers_email"),
    ("UPDATE customers SET deleted_at = NULL WHERE id = 700000901", DUPLICATE, "uq_customers_email"),
    ("DELETE FROM customers WHERE id = 700000900", HAS_CHILDREN, "fk_orders_customer"),
    # products
    (PRODUCT.format(700000902, "TAKEN", 100, 1), DUPLICATE, "uq_products_sku"),
    (PRODUCT.format(700000902, "taken", 100, 1), DUPLICATE, "uq_products_sku"),
    (PRODUCT.format(700000902, "NEW", 100, -1), CHECK, "ck_products_stock_not_negative"),
    ("UPDATE products SET stock = stock - 8 WHERE id = 700000900", CHECK, "ck_products_stock_not_negative"),
    (PRODUCT.format(700000902, "NEW", -1, 1), CHECK, "ck_products_price"),
    (PRODUCT.format(700000902, "NEW", 100_000_001, 1), CHECK, "ck_products_price"),
    ("DELETE FROM products WHERE id = 700000900", HAS_CHILDREN, "fk_order_items_product"),
    # orders
    (ORDER.format(700000902, 700000999, "'PO-2'", "CREATED", 1, "NULL", "NULL"), NO_PARENT, "fk_orders_customer"),
    # MySQL 9.7 checks no foreign key when another column of the index that serves it is NULL.
    (ORDER.format(700000902, 700000999, "NULL", "CREATED", 1, "NULL", "NULL"), NO_PARENT, "fk_orders_customer"),
    ("UPDATE orders SET customer_id = 700000999 WHERE id = 700000901", NO_PARENT, "fk_orders_customer"),
    (ORDER.format(700000902, 700000900, "'PO-1'", "CREATED", 1, "NULL", "NULL"), DUPLICATE, "uq_orders_reference"),
    ("UPDATE orders SET status = 'CREATED', canceled_at = NULL WHERE id = 700000901", DUPLICATE, "uq_orders_reference"),
    (ORDER.format(700000902, 700000900, "NULL", "PAID", 1, "NULL", "NULL"), CHECK, "ck_orders_status"),
    (ORDER.format(700000902, 700000900, "NULL", "", 1, "NULL", "NULL"), CHECK, "ck_orders_status"),
    (ORDER.format(700000902, 700000900, "NULL", "CREATED", -1, "NULL", "NULL"), CHECK, "ck_orders_total"),
    (ORDER.format(700000902, 700000900, "NULL", "CONFIRMED", 1, "NULL", "NULL"), CHECK, "ck_orders_confirmed_at"),
    (ORDER.format(700000902, 700000900, "NULL", "CANCELED", 1, "NULL", "NULL"), CHECK, "ck_orders_canceled_at"),
    (ORDER.format(700000902, 700000900, "NULL", "CREATED", 1, "NULL", NOW), CHECK, "ck_orders_canceled_at"),
    ("DELETE FROM orders WHERE id = 700000900", HAS_CHILDREN, "fk_order_"),
    # lines
    (ITEM.format(700000900, 700000901, 0, 100, 0), CHECK, "ck_order_items_qty_positive"),
    (ITEM.format(700000900, 700000901, -1, 100, -100), CHECK, "ck_order_items_qty_positive"),
    (ITEM.format(700000900, 700000901, 2, 100, 100), CHECK, "ck_order_items_subtotal"),
    ("UPDATE order_items SET qty = 2 WHERE order_id = 700000900", CHECK, "ck_order_items_subtotal"),
    (ITEM.format(700000900, 700000901, 1, -1, -1), CHECK, "ck_order_items_price"),
    (ITEM.format(700000900, 700000900, 1, 100, 100), DUPLICATE, "order_items.PRIMARY"),
    (ITEM.format(700000999, 700000901, 1, 100, 100), NO_PARENT, "fk_order_items_order"),
    (ITEM.format(700000900, 700000999, 1, 100, 100), NO_PARENT, "fk_order_items_product"),
    # events, operators, keys
    (EVENT.format(700000999, "created"), NO_PARENT, "fk_order_events_order"),
    (EVENT.format(700000900, "shipped"), CHECK, "ck_order_events_type"),
    (OPERATOR.format("someone", "root"), CHECK, "ck_operators_role"),
    (OPERATOR.format("service", "viewer"), CHECK, "ck_operators_username_not_reserved"),
    (OPERATOR.format("System", "viewer"), CHECK, "ck_operators_username_not_reserved"),
    (OPERATOR.format("KNOWN", "viewer"), DUPLICATE, "uq_operators_username"),
]


@pytest.fixture
def rows(other_connection):
    """A cursor on a schema with one row of everything, and a deleted and canceled twin; nothing of it stays."""
    with other_connection.cursor(buffered=True) as cursor:
        cursor.execute("START TRANSACTION")
        for statement in (
            CUSTOMER.format(700000900, "living@e.test", "NULL"),
            CUSTOMER.format(700000901, "living@e.test", NOW),
            PRODUCT.format(700000900, "TAKEN", 100, 7),
            PRODUCT.format(700000901, "OTHER", 100, 7),
            ORDER.format(700000900, 700000900, "'PO-1'", "CONFIRMED", 100, NOW, "NULL"),
            ORDER.format(700000901, 700000900, "'PO-1'", "CANCELED", 100, "NULL", NOW),
            ITEM.format(700000900, 700000900, 1, 100, 100),
            EVENT.format(700000900, "created"),
            OPERATOR.format("known", "viewer"),
        ):
            cursor.execute(statement)
        yield cursor
        other_connection.rollback()


@pytest.mark.parametrize(("statement", "errno", "name"), REFUSED)
def test_database_refuses_what_must_never_be_true(rows, statement, errno, name):
    with pytest.raises(errors.Error) as refusal:
        rows.execute(statement)

    assert (refusal.value.errno, name in refusal.value.msg) == (errno, True), refusal.value.msg


@pytest.mark.parametrize(
    "statement",
    [
        CUSTOMER.format(700000902, "living@e.test", NOW),
        ORDER.format(700000902, 700000900, "'PO-1'", "CANCELED", 1, "NULL", NOW),
        ORDER.format(700000902, 700000900, "'PO-2'", "CREATED", 1, "NULL", "NULL"),
        ORDER.format(700000902, 700000900, "NULL", "CREATED", 0, "NULL", "NULL"),
        "UPDATE products SET stock = 0 WHERE id = 700000900",
        ITEM.format(700000900, 700000901, 2, 0, 0),
    ],
    ids=[
        "second deleted twin",
        "second canceled twin",
        "other reference",
        "no reference",
        "no stock",
        "free of charge",
    ],
)
def test_database_takes_what_may_be_true(rows, statement):
    rows.execute(statement)

    assert rows.rowcount == 1


def test_canceled_order_gives_its_reference_free(rows):
    rows.execute("UPDATE orders SET status = 'CANCELED', canceled_at = '2026-01-01' WHERE id = 700000900")

    rows.execute(ORDER.format(700000902, 700000900, "'PO-1'", "CREATED", 1, "NULL", "NULL"))

    assert rows.rowcount == 1


def test_deleted_customer_gives_its_email_free(rows):
    rows.execute("UPDATE customers SET deleted_at = '2026-01-01' WHERE id = 700000900")

    rows.execute(CUSTOMER.format(700000902, "living@e.test", "NULL"))

    assert rows.rowcount == 1
