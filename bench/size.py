"""What a million rows cost: `make bench-size CUSTOMERS=1000000 PRODUCTS=100000 ORDERS=1000000`.

Over HTTP, one client on kept-alive connections, against both services under gunicorn and a MySQL server of its
own, with a binary log and a flush at each commit. Two schemas: one of the sizes asked for, one of a hundredth.
They are filled the first time and kept in .local/bench-size. Three questions, each measured by turns:

    pages     the page PAGE of each list and of each filter combination that has so many rows, against page 1
    search    texts of many kinds, over customers and over products
    orders    creating an order of three lines, in the large schema and in the small one

The result is one table, and .local/bench/size.json.
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
import socket
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import asdict
from urllib.parse import urlencode

from bench.fill import Sizes, fill
from bench.programs import DURABLE
from bench.programs import HOME as RESULTS
from common import config, times
from common.auth import Authenticator
from common.database import Database
from common.pagination import Cursors
from customers import store
from dev.stack import MYSQL_SERVER, ROOT, gunicorn
from orders import order_store, product_store

HOME = ROOT / ".local" / "bench-size" / "mysql"
RESULT = RESULTS / "size.json"

# All of the rows fit into memory: what is compared is work, not disks.
MEMORY = "--innodb-buffer-pool-size=4G --innodb-redo-log-capacity=2G"
FILL = f"{MEMORY} --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF --sort-buffer-size=512M"
MEASURE = f"{MEMORY} {DURABLE}"

DEFAULTS = {"CUSTOMERS": "1000000", "PRODUCTS": "100000", "ORDERS": "1000000"}
PAGE = 10_000
LIMIT = 10  # 100,000 products are 10,000 pages of 10
ROUNDS = 9
PAGE_CALLS = 30  # of each page, a round
SEARCH_ROUNDS = 7
TEXTS = 12  # of each kind
SAMPLE = 5_000  # rows that the texts are taken from
ORDER_CALLS = 100  # in each schema, a round
RANGE = {"from": "2024-03-01T00:00:00Z", "to": "2025-11-01T00:00:00Z"}  # of the two years that fill.sql spreads


class Program:
    """One service under gunicorn on one schema, and a client of it."""

    def __init__(self, app, port, environ, token):
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._process = subprocess.Popen(gunicorn(app, port), cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __enter__(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.call("GET", "/health")
            except OSError:
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # a process starts; there is nothing to wait on but its port
            else:
                return self

    def __exit__(self, *exception):
        self._connection.close()
        self._process.terminate()
        self._process.wait(30)

    def call(self, method, path, body=None, **headers):
        """Return (milliseconds, the answer's document); any refusal is an error."""
        data = None if body is None else json.dumps(body)
        started = time.perf_counter()
        self._connection.request(method, path, data, self._headers | headers)
        response = self._connection.getresponse()
        answer = response.read()
        milliseconds = 1000 * (time.perf_counter() - started)
        if response.status not in (200, 201):
            raise SystemExit(f"bench-size: {method} {path} answered {response.status}: {answer.decode()}")
        return milliseconds, json.loads(answer)


class Shop:
    """One schema with its two programs."""

    def __init__(self, environ, name):
        self._customers_port, self._orders_port = free_ports(2)
        self._environ = environ | {
            "DB_NAME": name,
            "CUSTOMERS_PORT": str(self._customers_port),
            "ORDERS_PORT": str(self._orders_port),
        }
        settings = config.load_settings(self._environ)
        self.database = Database(config.load_database_settings(self._environ))
        self.cursors = Cursors(settings)
        self._token = Authenticator(settings).issue_token("bench", "operator", times.utc_now())
        self._programs = contextlib.ExitStack()

    def __enter__(self):
        with self._programs:
            start = self._programs.enter_context
            self.customers = start(Program("customers", self._customers_port, self._environ, self._token))
            self.orders = start(Program("orders", self._orders_port, self._environ, self._token))
            self._programs = self._programs.pop_all()
        return self

    def __exit__(self, *exception):
        self.database.close()
        self._programs.close()


# --- pages -----------------------------------------------------------------------------


def page_cases(shop):
    """Return [(name, program, path of page 1, of page 2, of page PAGE)] of each list that has it."""
    cases = []

    def add(name, program, path, scope, query, *select):
        rows = shop.database.read(*select, None, LIMIT * (PAGE - 1))
        if len(rows) == LIMIT * (PAGE - 1):
            first = f"{path}?{urlencode({**query, 'limit': LIMIT})}"
            pages = [
                shop.cursors.page([row] * 2, 1, scope, position_of, lambda row: {})
                for row in (rows[LIMIT - 1], rows[-1])
            ]
            cases.append((name, program, first, *(f"{first}&cursor={page['next_cursor']}" for page in pages)))

    add("customers", shop.customers, "/customers", ["customers", None], {}, store.select_customers, None)
    add("products", shop.orders, "/products", ["products", None], {}, product_store.select_products, None)
    filters = {"status": "CONFIRMED", "customer_id": 1, **RANGE}
    combinations = [{name: filters[name] for name in names} for names in subsets(filters)]
    for chosen in [*combinations, {"status": "CREATED"}, {"status": "CANCELED"}]:
        values = {name: times.from_json(str(value)) if name in RANGE else value for name, value in chosen.items()}
        shown = ["orders", *(str(value) if name == "status" else name for name, value in chosen.items())]
        add(" ".join(shown), shop.orders, "/orders", ["orders", chosen], chosen, order_store.select_orders, values)
    return cases


def position_of(row):
    """Return the position of a row in its list, as the resources do."""
    return (times.to_microseconds(row["created_at"]), row["id"]) if "status" in row else (row["id"],)


def subsets(names):
    """Return all subsets, as tuples."""
    return itertools.chain.from_iterable(itertools.combinations(names, size) for size in range(len(names) + 1))


def measure_pages(shop):
    """Return {list: pages 1, 2 and PAGE, and the last's ratio to the first}."""
    cases = page_cases(shop)
    rounds = {name: [] for name, *_ in cases}
    for _ in range(ROUNDS):
        for name, program, *paths in cases:
            calls = [[program.call("GET", path)[0] for path in paths] for _ in range(PAGE_CALLS)]
            rounds[name].append(medians(calls))
    return {name: compared(taken) for name, taken in rounds.items()}


def medians(rows):
    """Return the median of each column."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def compared(rounds):
    """Return the medians of the rounds, the last's ratio to the first, and the rounds' smallest and largest ratio."""
    middle = medians(rounds)
    ratios = [row[-1] / row[0] for row in rounds]
    return {"ms": middle, "ratio": middle[-1] / middle[0], "spread": [min(ratios), max(ratios)]}


# --- search ----------------------------------------------------------------------------


def select_texts(tx, statement, rows):
    """Return some rows of a table of so many, each as a list; `statement` takes one of each %s."""
    tx.execute(statement, (max(1, rows // SAMPLE),))
    return [[text or "" for text in row.values()] for row in tx.fetchall()]


def search_texts(names, keys, numbers, rng):
    """Return {kind: texts to search for}, made of texts that are there: names, emails or SKUs, phones or SKUs."""
    words = collections.Counter(word for name in names for word in re.findall(r"\w{3,}", name))
    pairs = [" ".join(name.split(" ")[:2]) for name in names]
    long_numbers = [number for number in numbers if len(number) > 8]
    kinds = {
        "frequent word": [word for word, _ in words.most_common(TEXTS)],
        "rare word": [word for word, _ in words.most_common()[-TEXTS:]],
        "two words": rng.sample(pairs, TEXTS),
        "whole key": rng.sample(keys, TEXTS),
        "part of a key": [cut(key, 7, rng) for key in rng.sample(keys, TEXTS)],
        "digits": [cut(number, 6, rng) for number in rng.sample(long_numbers, TEXTS)],
        "one character": [cut(text, 1, rng) for text in rng.sample(names + keys, TEXTS)],
        "two characters": [cut(text, 2, rng) for text in rng.sample(names + keys, TEXTS)],
        "three characters": [cut(text, 3, rng) for text in rng.sample(names + keys, TEXTS)],
        "not there": ["".join(rng.choices("bcdfghjklmnpqrstvwxz", k=8)) for _ in range(TEXTS)],
        "frequent parts, not there": parts_of_many([*names, *keys], rng),
    }
    return {kind: [text.strip() or "a" for text in texts] for kind, texts in kinds.items()}


def cut(text, length, rng):
    """Return so many characters from anywhere in a text."""
    start = rng.randrange(max(1, len(text) - length + 1))
    return text[start : start + length]


def parts_of_many(texts, rng):
    """Return texts that stand nowhere, but whose every three characters stand in one of 100 rows or more."""
    texts = [text.lower() for text in texts]
    counts = collections.Counter(text[i : i + 3] for text in texts for i in range(len(text) - 2))
    followers = collections.defaultdict(list)
    for gram, count in counts.items():
        if count > len(texts) / 200 and " " not in (gram[0], gram[2]):  # two texts to a row
            followers[gram[:2]].append(gram[2])
    everything = "\n".join(texts)
    found = []
    while len(found) < TEXTS:
        text = rng.choice(list(followers))
        while len(text) < 8 and text[-2:] in followers:
            text += rng.choice(followers[text[-2:]])
        if len(text) == 8 and text not in everything:
            found.append(text)
    return found


def measure_search(shop, sizes):
    """Return {list: {kind: milliseconds of each search}}."""
    rng = random.Random(1)  # noqa: S311 - the same texts each time
    read = shop.database.read
    customers = read(select_texts, "SELECT name, email, phone FROM customers WHERE id %% %s = 0", sizes.customers)
    products = read(select_texts, "SELECT name, sku FROM products WHERE id %% %s = 0", sizes.products)
    names, emails, phones = map(list, zip(*customers, strict=True))
    product_names, skus = map(list, zip(*products, strict=True))
    lists = {
        "customers": (shop.customers, search_texts(names, emails, phones, rng)),
        "products": (shop.orders, search_texts(product_names, skus, skus, rng)),
    }
    taken = {name: {kind: [] for kind in kinds} for name, (_, kinds) in lists.items()}
    for is_measured in [False] + [True] * SEARCH_ROUNDS:  # the first brings the rows into memory
        for name, (program, kinds) in lists.items():
            for kind, texts in kinds.items():
                for text in texts:
                    milliseconds, _ = program.call("GET", f"/{name}?{urlencode({'search': text})}")
                    if is_measured:
                        taken[name][kind].append(milliseconds)
    return {name: {"all": list(itertools.chain(*kinds.values())), **kinds} for name, kinds in taken.items()}


def percentiles(values):
    """Return {p50, p95, p99, max}."""
    ordered = sorted(values)
    at = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1}
    return {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}


# --- orders ----------------------------------------------------------------------------


def order_maker(shop, sizes, rng):
    """Return a function that creates an order of three lines and returns the milliseconds."""

    def select_ids(tx, statement):
        tx.execute(statement)
        return [row["id"] for row in tx.fetchall()]

    customers = shop.database.read(select_ids, "SELECT id FROM customers WHERE deleted_at IS NULL")
    products = shop.database.read(select_ids, "SELECT id FROM products WHERE active")

    def create_order():
        items = [{"product_id": product, "qty": 1} for product in rng.sample(products, 3)]
        body = {"customer_id": rng.choice(customers), "items": items}
        return shop.orders.call("POST", "/orders", body, **{"X-Idempotency-Key": str(uuid.uuid4())})[0]

    return create_order


def measure_orders(shops, sizes):
    """Return the medians of creating an order in the two schemas, small and large, and their ratio."""
    rng = random.Random(2)  # noqa: S311 - the same orders each time
    makers = [order_maker(shop, size, rng) for shop, size in zip(shops, sizes, strict=True)]
    try:
        rounds = []
        for _ in range(ROUNDS + 1):
            calls = [[create_order() for create_order in makers] for _ in range(ORDER_CALLS)]
            rounds.append(medians(calls))
        return compared(rounds[1:])  # the first brings the rows into memory
    finally:
        for shop, size in zip(shops, sizes, strict=True):
            shop.database.transact(delete_orders, size.orders)


def delete_orders(tx, last):
    """Remove the orders past the last of the filled ones, so that the next run finds the same."""
    tx.execute("DELETE FROM order_events WHERE order_id > %s", (last,))
    tx.execute("DELETE FROM order_items WHERE order_id > %s", (last,))
    tx.execute("DELETE FROM orders WHERE id > %s", (last,))
    tx.execute("DELETE FROM idempotency_keys")


# --- all of it -------------------------------------------------------------------------


def free_ports(count):
    """Return numbers of ports that nobody listens on."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


@contextlib.contextmanager
def mysql_server(environ, options):
    """Run the benchmark's own MySQL; one that a killed run has left is stopped first."""
    subprocess.run([MYSQL_SERVER, "stop"], env=environ, stdout=subprocess.DEVNULL, check=True)
    subprocess.run([MYSQL_SERVER, "start"], env={**environ, "MYSQL_OPTIONS": options}, check=True)
    try:
        yield
    finally:
        subprocess.run([MYSQL_SERVER, "stop"], env=environ, stdout=subprocess.DEVNULL, check=True)


def own_environment():
    """Return the environment with a MySQL of the benchmark's own, whatever a `.env` says of another."""
    port = str(free_ports(1)[0])
    private = dict.fromkeys(("DB_HOST", "DB_USER", "DB_PASSWORD", "CUSTOMERS_API_BASE", "ORDERS_API_BASE"), "")
    own = {"APP_ENV": "development", "MYSQL_HOME": str(HOME), "MYSQL_PORT": port, "DB_PORT": port}
    return config.read_environment() | private | own


def read_sizes():
    """Return the sizes that the environment asks for."""
    counts = [os.environ.get(name) or default for name, default in DEFAULTS.items()]
    if not all(re.fullmatch("[1-9][0-9]{2,8}", count) for count in counts):
        raise SystemExit(f"bench-size: {', '.join(DEFAULTS)} must be numbers, 100 or more")
    return Sizes(*map(int, counts))


def main():
    """Fill what is missing, measure, print one table and write the JSON."""
    sizes = read_sizes()
    small = Sizes(*(max(100, count // 100) for count in asdict(sizes).values()))
    environ = own_environment()
    shops = {"b2b_bench_size_small": small, "b2b_bench_size": sizes}
    with mysql_server(environ, FILL):
        for name, wanted in shops.items():
            fill(config.load_database_settings(environ | {"DB_NAME": name}), wanted)
    with mysql_server(environ, MEASURE), contextlib.ExitStack() as programs:
        few, many = (programs.enter_context(Shop(environ, name)) for name in shops)
        result = {
            "sizes": asdict(sizes),
            "pages": measure_pages(many),
            "search": {
                name: {kind: percentiles(values) for kind, values in kinds.items()}
                for name, kinds in measure_search(many, sizes).items()
            },
            "orders": measure_orders((few, many), (small, sizes)),
        }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print_table(result, small)


def print_table(result, small):
    """Print the result as tables of Markdown."""
    print_head(f"page {PAGE:,} against page 1", "page 1 ms", "page 2 ms", f"page {PAGE:,} ms", "ratio", "in the rounds")
    for name, row in result["pages"].items():
        print(f"| {name} | {columns(row)} |")
    for name, kinds in result["search"].items():
        print_head(f"search over {result['sizes'][name]:,} {name}", "p50 ms", "p95 ms", "p99 ms", "max ms")
        for kind, row in kinds.items():
            print(f"| {kind} | {' | '.join(f'{value:.1f}' for value in row.values())} |")
    large = result["sizes"]["orders"]
    print_head("orders of 3 lines", f"among {small.orders:,} ms", f"among {large:,} ms", "ratio", "in the rounds")
    print(f"| created | {columns(result['orders'])} |")


def print_head(*titles):
    """Print the first lines of a table."""
    print(f"\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def columns(row):
    """Return the columns of what was compared."""
    low, high = row["spread"]
    return " | ".join([*(f"{value:.2f}" for value in row["ms"]), f"{row['ratio']:.2f}", f"{low:.2f} to {high:.2f}"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # what was started is stopped
    main()
