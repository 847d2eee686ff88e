"""The MySQL driver's C extension against its pure Python: `make bench-driver`.

Both by turns in one run, one client, one thread, in a schema of its own that is dropped
at the end: what a new process takes until it is connected, creating an order of three
lines (the transaction alone), and reading a product. Medians of the rounds.
"""

import statistics
import subprocess
import sys
import time

from mysql.connector.cursor import MySQLCursorBufferedDict

from common import config, database
from common.times import utc_now
from customers.workflows import create_customer
from dev.stack import PrivateMySQL
from orders.order_store import Origin
from orders.order_workflows import create_order
from orders.product_store import select_product
from orders.product_workflows import create_product
from sql.migrate import migrate, open_connection

ROUNDS = 9
CALLS = 300  # a round

CUSTOMER = {"name": "ACME", "email": "ops@acme.example", "phone": None}
PRODUCT = {"name": "Mouse", "price_cents": 1900, "stock": 1_000_000}
CONNECT = """
import sys, time
start = time.perf_counter()
import mysql.connector
password = sys.stdin.read()
host, port, user, use_pure = sys.argv[1:]
mysql.connector.connect(host=host, port=int(port), user=user, password=password, use_pure=use_pure == "True")
print(time.perf_counter() - start)
"""


class Candidate:
    """The application's database over one of the two drivers."""

    def __init__(self, name, use_pure, cursor_class, settings):
        self.name = name
        self._use_pure = use_pure
        self._cursor_class = cursor_class
        self._settings = settings
        self.database = database.Database(settings)
        self.database._options["use_pure"] = use_pure  # noqa: SLF001 - no product of ours would choose it

    def start(self):
        """Return the seconds that a new process takes to import the driver and connect."""
        settings = self._settings
        command = [sys.executable, "-c", CONNECT, settings.host, str(settings.port), settings.user, str(self._use_pure)]
        return float(
            subprocess.run(command, input=settings.password, capture_output=True, text=True, check=True).stdout
        )

    def calls_per_second(self, method, fn, *args):
        """Return how many `fn(tx, *args)` a second `transact` or `read` gets through."""
        database.Cursor = self._cursor_class
        call = getattr(self.database, method)
        started = time.perf_counter()
        for _ in range(CALLS):
            call(fn, *args)
        return CALLS / (time.perf_counter() - started)


def measure(candidates):
    """Return {candidate's name: medians of (milliseconds to start, orders/s, reads/s)}."""
    transact = candidates[0].database.transact
    customer = transact(create_customer, CUSTOMER, utc_now()).target_id
    products = [transact(create_product, {"sku": f"SKU-{n}", **PRODUCT}, utc_now()).target_id for n in range(3)]
    request = {"customer_id": customer, "items": [{"product_id": n, "qty": 1} for n in products]}
    origin = Origin("bench", "bench", utc_now())
    order = (create_order, {"id": customer, **CUSTOMER}, request, origin, config.load_settings({}))
    rounds = {candidate.name: [] for candidate in candidates}
    for _ in range(ROUNDS):
        for candidate in candidates:
            rounds[candidate.name].append((
                1000 * candidate.start(),
                candidate.calls_per_second("transact", *order),
                candidate.calls_per_second("read", select_product, products[0]),
            ))  # fmt: skip
    return {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in rounds.items()}


def main():
    """Measure and print one table."""
    environ = config.read_environment()
    environ["DB_NAME"] = config.load_database_settings(environ).name + "_bench"
    settings = config.load_database_settings(environ)
    with PrivateMySQL(environ):
        migrate(settings)
        candidates = [
            Candidate("C extension", False, database.Cursor, settings),
            Candidate("pure Python", True, MySQLCursorBufferedDict, settings),
        ]
        try:
            print(f"{'':12} {'start ms':>9} {'orders/s':>9} {'reads/s':>9}")
            for name, (start, orders, reads) in measure(candidates).items():
                print(f"{name:12} {start:9.0f} {orders:9.0f} {reads:9.0f}")
        finally:
            for candidate in candidates:
                candidate.database.close()
            with open_connection(settings) as connection, connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE `{settings.name}`")


if __name__ == "__main__":
    main()
