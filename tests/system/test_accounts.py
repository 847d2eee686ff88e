"""Who may do what in MySQL: what sql/accounts makes, and what make migrate grants."""

import os
import subprocess

import mysql.connector
import pytest
from mysql.connector import errors

from sql.grants import GRANTS
from tests.conftest import run_module
from tests.system.conftest import ROOT, free_ports
from tests.system.services import Service

PASSWORD = "b2b-development"
READER = "a.reader"


def run_accounts(*arguments, **settings):
    """Run sql/accounts with these settings alone."""
    environ = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run(
        [ROOT / "sql" / "accounts", *arguments], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture(scope="module")
def root(own_server):
    """The administrator's cursor."""
    with own_server.root() as cursor:
        yield cursor


@pytest.fixture(scope="module")
def execute_as(own_server, root):
    """`execute_as(user, statement, password=…)` returns the rows of a statement in a migrated schema."""
    # A reading person's account, made as docs/scaling.md says.
    root.execute(f"CREATE USER '{READER}' IDENTIFIED BY '{PASSWORD}' DEFAULT ROLE b2b_read")
    migration = run_module("sql.migrate", environ={**own_server.environ, "DB_PORT": str(own_server.port)})
    assert migration.returncode == 0, migration.stderr

    def execute(user, statement, password=PASSWORD):
        login = {"host": "127.0.0.1", "port": own_server.port, "user": user, "password": password}
        with mysql.connector.connect(**login, database="b2b", use_pure=False) as connection:
            cursor = connection.cursor(buffered=True)
            cursor.execute(statement)
            return cursor.fetchall()

    return execute


# --- rights ----------------------------------------------------------------------------

REFUSED = [
    ("b2b_customers_api", "DELETE FROM customers"),
    ("b2b_customers_api", "DELETE FROM operators"),
    ("b2b_customers_api", "SELECT id FROM orders"),
    ("b2b_customers_api", "UPDATE products SET stock = 0"),
    ("b2b_orders_api", "SELECT password_hash FROM operators"),
    ("b2b_orders_api", "SELECT email FROM customers"),
    ("b2b_orders_api", "SELECT id FROM customers FOR UPDATE"),
    ("b2b_orders_api", "UPDATE customers SET deleted_at = NULL"),
    ("b2b_orders_api", "DELETE FROM orders"),
    ("b2b_orders_api", "UPDATE events SET actor = 'nobody'"),
    ("b2b_orders_api", "DELETE FROM events"),
    ("b2b_orders_api", "DROP TABLE events"),
    (READER, "SELECT password_hash FROM operators"),
    (READER, "UPDATE products SET stock = 0"),
]


@pytest.mark.parametrize(("user", "statement"), REFUSED)
def test_account_may_not(execute_as, user, statement):
    with pytest.raises(errors.ProgrammingError) as caught:
        execute_as(user, statement)

    assert caught.value.errno in (1142, 1143)  # the table, the column


def test_every_table_is_some_roles(execute_as):
    granted = {table for tables in GRANTS.values() for table in tables}
    of_the_version_before = {"customer_grams", "product_grams"}

    assert {table for (table,) in execute_as("b2b", "SHOW TABLES")} == granted | of_the_version_before


# --- accounts --------------------------------------------------------------------------


def test_account_of_any_password_gets_its_role_and_another_run_changes_nothing(execute_as, root, tmp_path):
    password = "it's \\ a `pass` %s $word é"
    (tmp_path / "password").write_text(password + "\n")
    settings = {"ORDERS_DB_USER": "shop-1.orders", "ORDERS_DB_PASSWORD_FILE": str(tmp_path / "password")}
    for _ in range(2):
        for statement in run_accounts(**settings).stdout.splitlines():
            root.execute(statement)

    rows = execute_as("shop-1.orders", "SELECT CURRENT_USER(), COUNT(*) FROM orders", password)
    assert rows == [("shop-1.orders@%", 0)]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"ORDERS_DB_USER": "b2b_orders", "ORDERS_DB_PASSWORD": PASSWORD}, "ORDERS_DB_USER"),
        ({"CUSTOMERS_DB_USER": "o'hara", "CUSTOMERS_DB_PASSWORD": PASSWORD}, "CUSTOMERS_DB_USER"),
        ({"DB_USER": "b2b"}, "DB_PASSWORD"),
        ({"DB_USER": "b2b", "DB_PASSWORD": "two\nlines"}, "DB_PASSWORD"),
    ],
)
def test_account_that_can_not_be_made_is_refused(settings, name):
    run = run_accounts(**settings)

    assert run.returncode == 1
    assert run.stderr.startswith(f"accounts: {name} ")


@pytest.mark.parametrize("settings", [{}, {"DB_USER": "b2b", "DB_PASSWORD": PASSWORD, "ORDERS_DB_USER": "shop"}])
def test_all_accounts_are_made_or_none(settings):
    run = run_accounts(**settings)

    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1


def test_migrating_account_is_of_one_schema_whatever_its_name():
    run = run_accounts(DB_USER="b2b", DB_PASSWORD=PASSWORD, DB_NAME="b2b_prod")

    assert r"GRANT ALL ON `b2b\_prod`.* TO 'b2b'@'%' WITH GRANT OPTION;" in run.stdout.splitlines()


def test_server_of_before_migrates_and_serves_and_says_what_it_lacks(own_server, root, tmp_path):
    root.execute(f"CREATE USER 'before'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
    root.execute("GRANT ALL ON `b2b%`.* TO 'before'@'127.0.0.1'")
    environ = {**own_server.environ, **own_server.login("before", PASSWORD), "DB_NAME": "b2b_before"}

    migration = run_module("sql.migrate", environ=environ)
    service = Service("orders", free_ports(1)[0], environ, tmp_path).start()
    status = service.get("/health/ready")
    service.end()

    assert migration.returncode == 0
    assert "An administrator has to run what sql/accounts prints" in migration.stdout.splitlines()[-2]
    assert status == 200
    assert service.log().count("ORDERS_DB_USER is not set: orders logs in as DB_USER") == 1
