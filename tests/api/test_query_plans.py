"""How MySQL finds the rows of each list and look-up: by an index, in the order wanted, and nothing is sorted.

The statements are those that the stores send, explained where they are sent; the rows are bench/fill.sql's.
"""

import dataclasses
import itertools
import re
from datetime import datetime

import pytest

from bench.fill import Sizes, run_fill
from common.database import Database
from common.events import select_history
from common.idempotency import Answer, Key, find_answer, once
from customers import store
from orders import feed, order_store, product_store
from sql.adopt import adopt
from tests.conftest import connect, migrate

# Enough for the optimizer to have a choice.
SIZES = Sizes(customers=2500, products=2000, orders=2500)
NOW = datetime(2026, 1, 1)
IN_THE_MIDDLE = (datetime(2025, 1, 1), 1250)
SLOW = re.compile("filesort|temporary")

for_both_pages = pytest.mark.parametrize("after", [None, (250,)], ids=["first page", "later page"])


@pytest.fixture(scope="module")
def filled(database_settings):
    """A database of some thousand rows."""
    settings = dataclasses.replace(database_settings, name=f"{database_settings.name}_plans")
    with connect(settings) as connection, connection.cursor(buffered=True) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {settings.name}")
        migrate(settings.name)
        cursor.execute(f"USE {settings.name}")
        run_fill(cursor, SIZES)
        database = Database(settings)
        adopt(database)
        database.transact(lambda tx: tx.execute("ANALYZE TABLE events"))
        yield database
        database.close()
        cursor.execute(f"DROP DATABASE {settings.name}")


class Explaining:
    """A cursor that has each statement explained before it is run, but those that read no rows."""

    def __init__(self, tx):
        self._tx = tx
        self.plans = []

    def execute(self, statement, values=()):
        if not statement.lstrip().startswith("EXPLAIN") and ("SELECT" in statement or "UPDATE" in statement):
            self._tx.execute(f"EXPLAIN FORMAT=TRADITIONAL {statement}", values)
            self.plans.append(self._tx.fetchall())
        self._tx.execute(statement, values)

    def __getattr__(self, name):
        return getattr(self._tx, name)


@pytest.fixture
def explain(filled):
    """`explain(fn, *args)` runs `fn(tx, *args)` and returns the plans of its statements."""

    def run(fn, *args):
        def explained(tx):
            explaining = Explaining(tx)
            fn(explaining, *args)
            return explaining.plans

        return filled.transact(explained)

    return run


def tables_and_indexes(plan):
    return [(step["table"], step["key"]) for step in plan]


def wasted(plans):
    """Return the steps that read a whole table, sort, or fill a temporary table."""
    return [step for step in itertools.chain(*plans) if step["type"] == "ALL" or SLOW.search(step["Extra"] or "")]


# --- lists of orders -------------------------------------------------------------------

FILTERS = {
    "status": ["CREATED", "CONFIRMED", "CANCELED"],
    "customer_id": [1, 2000],  # a fifth of the orders are the first's; the second has none or one
    "from": [datetime(2024, 2, 1)],
    "to": [datetime(2025, 11, 1)],
}
COMBINATIONS = [
    dict(pairs)
    for names in itertools.chain.from_iterable(itertools.combinations(FILTERS, size) for size in range(5))
    for pairs in itertools.product(*([(name, value) for value in FILTERS[name]] for name in names))
]
COMBINATIONS += [
    {"customer_reference": "PO-1204", **filters}
    for filters in ({}, {"customer_id": 1}, {"status": "CONFIRMED"}, COMBINATIONS[-1])
]
INDEXES = {
    frozenset(): "ix_orders_created",
    frozenset({"status"}): "ix_orders_status_created",
    frozenset({"customer_id"}): "ix_orders_customer_created",
    frozenset({"status", "customer_id"}): "ix_orders_customer_status_created",
    frozenset({"customer_reference"}): "ix_orders_reference_created",
    frozenset({"customer_reference", "status"}): "ix_orders_reference_created",
    frozenset({"customer_reference", "customer_id"}): "ix_orders_reference_customer_created",
    frozenset({"customer_reference", "customer_id", "status"}): "ix_orders_reference_customer_created",
}


@pytest.mark.parametrize("before", [None, IN_THE_MIDDLE], ids=["first page", "later page"])
@pytest.mark.parametrize("filters", COMBINATIONS, ids=lambda filters: " ".join(map(str, filters.values())) or "none")
def test_orders_of_each_combination_of_filters_come_from_its_index_in_its_order(explain, filters, before):
    plans = explain(order_store.select_orders, filters, before, 21)

    index = INDEXES[frozenset(filters) - {"from", "to"}]
    assert [tables_and_indexes(plan) for plan in plans] == [[("orders", index)]]
    assert wasted(plans) == []


def test_overdue_orders_come_from_their_index_in_its_order(explain):
    (plan,) = explain(order_store.lock_overdue, datetime(2026, 1, 1), [7])

    assert tables_and_indexes(plan) == [("orders", "ix_orders_expiry")]
    assert wasted([plan]) == []


# --- events ----------------------------------------------------------------------------


@for_both_pages
def test_events_of_a_product_come_from_its_index(explain, after):
    plans = explain(select_history, "product", 7, after, 21)

    assert [tables_and_indexes(plan) for plan in plans] == [[("events", "ix_events_subject")]]
    assert wasted(plans) == []


def test_events_of_an_order_come_from_the_indexes_of_both_tables(explain):
    ((new, old, new_too, *_),) = explain(order_store.select_order_events, 7)

    assert tables_and_indexes([new, old, new_too]) == [
        ("events", "ix_events_subject"),
        ("old", "ix_order_events_order"),
        ("events", "PRIMARY"),
    ]


@pytest.mark.parametrize("types", [[], ["order.created"], ["order.created", "customer.deleted"]], ids=len)
@pytest.mark.parametrize("after", ["0", "5000"])
@pytest.mark.parametrize(
    ("subject", "index"),
    [(None, "uq_events_sequence"), (("product", 7), "ix_events_subject_sequence")],
    ids=["any subject", "one subject"],
)
def test_pages_of_the_feed_come_from_an_index_in_its_order(explain, types, after, subject, index):
    _, *plans = explain(feed.select_page, after, types, subject, 100)  # the first asks where the end is

    assert {step for plan in plans for step in tables_and_indexes(plan)} == {("events", index)}
    assert wasted(plans) == []


def test_events_without_a_number_are_found_and_numbered_by_indexes(explain, filled):
    forget = "UPDATE events SET sequence = NULL WHERE id BETWEEN 100 AND 120"
    filled.transact(lambda tx: tx.execute(forget))

    assert tables_and_indexes(explain(feed.has_unnumbered)[0]) == [("events", "ix_events_unsequenced")]
    _, select, (_, update), _ = explain(feed.number)

    assert tables_and_indexes(select) == [("events", "ix_events_unsequenced")]
    assert tables_and_indexes([update]) == [("events", "PRIMARY")]
    assert wasted([select, [update]]) == []


# --- searches --------------------------------------------------------------------------

LISTS = {
    "customers": (
        store.select_customers,
        "customer_search",
        {"all have": "example", "few have": "yarmouth-1", "one character": "e"},
    ),
    "products": (
        product_store.select_products,
        "product_search",
        {"all have": "000", "few have": "000042", "one character": "0"},
    ),
}


@for_both_pages
@pytest.mark.parametrize(
    ("kind", "walked"),
    [("no search", ["t"]), ("one character", ["t"]), ("all have", ["g", "t"]), ("few have", ["g", "t"])],
)
@pytest.mark.parametrize("name", LISTS)
def test_rows_or_the_entries_of_a_search_are_walked_in_their_order(explain, name, kind, walked, after):
    select_rows, _, searches = LISTS[name]

    *_, plan = plans = explain(select_rows, searches.get(kind), after, 21)

    assert tables_and_indexes(plan) == [(table, "PRIMARY") for table in walked]
    assert wasted(plans) == []


@pytest.mark.parametrize("name", LISTS)
def test_search_for_what_is_nowhere_walks_nothing(explain, name):
    select_rows, _, _ = LISTS[name]

    plans = explain(select_rows, "qqqqq", None, 21)

    assert plans[-1][0]["rows"] == 1
    assert wasted(plans) == []


@for_both_pages
@pytest.mark.parametrize("search", ["q", "xü"])
@pytest.mark.parametrize("name", LISTS)
def test_search_for_two_characters_that_few_have_reads_their_entries_and_sorts_only_these(explain, name, search, after):
    select_rows, entries, _ = LISTS[name]

    plan = explain(select_rows, search, after, 21)[-1]

    assert [(step["table"], step["key"], step["type"]) for step in plan if step["type"] != "ALL"] == [
        ("t", "PRIMARY", "eq_ref"),
        (entries, "PRIMARY", "ref"),
    ]
    assert {step["table"] for step in wasted([plan])} <= {"<derived2>", entries}


@for_both_pages
@pytest.mark.parametrize("active", [True, False])
def test_products_by_active_come_from_its_index(explain, active, after):
    plans = explain(product_store.select_products, None, after, 21, None, active)

    assert [tables_and_indexes(plan) for plan in plans] == [[("t", "ix_products_active")]]
    assert wasted(plans) == []


# --- look-ups --------------------------------------------------------------------------


@pytest.mark.parametrize(("search", "walked"), [(None, []), ("e", []), ("example", [("g", "PRIMARY")])])
def test_customer_is_found_by_email_before_anything_is_searched(explain, search, walked):
    *_, plan = plans = explain(store.select_customers, search, None, 21, "OFFICE@uskbridge-rt.example")

    assert tables_and_indexes(plan) == [*walked, ("t", "PRIMARY"), ("customers", "uq_customers_email")]
    assert wasted(plans) == []


@pytest.mark.parametrize(("search", "walked"), [(None, []), ("0", []), ("cable", [("g", "PRIMARY")])])
def test_product_is_found_by_sku_before_anything_is_searched(explain, search, walked):
    *_, plan = plans = explain(product_store.select_products, search, None, 21, "ca-001001-7")

    assert tables_and_indexes(plan) == [*walked, ("t", "PRIMARY"), ("products", "uq_products_sku")]
    assert wasted(plans) == []


def test_products_of_an_order_are_found_and_locked_by_their_ids(explain):
    plans = explain(product_store.lock_products, [400, 7, 250])

    assert [tables_and_indexes(plan) for plan in plans] == [[("products", "PRIMARY")]]
    assert plans[0][0]["type"] == "range"
    assert wasted(plans) == []


def test_idempotency_key_is_found_by_itself(explain, filled):
    key = Key("jwt:demo", "create_order", "a key", b"f" * 32)
    once(filled, lambda: NOW, key, lambda tx, clock: Answer(201, b"{}", "order", 1))

    (plan,) = explain(find_answer, lambda: NOW, key)

    assert tables_and_indexes(plan) == [("s", "PRIMARY"), ("k", "PRIMARY")]
    assert {step["type"] for step in plan} == {"const"}
