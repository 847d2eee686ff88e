"""Fills a schema with rows by bench/fill.sql, a part at a time; what is there already is used again."""

import hashlib
import pathlib
import re
import time
from dataclasses import asdict, dataclass
from typing import Any

from mysql.connector import errors

from common.config import DatabaseSettings
from common.database import Database
from sql.adopt import adopt
from sql.migrate import migrate, open_connection

SQL_FILE = pathlib.Path(__file__).with_name("fill.sql")
# Rows of a table in one statement and transaction: their trigrams, some 3 million, are sorted in memory.
PART = 50_000

ER_NO_SUCH_TABLE = 1146


@dataclass(frozen=True)
class Sizes:
    """How many rows of each table; of products 5 or more, for the lines of one order."""

    customers: int
    products: int
    orders: int


def fill(settings: DatabaseSettings, sizes: Sizes, part: int = PART):
    """Make the schema anew with so many rows, unless it has them."""
    mark = f"{sizes} {hashlib.sha256(SQL_FILE.read_bytes()).hexdigest()}"
    with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
        if _is_filled(cursor, mark):
            migrate(settings)
            return
        cursor.execute(f"DROP DATABASE `{settings.name}`")
    migrate(settings)
    with open_connection(settings) as connection, connection.cursor(buffered=True) as cursor:
        run_fill(cursor, sizes, part)
        started = time.monotonic()
        database = Database(settings)
        adopt(database)
        database.close()
        print(f"  {'events':15} {time.monotonic() - started:6.1f} s", flush=True)
        cursor.execute("CREATE TABLE bench_filled (mark VARCHAR(255) NOT NULL PRIMARY KEY)")
        cursor.execute("INSERT INTO bench_filled VALUES (%s)", (mark,))
        connection.commit()


def run_fill(cursor: Any, sizes: Sizes, part: int = PART):
    """Run the file's statements on a migrated, empty schema, committing after each."""
    counts = asdict(sizes)
    cursor.execute("SET SESSION autocommit = 1, SESSION foreign_key_checks = 0")
    cursor.execute("SET @customers = %s, @products = %s, @orders = %s", tuple(counts.values()))
    for table, statement in _statements():
        started = time.monotonic()
        rows = counts.get(table, part)  # "once" is one part
        for first in range(1, rows + 1, part):
            cursor.execute("SET @first = %s, @part = %s", (first, min(part, rows + 1 - first)))
            cursor.execute(statement)
        if table != "once":
            (target,) = re.findall(r"^INSERT.* INTO (\w+)", statement, re.MULTILINE)
            print(f"  {target:15} {time.monotonic() - started:6.1f} s", flush=True)


def _statements():
    """Return [(once, customers, products or orders; statement)]."""
    blocks = SQL_FILE.read_text().split("\n\n")[1:]  # the file's own comment stands before
    return [(re.findall(r"\w+", block)[0], block.rstrip().removesuffix(";")) for block in blocks]


def _is_filled(cursor, mark):
    try:
        cursor.execute("SELECT mark FROM bench_filled")
    except errors.Error as ex:
        if ex.errno != ER_NO_SUCH_TABLE:
            raise
        return False
    return cursor.fetchone() == (mark,)
