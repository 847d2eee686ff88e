"""What a million rows cost: `make bench-size CUSTOMERS=1000000 PRODUCTS=100000 ORDERS=1000000`.

Over HTTP, one client on kept-alive connections, against the services under gunicorn and a MySQL server of its own.
Two schemas: one of the sizes asked for, one of a hundredth. They are filled the first time and kept in
.local/bench-size. Five questions:

    pages     page PAGE of the lists, and of some filters, against page 1, by turns
    search    texts of many kinds, over customers and over products
    finds     one row by its email, SKU or reference
    feed      pages of it, at its beginning and its end
    orders    creating an order of three lines, in the large schema and in the small one
"""

import collections
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import statistics
import sys
import time
import uuid
from dataclasses import asdict
from urllib.parse import urlencode

from bench.fill import Sizes, fill
from bench.programs import DURABLE, ENVIRONMENT, Programs
from common import config, times
from common.auth import Authenticator
from common.database import Database
from common.pagination import Cursors
from customers import store
from dev.stack import MYSQL_SERVER, ROOT, run_step
from orders import order_store, product_store
from sql.adopt import FIRST_LINE, PLACES

# All of the rows fit into memory: what is compared is work, not disks.
MEMORY = "--innodb-buffer-pool-size=4G --innodb-redo-log-capacity=2G"
FILL = f"{MEMORY} --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF --sort-buffer-size=512M"
MEASURE = f"{MEMORY} {DURABLE}"

DEFAULTS = {"CUSTOMERS": 1_000_000, "PRODUCTS": 100_000, "ORDERS": 1_000_000}
PAGE = 10_000
LIMIT = 9  # 100,000 products are more than 10,000 pages of 9
CALLS = 300  # of each page, and of creating an order
TEXTS = 12  # of each kind
SEARCHES = 7  # of each text
SAMPLE = 5_000  # rows that the texts are taken from
CUSTOMERS = "SELECT name, email, phone FROM customers WHERE MOD(id, %s) = 0"
PRODUCTS = "SELECT name, sku FROM products WHERE MOD(id, %s) = 0"
# What is known of a row: its list, and the filters.
FINDS = {
    "email": ("/customers", "SELECT email FROM customers WHERE deleted_at IS NULL"),
    "sku": ("/products", "SELECT sku FROM products"),
    "sku and a word": ("/products", "SELECT sku, SUBSTRING_INDEX(name, ' ', 1) AS search FROM products"),
    "reference": ("/orders", "SELECT customer_reference FROM orders WHERE customer_reference <> 'PO-0'"),
}
# Of the two years that fill.sql spreads the orders over; customer 1 is a reseller with a fifth of them, and PO-0 the
# reference of all that are canceled.
FILTERS = (
    {},
    {"status": "CONFIRMED"},
    {"customer_id": 1},
    {"customer_reference": "PO-0"},
    {"from": "2024-03-01T00:00:00Z", "to": "2025-11-01T00:00:00Z"},
    {"status": "CONFIRMED", "customer_id": 1, "from": "2024-03-01T00:00:00Z", "to": "2025-11-01T00:00:00Z"},
)


class Shop:
    """One schema, a client of the services that run on it, and a connection of its own."""

    def __init__(self, environ):
        settings = config.load_settings(environ)
        token = Authenticator(settings).issue_token("bench", "operator", times.utc_now())
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connections = {
            "customers": http.client.HTTPConnection("127.0.0.1", settings.customers_port, timeout=30),
            "products": http.client.HTTPConnection("127.0.0.1", settings.orders_port, timeout=30),
        }
        self._connections["orders"] = self._connections["events"] = self._connections["products"]
        self.database = Database(config.load_database_settings(environ))
        self.cursors = Cursors(settings)

    def call(self, method, path, body=None, **headers):
        """Return the milliseconds that a request takes; any refusal is an error."""
        connection = self._connections[re.findall(r"\w+", path)[0]]
        started = time.perf_counter()
        connection.request(method, path, json.dumps(body) if body else None, self._headers | headers)
        response = connection.getresponse()
        answer = response.read()
        milliseconds = 1000 * (time.perf_counter() - started)
        if response.status not in (200, 201):
            raise SystemExit(f"bench-size: {method} {path} answered {response.status}: {answer.decode()}")
        return milliseconds

    def select(self, statement, values=()):
        """Return the rows of a statement, each as a list of texts."""

        def run(tx):
            tx.execute(statement, values)
            return [[str(value or "") for value in row.values()] for row in tx.fetchall()]

        return self.database.read(run)


# --- pages -----------------------------------------------------------------------------


def page_paths(shop, path, scope, query, *select):
    """Return the paths of page 1 and page PAGE of a list, None if it has not so many rows."""
    rows = shop.database.read(*select, None, LIMIT * (PAGE - 1))
    if len(rows) < LIMIT * (PAGE - 1):
        return None
    first = f"{path}?{urlencode({**query, 'limit': LIMIT})}"
    page = shop.cursors.page([rows[-1]] * 2, 1, scope, position_of, lambda row: {})
    return first, f"{first}&cursor={page['next_cursor']}"


def position_of(row):
    """Return the position of a row in its list, as the resources do."""
    return (times.to_microseconds(row["created_at"]), row["id"]) if "status" in row else (row["id"],)


def measure_pages(shop):
    """Return {list: [median of page 1, of page PAGE, their ratio]}."""
    cases = {
        "customers": page_paths(shop, "/customers", ["customers", None], {}, store.select_customers, None),
        "products": page_paths(shop, "/products", ["products", None], {}, product_store.select_products, None),
    }
    for query in FILTERS:
        moments = {name: times.from_json(str(query[name])) for name in ("from", "to") if name in query}
        name = " ".join(["orders", *query])
        cases[name] = page_paths(shop, "/orders", ["orders", query], query, order_store.select_orders, query | moments)
    taken = {
        name: [[shop.call("GET", path) for path in paths] for _ in range(CALLS)]
        for name, paths in cases.items()
        if paths
    }
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in taken.items()}
    return {name: [first, last, last / first] for name, (first, last) in medians.items()}


# --- search ----------------------------------------------------------------------------


def search_texts(names, keys, numbers):
    """Return {kind: texts to search for}, made of texts that are there: names, emails or SKUs, phones or SKUs."""
    rng = random.Random(1)  # noqa: S311 - the same texts each time
    words = [word for word, _ in collections.Counter(re.findall(r"\w{3,}", " ".join(names))).most_common()]
    numbers = [number for number in numbers if len(number) > 8]

    def cut(texts, length):
        starts = ((text, rng.randrange(max(1, len(text) - length + 1))) for text in rng.sample(texts, TEXTS))
        return [text[start : start + length].strip() or "a" for text, start in starts]

    return {
        "frequent word": words[:TEXTS],
        "rare word": words[-TEXTS:],
        "two words": [" ".join(name.split(" ")[:2]) for name in rng.sample(names, TEXTS)],
        "whole key": rng.sample(keys, TEXTS),
        "part of a key": cut(keys, 7),
        "digits": cut(numbers, 6),
        "one character": cut(names + keys, 1),
        "two characters": cut(names + keys, 2),
        "three characters": cut(names + keys, 3),
        "not there": ["".join(rng.choices("bcdfghjklmnpqrstvwxz", k=8)) for _ in range(TEXTS)],
    }


def measure_search(shop, path, kinds):
    """Return {kind: [median, p95, longest] of its searches}, and of all kinds together."""
    taken = {kind: ask(shop, path, [{"search": text} for text in texts]) for kind, texts in kinds.items()}
    taken["all of them"] = [*itertools.chain(*taken.values())]
    return {kind: figures(each) for kind, each in taken.items()}


def ask(shop, path, queries):
    """Return the milliseconds that a list's first pages take, each SEARCHES times."""
    paths = [f"{path}?{urlencode(query)}" for query in queries]
    for each in paths:  # brings the rows into memory
        shop.call("GET", each)
    return [shop.call("GET", each) for each in paths * SEARCHES]


def figures(taken):
    """Return [median, p95, longest]."""
    taken = sorted(taken)
    return [statistics.median(taken), taken[int(0.95 * len(taken))], taken[-1]]


def measure_finds(shop):
    """Return {what is known of a row: [median, p95, longest] of finding it}."""

    def select(tx, statement):
        tx.execute(f"{statement} ORDER BY RAND(1) LIMIT {TEXTS}")
        return tx.fetchall()

    return {
        known: figures(ask(shop, path, shop.database.read(select, statement)))
        for known, (path, statement) in FINDS.items()
    }


# --- feed ------------------------------------------------------------------------------


def measure_feed(shop):
    """Return {page of 100 events: [median, p95, longest]}: all, of a product that sells, of a type that is rare."""
    ((last, product),) = shop.select(
        """
        SELECT MAX(sequence), (SELECT product_id FROM order_items GROUP BY product_id ORDER BY COUNT(*) DESC LIMIT 1)
          FROM events
        """
    )
    filters = {
        "": {},
        " of a product": {"subject": f"product/{product}"},
        " of one type": {"types": "customer.deleted"},
    }
    return {
        f"{name}{kind}": figures(ask(shop, "/events", [{"after": after, **query}]))
        for kind, query in filters.items()
        for name, after in ((f"first of {int(last):,}", 0), ("last", int(last) - 10_000))
    }


# --- orders ----------------------------------------------------------------------------


def measure_orders(shop, last):
    """Return the median of creating an order; those past `last` are removed, so that the next run finds the same."""
    rng = random.Random(2)  # noqa: S311 - the same orders each time
    customers = [int(row[0]) for row in shop.select("SELECT id FROM customers WHERE deleted_at IS NULL")]
    products = [int(row[0]) for row in shop.select("SELECT id FROM products WHERE active")]
    taken = []
    try:
        for _ in range(2 * CALLS):  # the first half brings the rows into memory
            items = [{"product_id": product, "qty": 1} for product in rng.sample(products, 3)]
            body = {"customer_id": rng.choice(customers), "items": items}
            taken.append(shop.call("POST", "/orders", body, **{"X-Idempotency-Key": str(uuid.uuid4())}))
    finally:
        shop.database.transact(delete_orders, last)
    return statistics.median(taken[CALLS:])


def delete_orders(tx, last):
    """Remove the orders past the last of the filled ones."""
    tx.execute("DELETE FROM events WHERE subject_type = 'order' AND subject_id > %s", (last,))
    tx.execute("DELETE FROM events WHERE id > %s AND order_id > %s", (FIRST_LINE + PLACES * last, last))
    tx.execute("DELETE FROM order_items WHERE order_id > %s", (last,))
    tx.execute("DELETE FROM orders WHERE id > %s", (last,))
    tx.execute("DELETE FROM idempotency_keys")


# --- all of it -------------------------------------------------------------------------


@contextlib.contextmanager
def mysql_server(environ, options):
    """Run the benchmark's own MySQL; one that a killed run has left is stopped first."""
    run_step(MYSQL_SERVER, "stop", environ=environ)
    run_step(MYSQL_SERVER, "start", environ={**environ, "MYSQL_OPTIONS": options})
    try:
        yield
    finally:
        run_step(MYSQL_SERVER, "stop", environ=environ)


@contextlib.contextmanager
def open_shop(environ):
    """Run the programs on the schema of `environ`."""
    with Programs(environ, config.load_settings(environ)):
        shop = Shop(environ)
        yield shop
        shop.database.close()


def print_table(title, headings, rows):
    """Print a table of Markdown."""
    print(f"\n| {title} | {' | '.join(headings)} |\n|{'---|' * (1 + len(headings))}")
    for name, figures in rows.items():
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")


def main():
    """Fill what is missing, measure and print tables."""
    sizes = Sizes(*(int(os.environ.get(name) or default) for name, default in DEFAULTS.items()))
    small = Sizes(*(max(100, count // 100) for count in asdict(sizes).values()))
    environ = config.read_environment() | ENVIRONMENT | {"MYSQL_HOME": str(ROOT / ".local" / "bench-size" / "mysql")}
    few, many = (environ | {"DB_NAME": name} for name in ("b2b_bench_size_small", "b2b_bench_size"))
    with mysql_server(environ, FILL):
        fill(config.load_database_settings(few), small)
        fill(config.load_database_settings(many), sizes)
    with mysql_server(environ, MEASURE):
        with open_shop(few) as shop:
            among_few = measure_orders(shop, small.orders)
        with open_shop(many) as shop:
            print_table(f"ms of page 1 and page {PAGE:,}", ("1", f"{PAGE:,}", "ratio"), measure_pages(shop))
            step = (max(1, sizes.customers // SAMPLE),)
            names, emails, phones = zip(*shop.select(CUSTOMERS, step), strict=True)
            step = (max(1, sizes.products // SAMPLE),)
            titles, skus = zip(*shop.select(PRODUCTS, step), strict=True)
            for path, texts in (("/customers", (names, emails, phones)), ("/products", (titles, skus, skus))):
                figures = measure_search(shop, path, search_texts(*texts))
                print_table(f"search in {path}", ("p50 ms", "p95 ms", "max ms"), figures)
            print_table("found by", ("p50 ms", "p95 ms", "max ms"), measure_finds(shop))
            print_table("page of the feed", ("p50 ms", "p95 ms", "max ms"), measure_feed(shop))
            among_many = measure_orders(shop, sizes.orders)
    headings = (f"among {small.orders:,} ms", f"among {sizes.orders:,} ms", "ratio")
    print_table("orders of 3 lines", headings, {"created": [among_few, among_many, among_many / among_few]})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # what was started is stopped
    main()
