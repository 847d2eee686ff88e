"""Applies what is missing of sql/migrations: `python -m sql.migrate`, one run at a time.

dbmate does the work. It takes no lock, and of several at once all but one fail; MySQL's
GET_LOCK around it makes the others wait. If we are killed the lock goes with its
connection, and dbmate finishes what it has begun.
"""

import os
import pathlib
import platform
import subprocess
import sys
from typing import Any
from urllib.parse import quote

import mysql.connector
from mysql.connector import errors

from common import config

ROOT = pathlib.Path(__file__).parent.parent
MIGRATIONS = ROOT / "sql" / "migrations"
LOCK_SECONDS = 60  # the longest that another run may keep us waiting

ER_BAD_DB_ERROR = 1049


def dbmate_path() -> pathlib.Path:
    """Return dbmate's own binary: it needs no Node, only its npm package."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    return ROOT / "node_modules" / "@dbmate" / f"{sys.platform}-{machine}" / "bin" / "dbmate"


def open_connection(settings: config.DatabaseSettings) -> Any:
    """Connect to the schema, making it first if it is not there."""
    # Any: to the driver's annotations it may be one of several kinds, and a row as well.
    options = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": settings.password,
        "use_pure": False,
        "connection_timeout": 5,
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


def migrate(settings: config.DatabaseSettings):
    """Apply the missing migrations under a lock on the schema's name; raise SystemExit if one fails."""
    with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", (f"migrate:{settings.name}"[:64], LOCK_SECONDS))
        if cursor.fetchone() != (1,):
            raise SystemExit(f"migrate: another run has held the lock for {LOCK_SECONDS} s; try again")
        # In the environment, where other users of the machine can't read the password.
        login = f"{quote(settings.user, safe='')}:{quote(settings.password, safe='')}"
        address = f"mysql://{login}@{settings.host}:{settings.port}/{settings.name}?tls=preferred"
        dbmate = subprocess.run(
            [dbmate_path(), "--no-dump-schema", "--migrations-dir", MIGRATIONS, "migrate"],
            env={**os.environ, "DATABASE_URL": address},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if dbmate.returncode != 0:
        raise SystemExit(f"migrate: {(dbmate.stderr or dbmate.stdout).strip()}")
    applied = [
        line.split(": ", 1)[1].split(" ")[0] for line in dbmate.stdout.splitlines() if line.startswith("Applied")
    ]
    print(f"Schema {settings.name}: " + (f"applied {', '.join(applied)}." if applied else "nothing to apply."))


def main():
    """Migrate the database that the environment names."""
    with config.exit_on_error():
        settings = config.load_database_settings(config.read_environment())
    if not dbmate_path().exists():
        raise SystemExit("migrate: dbmate is missing; run make, or npm ci --ignore-scripts")
    try:
        migrate(settings)
    except errors.Error as ex:
        raise SystemExit(f"migrate: MySQL at {settings.host}:{settings.port} says: {ex.msg}") from ex


if __name__ == "__main__":
    main()
