"""What every test shares: a schema of its own on a real MySQL, and a clock that it moves."""

import dataclasses
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import mysql.connector
import pytest

from common import config, logs, times
from common.connection import driver_options
from common.database import Database
from common.problems import REGISTRY
from tests.contract_client import CODES_SEEN

ROOT = pathlib.Path(__file__).parent.parent
CONNECTIONS = 64  # as many as a test has threads


def run_module(*arguments, environ, stdin=""):
    """Run `python -m …` in the repository to its end and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environ,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # so that a test can send what is no UTF-8
        timeout=90,
        check=False,
    )


def migrate(name):
    """Create the schema `name` as `make migrate` does."""
    migration = run_module("sql.migrate", environ={**os.environ, "DB_NAME": name})
    assert migration.returncode == 0, migration.stderr


def connect(settings, **options) -> Any:  # the driver's annotations take each row for several things
    """Open a driver connection beside the application's: another client of the same server."""
    return mysql.connector.connect(**driver_options(settings), **options)


@pytest.fixture(scope="session")
def database_settings():
    """A freshly migrated schema, named after DB_NAME with `_test` and the half; one test run at a time."""
    environ = config.read_environment()
    half = environ.get("PYTEST_XDIST_WORKER", "")
    environ["DB_NAME"] = f"{config.load_database_settings(environ).name}_test{half}"
    settings = config.load_database_settings(environ)
    connection = connect(settings)
    cursor = connection.cursor(buffered=True)
    cursor.execute("SELECT GET_LOCK(%s, 0)", (settings.name,))
    assert cursor.fetchone() == (1,), f"another test run is using the schema {settings.name}"
    cursor.execute(f"DROP DATABASE IF EXISTS {settings.name}")
    migrate(settings.name)
    yield settings
    cursor.execute(f"DROP DATABASE {settings.name}")
    connection.close()


@pytest.fixture(scope="session")
def service_settings(database_settings):
    """{service: how it logs in to that schema}: as a test's DB_USER, where it has no account of its own."""
    environ = {**config.read_environment(), "DB_NAME": database_settings.name}
    return {service: config.load_database_settings(environ, service) for service in ("customers", "orders")}


@pytest.fixture(scope="session")
def system_schema(database_settings):
    """The name of a schema for a running stack, gone before and after."""
    name = f"{database_settings.name}_system"
    connection = connect(database_settings)
    cursor = connection.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    yield name
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    connection.close()


@pytest.fixture(scope="session")
def settings():
    """The development settings, whatever the environment says."""
    return config.load_settings({})


@pytest.fixture(scope="session")
def database(database_settings):
    """The database for whom may do everything: what a test prepares and looks at."""
    database = Database(database_settings, connections=CONNECTIONS)
    yield database
    database.close()


@pytest.fixture(scope="session")
def service_databases(service_settings):
    """{service: the database that its application gets, with no more rights than it has anywhere}."""
    databases = {name: Database(settings, connections=CONNECTIONS) for name, settings in service_settings.items()}
    yield databases
    for database in databases.values():
        database.close()


@pytest.fixture
def silent_settings(database_settings):
    """Settings of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield dataclasses.replace(database_settings, servers=(config.Server(*server.getsockname()),))


@pytest.fixture
def other_connection(database_settings):
    """A driver connection beside the application's: another client of the same schema."""
    connection = connect(database_settings, database=database_settings.name)
    yield connection
    connection.close()


@pytest.fixture
def log_lines(caplog, monkeypatch):
    """`log_lines(event)` returns the parsed lines of the log with that event, or all of them."""
    caplog.set_level(logging.INFO)
    requests = []
    monkeypatch.setattr(logs, "_last_logged", {})  # else what another test met within the second is missing
    monkeypatch.setattr(logs, "write", requests.append)

    def lines(event=None):
        others = [logs.Formatter().format(record) for record in caplog.records]
        return [line for line in map(json.loads, [*requests, *others]) if event in (None, line["event"])]

    return lines


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = times.utc_now()

    def __call__(self):
        return self.now

    def advance(self, **duration):
        self.now += timedelta(**duration)


@pytest.fixture
def clock():
    """Starts now, so that the library that checks tokens by the wall clock agrees."""
    return Clock()


# --- two parts at once -----------------------------------------------------------------

# On servers of their own, and on the stack of no other test.
ON_OWN_SERVERS = {
    *("test_backup.py", "test_faults.py", "test_fuzzing.py", "test_mysql_cluster.py", "test_mysql_server.py"),
    *("test_mysql_tls.py", "test_nginx.py", "test_replication.py"),
}


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks by the same hook
def pytest_collection_modifyitems(items):
    """Name the part that a test is in, for `--dist=loadgroup`: whichever of two processes is free takes the next."""
    for item in items:
        part = "programs" if item.path.is_relative_to(ROOT / "tests" / "system") else "rest"
        part = "servers" if item.path.name in ON_OWN_SERVERS else part
        item.add_marker(pytest.mark.xdist_group(part))


# --- every problem code is reached -----------------------------------------------------


def is_whole(config):
    """Tell whether all tests were run, and not some that the command line chose."""
    choices = ("keyword", "markexpr", "deselect", "lf", "collectonly")
    return config.args_source is config.ArgsSource.TESTPATHS and not any(map(config.getoption, choices))


def pytest_testnodedown(node, error):
    """Take over the codes that a half has seen, in the process that has started both."""
    CODES_SEEN.update(getattr(node, "workeroutput", {}).get("codes", ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    """Fail the whole suite's run if no test has seen some problem code."""
    is_half = hasattr(session.config, "workeroutput")
    if is_half:
        session.config.workeroutput["codes"] = sorted(CODES_SEEN)
    yield  # the terminal's summary
    if not is_half and exitstatus == 0 and is_whole(session.config) and (missing := REGISTRY.keys() - CODES_SEEN):
        pytest.exit(f"no test has seen the problem codes {sorted(missing)}", returncode=1)
