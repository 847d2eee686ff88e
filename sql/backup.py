"""Backs up, restores and tries backups: `python -m sql.backup backup|restore|verify FILE`.

MySQL's own mysqldump and mysql do the work, through sql/mysql-server. FILE is what mysqldump writes, by gzip.

`verify` restores FILE on the private server, dumps that, and compares the two line by line: the definition of each
table, and each row. It leaves out comments and the settings of the session (`--` and `/*!`): they tell the versions of
server and mysqldump, and FILE may be from others. A definition that another version writes differently is a difference.
"""

import gzip
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from mysql.connector import errors

from common import config
from common.config import DatabaseSettings
from common.connection import at_primary
from common.database import SCHEMA_VERSION, Database
from orders import jobs
from sql.migrate import ROOT, grant_rights, open_connection

SERVER = ROOT / "sql" / "mysql-server"
MYSQLDUMP = (
    "--single-transaction",  # one snapshot, and nobody waits
    "--set-gtid-purged=OFF",  # else only a server without transactions of its own could take it
    # Both would need a right on the whole server. Only the newest mysqldump knows the second one; others warn.
    "--no-tablespaces",
    "--loose-skip-masking-policies",
    "--hex-blob",
    "--default-character-set=utf8mb4",
    "--order-by-primary",
    "--skip-dump-date",  # the same rows are the same file
    "--skip-add-drop-table",  # loading it replaces nothing
)
# Numbers that are passed over: more than were given between the backup and the loss, so that none is given twice.
PASSED_OVER = 1_000_000
NEWEST_MIGRATION = "SELECT MAX(version) FROM schema_migrations"
COUNTED = ("customers", "products", "orders", "events")


@contextmanager
def running(settings: DatabaseSettings, command: str, *options: str, **pipes: Any) -> Iterator[Any]:
    """Run sql/mysql-server's `client` or `dump` on that database to its end; SystemExit if it fails."""
    database = {
        "DB_HOST": str(settings.servers[0]),
        "DB_USER": settings.user,
        "DB_PASSWORD": settings.password,
        "DB_PASSWORD_FILE": "",
        "DB_NAME": settings.name,
        "DB_TLS_CA": settings.tls_ca or "",
    }
    with subprocess.Popen([SERVER, command, *options], env=os.environ | database, **pipes) as process:
        try:
            yield process
        except BrokenPipeError:
            pass  # it has ended, and said why
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise SystemExit(f"backup: {command} ended with {process.returncode}; MySQL's own words are above")


def backup(path: pathlib.Path, settings: DatabaseSettings):
    """Write the backup beside `path`, and give it that name once it is whole and on the disk."""
    new = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SystemExit(f"backup: {new} is there: another run writes it, or was killed; then remove it") from None
    try:
        with os.fdopen(descriptor, "wb") as raw:
            if path.exists():  # and from now on no other run makes it
                raise SystemExit(f"backup: {path} is there; nothing is written over it")  # noqa: TRY301 - removes `new`
            with (
                running(settings, "dump", *MYSQLDUMP, stdout=subprocess.PIPE) as dump,
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
            ):
                shutil.copyfileobj(dump.stdout, file)
            raw.flush()
            os.fsync(raw.fileno())
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the name, too
    os.close(folder)
    print(f"{settings.name} is in {path}, {path.stat().st_size} bytes. Next: make verify-backup FILE={path}")


def restore(path: pathlib.Path, settings: DatabaseSettings):
    """Load the backup into an empty schema, pass over numbers, and grant the services their rights."""
    read_through(path)
    with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
        if tables := numbers_of_tables(cursor):
            raise SystemExit(f"backup: the schema {settings.name} has {len(tables)} tables; it has to be empty")
    try:
        load(path, settings)
        with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
            pass_over_numbers(cursor)
            connection.commit()
            is_old = value_of(cursor, NEWEST_MIGRATION) < SCHEMA_VERSION
            if not is_old:
                grant_rights(cursor, settings)
    except BaseException:
        print(f"backup: the schema {settings.name} is half restored; drop it before the next try", file=sys.stderr)
        raise
    print(f"{path} is restored in {settings.name}; new numbers are higher by {PASSED_OVER:,}.")
    print(f"Next: {'make migrate, for it is of an older version; then ' if is_old else ''}make verify")


def verify(path: pathlib.Path, settings: DatabaseSettings):
    """Restore the backup into a schema of the private server; SystemExit if what comes back differs or doesn't add up.

    A backup may be old, so orders that are overdue by now are no fault of it.
    """
    read_through(path)
    start = subprocess.run([SERVER, "start"], env=os.environ | {"DB_HOST": ""}, stdout=sys.stderr, check=False)
    if start.returncode != 0:
        raise SystemExit("backup: the private server, on which a backup is tried, didn't start")
    try:
        with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
            load(path, settings)
            compare(path, settings)
            tables = [table for table in COUNTED if table in numbers_of_tables(cursor)]
            counts = ", ".join(f"{value_of(cursor, f'SELECT COUNT(*) FROM {table}')} {table}" for table in tables)
            is_old = value_of(cursor, NEWEST_MIGRATION) < SCHEMA_VERSION
        found = {} if is_old else jobs.verify(config.load_settings({}), Database(settings))
    finally:
        with open_connection(settings) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE `{settings.name}`")
    if violations := {name: ids for name, ids in found.get("violations", {}).items() if name != "expiry"}:
        raise SystemExit(f"backup: {path} comes back as it is, but doesn't add up: {violations}")
    print(f"{path} is good: {counts}.")
    if not found.get("adopted"):
        print("It is of an older version, or not adopted, so nothing was added up.")


def read_through(path: pathlib.Path):
    """Raise SystemExit unless the file is a whole one, to the line that mysqldump writes last."""
    end = b""
    try:
        with gzip.open(path) as file:
            while chunk := file.read(2**20):
                end = (end + chunk)[-100:]
    except (EOFError, OSError, zlib.error) as ex:
        raise SystemExit(f"backup: {path} can't be read: {ex}") from ex
    if b"\n-- Dump completed" not in end:
        raise SystemExit(f"backup: {path} is no whole backup: mysqldump's last line isn't there")


def load(path: pathlib.Path, settings: DatabaseSettings):
    """Run the backup's statements."""
    # In its binary mode the client takes nothing for a command of its own.
    with (
        running(settings, "client", "--binary-mode", stdin=subprocess.PIPE) as client,
        gzip.open(path) as file,
        client.stdin,
    ):
        shutil.copyfileobj(file, client.stdin)


def compare(path: pathlib.Path, settings: DatabaseSettings):
    """Dump the schema again; SystemExit with the first line that isn't the backup's."""
    with running(settings, "dump", *MYSQLDUMP, stdout=subprocess.PIPE) as dump, gzip.open(path) as file:
        # No value begins a line: a line break within one is escaped.
        lines = (
            (line for line in source if not line.startswith((b"--", b"/*!", b"\n"))) for source in (file, dump.stdout)
        )
        for old, new in zip_longest(*lines):
            if old != new:
                start = (old or new)[:80].decode(errors="replace").strip()
                raise SystemExit(f"backup: what comes back isn't what {path} says, from here on: {start}")


def numbers_of_tables(cursor: Any) -> dict[str, int | None]:
    """Return {table: its next AUTO_INCREMENT, None if it has none}."""
    cursor.execute("SET SESSION information_schema_stats_expiry = 0")  # else it tells yesterday's
    cursor.execute("SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = DATABASE()")
    return dict(cursor.fetchall())


def pass_over_numbers(cursor: Any):
    """Raise the end of the feed, if there is one yet, and each AUTO_INCREMENT."""
    for table, number in numbers_of_tables(cursor).items():
        if table == "event_sequence":
            cursor.execute("UPDATE event_sequence SET last_sequence = last_sequence + %s", (PASSED_OVER,))
        elif number is not None:
            cursor.execute(f"ALTER TABLE `{table}` AUTO_INCREMENT = {number + PASSED_OVER}")


def value_of(cursor: Any, statement: str) -> Any:
    """Return the one value that a statement selects."""
    cursor.execute(statement)
    return cursor.fetchone()[0]


def interrupt(number: int, _frame: Any):
    """End what runs with us, and tidy up."""
    raise SystemExit(f"backup: interrupted by {signal.Signals(number).name}")


def main(arguments: list[str]):
    """Do what the command line says; SystemExit with a line that says why not."""
    command, name = arguments if len(arguments) == 2 else ("", "")
    if command not in ("backup", "restore", "verify") or not name:
        raise SystemExit("backup: FILE is missing: make backup|restore|verify-backup FILE=…")
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    environ = config.read_environment()
    if command == "verify":
        # The private server, whatever DB_HOST says; where it listens is sql/mysql-server's matter.
        scratch = f"b2b_verify_{uuid.uuid4().hex[:12]}"
        environ = {"DB_NAME": scratch, "DB_PORT": os.environ.get("MYSQL_PORT", "")}
    with config.exit_on_error():
        settings = config.load_database_settings(environ)
    try:
        {"backup": backup, "restore": restore, "verify": verify}[command](pathlib.Path(name), at_primary(settings))
    except errors.Error as ex:
        raise SystemExit(f"backup: MySQL at {', '.join(map(str, settings.servers))} says: {ex.msg}") from ex
    except OSError as ex:
        raise SystemExit(f"backup: {ex}") from ex


if __name__ == "__main__":
    main(sys.argv[1:])
