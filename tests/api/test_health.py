"""`/health/ready` in process: what it asks, and that nobody waits for it. With servers that hang: tests/system."""

import dataclasses
import threading
import time

import pytest

from common import health
from tests.conftest import ROOT
from tests.contract_client import refusal

APIS = pytest.mark.parametrize(
    ("make_api", "service"), [("make_customers_api", "customers"), ("make_orders_api", "orders")]
)


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


@APIS
@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_needs_no_token(request, make_api, service, path):
    response = request.getfixturevalue(make_api)().get(path, token=None)

    assert response.json == {"ok": True, "status": "ok", "service": service}


def test_version_of_the_code_is_the_newest_migration():
    newest = max(path.name for path in (ROOT / "sql" / "migrations").glob("*.sql"))

    assert newest.partition("_")[0] == health.SCHEMA_VERSION


@APIS
def test_unreachable_database_is_not_ready_but_alive(request, make_api, service, make_database, database_settings):
    database = make_database(settings=dataclasses.replace(database_settings, port=1))
    api = request.getfixturevalue(make_api)(database=database)

    assert refusal(api.get("/health/ready")) == (503, "database_unavailable")
    assert api.get("/health/live").status_code == 200


@pytest.mark.reaches("schema_outdated")
@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["CREATE TABLE {name}.schema_migrations (version VARCHAR(128) PRIMARY KEY)"],
        ["CREATE TABLE {name}.schema_migrations (version VARCHAR(128) PRIMARY KEY)",
         "INSERT INTO {name}.schema_migrations VALUES ('0000')"],
    ],
    ids=["empty", "none applied", "an older one applied"],
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
        f"INSERT INTO {{name}}.schema_migrations VALUES ('{health.SCHEMA_VERSION}'), ('9999')",
    )

    assert make_orders_api(database=make_database(settings=settings)).get("/health/ready").status_code == 200


class HangingDatabase:
    """Stands in for a database that says nothing, until it is let go."""

    def __init__(self):
        self.released = threading.Event()
        self.asked = 0

    def impatient(self):
        return self

    def read(self, fn, *args):
        self.asked += 1
        self.released.wait(30)
        return {"is_read_only": 0, "has_schema": 1}

    def close(self):
        """Nothing is open."""


def test_probes_of_a_hanging_database_share_one_check_and_end_within_a_second(make_orders_api):
    database = HangingDatabase()
    api = make_orders_api(database=database)
    answers = []

    def probe():
        started = time.monotonic()
        answers.append((refusal(api.get("/health/ready")), time.monotonic() - started))

    threads = [threading.Thread(target=probe) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe()
    database.released.set()

    assert {answer for answer, _ in answers} == {(503, "database_unavailable")}
    assert max(seconds for _, seconds in answers) < 1
    assert answers[-1][1] < 0.3  # the check is overdue: nobody waits for it again
    assert database.asked == 1


def test_answer_is_given_again_for_a_moment_and_then_asked_for_anew(make_orders_api, monkeypatch):
    database = HangingDatabase()
    database.released.set()
    api = make_orders_api(database=database)

    monkeypatch.setattr(health, "FRESH_SECONDS", 60)
    together = [api.get("/health/ready").status_code for _ in range(5)]
    asked_together = database.asked
    monkeypatch.setattr(health, "FRESH_SECONDS", -1)
    apart = [api.get("/health/ready").status_code for _ in range(5)]

    assert together == apart == [200] * 5
    assert (asked_together, database.asked) == (1, 6)


def test_check_keeps_its_connection_until_something_is_wrong(
    make_orders_api, make_database, make_schema, other_connection, monkeypatch
):
    settings = make_schema(
        "CREATE TABLE {name}.schema_migrations (version VARCHAR(128) PRIMARY KEY)",
        f"INSERT INTO {{name}}.schema_migrations VALUES ('{health.SCHEMA_VERSION}')",
    )
    api = make_orders_api(database=make_database(settings=settings))
    monkeypatch.setattr(health, "FRESH_SECONDS", -1)

    before = connections(other_connection, settings)

    def check():
        """Return the status, and the ids of the connections afterwards."""
        return api.get("/health/ready").status_code, connections(other_connection, settings) - before

    first, second = check(), check()
    set_version(other_connection, settings, "0000")
    outdated = check()
    set_version(other_connection, settings, health.SCHEMA_VERSION)
    after = check()

    assert first == second
    assert (first[0], len(first[1])) == (200, 1)
    assert outdated == (503, set())
    assert (after[0], len(after[1])) == (200, 1)


def connections(connection, settings):
    """Return the ids of the connections that are open to the schema."""
    cursor = connection.cursor()
    cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (settings.name,))
    return {row[0] for row in cursor.fetchall()}


def set_version(connection, settings, version):
    connection.cursor().execute(f"UPDATE {settings.name}.schema_migrations SET version = %s", (version,))
    connection.commit()


def test_check_that_fails_as_nobody_thought_is_500_and_the_next_one_is_made(make_orders_api, monkeypatch, caplog):
    database = HangingDatabase()
    database.released.set()
    api = make_orders_api(database=database)
    monkeypatch.setattr(health, "FRESH_SECONDS", -1)

    with monkeypatch.context() as patch:
        patch.setattr(database, "read", lambda fn: 1 / 0)
        failed = api.get("/health/ready")
    after = api.get("/health/ready")

    assert refusal(failed) == (500, "internal_error")
    assert after.status_code == 200
    assert "ZeroDivisionError" in caplog.text


def test_check_that_never_ends_is_given_up_for_a_new_one(make_orders_api, monkeypatch):
    database = HangingDatabase()
    api = make_orders_api(database=database)
    hanging = api.get("/health/ready").status_code
    database.read = lambda fn, *args: {"is_read_only": 0, "has_schema": 1}
    monkeypatch.setattr(health, "ABANDONED_SECONDS", 0)

    response = api.get("/health/ready")
    database.released.set()

    assert (hanging, response.status_code) == (503, 200)
