"""Applies what is missing of sql/migrations: `python -m sql.migrate`, one run at a time.

dbmate does the work: it runs a file, then records it. MySQL commits each change of a
table by itself, so an interrupted file runs again from its top: every file must bear that.
dbmate takes no lock, and of several at once all but one fail. Two of MySQL's named locks
stand around it: a run holds the first, and dbmate's own session the second.

Then it grants what sql/grants.py says, each time, so that no table is without readers.
"""

import os
import pathlib
import platform
import signal
import subprocess
import sys
from typing import Any
from urllib.parse import quote, urlencode

import mysql.connector
from mysql.connector import errors

from common import config
from common.connection import at_primary, driver_options
from sql.grants import GRANTS

ROOT = pathlib.Path(__file__).parent.parent
MIGRATIONS = ROOT / "sql" / "migrations"
WAIT_SECONDS = 1800  # for others; 0003 and 0006 take some ten minutes each for a million customers

ER_BAD_DB_ERROR = 1049
# A role isn't there; the account may not grant, on the schema or on a table.
MAY_NOT_GRANT = frozenset({1410, 1044, 1142})


def dbmate_path() -> pathlib.Path:
    """Return dbmate's own binary: it needs no Node, only its npm package."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    return ROOT / "node_modules" / "@dbmate" / f"{sys.platform}-{machine}" / "bin" / "dbmate"


def open_connection(settings: config.DatabaseSettings) -> Any:
    """Connect to the schema, making it first if it is not there."""
    # Any: to the driver's annotations it may be one of several kinds, and a row as well.
    options = driver_options(settings) | {
        "connection_timeout": 5,
        "consume_results": True,  # a signal may come before the result is fetched
    }
    try:
        return mysql.connector.connect(database=settings.name, **options)
    except errors.Error as ex:
        if ex.errno != ER_BAD_DB_ERROR:
            raise
    connection = mysql.connector.connect(**options)
    # The name is letters, digits and _ (common/config.py); a schema's name can't be bound.
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE IF NOT EXISTS `{settings.name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci"
        )
        cursor.execute(f"USE `{settings.name}`")
    return connection


def take_lock(cursor: Any, lock: str):
    """Wait for one of MySQL's named locks; raise SystemExit if that takes too long."""
    for second in range(WAIT_SECONDS):
        # A second at a time: Python handles a signal only between two statements.
        cursor.execute("SELECT GET_LOCK(%s, 1)", (lock,))
        if cursor.fetchone() == (1,):
            return
        if second == 0:
            print("migrate: waiting for another run, or for what MySQL still does for an interrupted one", flush=True)
    raise SystemExit(f"migrate: the schema is still being changed after {WAIT_SECONDS} s; try again later")


def dbmate_environment(settings: config.DatabaseSettings) -> dict[str, str]:
    """Return the environment in which dbmate reaches the schema."""
    # When we are killed, dbmate may run on; when dbmate is killed, its ALTER runs on at the
    # server. So dbmate's own session takes the second lock as it begins, and MySQL frees that
    # only with the session, after its last statement. dbmate's driver makes a SET of the last two:
    options = {
        "tls": "true" if settings.tls_ca else "preferred",
        # Without the lock '' is refused, and so the session. 0003 relies on what its readers lock.
        "transaction_isolation": f"IF(GET_LOCK('{session_lock(settings)}', 60), 'REPEATABLE-READ', '')",
        "wait_timeout": "60",  # seconds until MySQL ends the session of a client that vanished
    }
    login = f"{quote(settings.user, safe='')}:{quote(settings.password, safe='')}"
    address = f"mysql://{login}@{settings.servers[0]}/{settings.name}?{urlencode(options)}"
    # In the environment, where other users of the machine can't read the password.
    environ = {**os.environ, "DATABASE_URL": address}
    if settings.tls_ca:
        # Go's own names. Without the second one the machine's authorities would count too. On macOS Go asks only those.
        environ |= {"SSL_CERT_FILE": settings.tls_ca, "SSL_CERT_DIR": os.devnull}
    return environ


def session_lock(settings: config.DatabaseSettings) -> str:
    """Return the name of the lock that dbmate's session has."""
    return f"migrating:{settings.name}"[:64]


def migrate(settings: config.DatabaseSettings):
    """Apply the missing migrations, one run at a time; raise SystemExit if one fails."""
    with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
        take_lock(cursor, f"migrate:{settings.name}"[:64])
        take_lock(cursor, session_lock(settings))
        cursor.execute("SELECT RELEASE_LOCK(%s)", (session_lock(settings),))
        dbmate = subprocess.run(
            [dbmate_path(), "--no-dump-schema", "--migrations-dir", MIGRATIONS, "migrate"],
            env=dbmate_environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if dbmate.returncode != 0:
            raise SystemExit(f"migrate: {(dbmate.stderr or dbmate.stdout).strip()}")
        grant_rights(cursor, settings)
    applied = [
        line.split(": ", 1)[1].split(" ")[0] for line in dbmate.stdout.splitlines() if line.startswith("Applied")
    ]
    print(f"Schema {settings.name}: " + (f"applied {', '.join(applied)}." if applied else "nothing to apply."))


def grant_rights(cursor: Any, settings: config.DatabaseSettings):
    """Give the roles their rights; say so if they aren't there, or if this account may not grant."""
    try:
        for role, tables in GRANTS.items():
            for table, rights in tables.items():
                cursor.execute(f"GRANT {rights} ON `{settings.name}`.`{table}` TO {role}")
    except errors.Error as ex:
        if ex.errno not in MAY_NOT_GRANT:
            raise
        print(
            f"migrate: the services' roles got no rights on what is new: {ex.msg}."
            " An administrator has to run what sql/accounts prints (docs/scaling.md); then migrate again",
            flush=True,
        )


def interrupt(number: int, _frame: Any):
    """End dbmate with us: subprocess.run kills it on any exception."""
    raise SystemExit(f"migrate: interrupted by {signal.Signals(number).name}; run it again to complete the schema")


def main():
    """Migrate the database that the environment names."""
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    with config.exit_on_error():
        settings = config.load_database_settings(config.read_environment())
    if not dbmate_path().exists():
        raise SystemExit("migrate: dbmate is missing; run make, or npm ci --ignore-scripts")
    try:
        migrate(at_primary(settings))
    except errors.Error as ex:
        raise SystemExit(f"migrate: MySQL at {', '.join(map(str, settings.servers))} says: {ex.msg}") from ex


if __name__ == "__main__":
    main()
