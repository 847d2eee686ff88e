"""`/health/ready` in process: what it asks. With servers that hang: tests/system."""

import dataclasses

import pytest

from common import database as database_module
from common import health
from tests.conftest import ROOT
from tests.contract_client import refusal


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine is no database that hangs."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 10)
    monkeypatch.setattr(database_module, "PROBE_SECONDS", 10)


@pytest.fixture
def make_schema(other_connection, database_settings):
    """`make_schema(statement, …)` returns the settings of a schema made by statements; it is dropped at the end."""
    name = f"{database_settings.name}_health"
    cursor = other_connection.cursor()

    def make(*statements):
        cursor.execute(f"CREATE DATABASE {name}")
        for statement in statements:
            cursor.execute(statement.format(name=name))
        other_connection.commit()
        return dataclasses.replace(database_settings, name=name)

    yield make
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.mark.parametrize(("make_api", "service"), [("make_customers_api", "customers"), ("make_orders_api", "orders")])
@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_needs_no_token(request, make_api, service, path):
    response = request.getfixturevalue(make_api)().get(path, token=None)

    assert response.json == {"ok": True, "status": "ok", "service": service}


def test_version_of_the_code_is_the_newest_migration():
    newest = max(path.name for path in (ROOT / "sql" / "migrations").glob("*.sql"))

    assert newest.partition("_")[0] == database_module.SCHEMA_VERSION


@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["CREATE TABLE {name}.schema_migrations (version VARCHAR(128) PRIMARY KEY)",
         "INSERT INTO {name}.schema_migrations VALUES ('0000')"],
    ],
    ids=["empty", "an older one applied"],
)  # fmt: skip
def test_schema_that_lacks_a_migration_is_not_ready(make_orders_api, make_database, make_schema, statements):
    api = make_orders_api(database=make_database(settings=make_schema(*statements)))

    response = api.get("/health/ready")

    assert refusal(response) == (503, "schema_outdated")
    assert int(response.headers["Retry-After"]) >= 1


def test_schema_of_a_newer_version_is_ready(make_orders_api, make_database, make_schema):
    # Migrations come before the code that needs them, while the old code still runs.
    settings = make_schema(
        "CREATE TABLE {name}.schema_migrations (version VARCHAR(128) PRIMARY KEY)",
        f"INSERT INTO {{name}}.schema_migrations VALUES ('{database_module.SCHEMA_VERSION}'), ('9999')",
    )

    assert make_orders_api(database=make_database(settings=settings)).get("/health/ready").status_code == 200


def test_probe_keeps_its_connection(make_orders_api, make_database, monkeypatch):
    monkeypatch.setattr(database_module, "PROBE_SECONDS", 0)
    database = make_database()
    api = make_orders_api(database=database)

    def select_id(tx):
        tx.execute("SELECT CONNECTION_ID()")
        return tx.fetchall()

    ids = []
    for _ in range(2):
        assert api.get("/health/ready").status_code == 200
        ids.append(database.probe.connection.read(select_id))

    assert ids[0] == ids[1]
