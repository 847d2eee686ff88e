"""Texts that were stored before requests were cleaned: `python -m sql.normalise` brings them to one form."""

import pytest

from sql import normalise
from tests.factories import ORIGIN, unique

TEXTS = {texts.table: texts for texts in normalise.ALL}


@pytest.fixture
def normalised(database, clock):
    """`normalised(table, row)` brings it, and the rows after it, to one form; returns (how many changed, refusals)."""
    return lambda table, row: database.transact(
        normalise.normalise_batch, TEXTS[table], row["id"] - 1, ORIGIN, clock()
    )[1:]


@pytest.fixture
def stored(database):
    """`stored(table, row, column)` returns a column and the version as they are in the database."""

    def select(tx, table, row, column):
        tx.execute(f"SELECT {column}, version FROM {table} WHERE id = %s", (row["id"],))
        return tuple(tx.fetchone().values())

    return lambda table, row, column: database.read(select, table, row, column)


@pytest.mark.parametrize(
    ("column", "text", "form"),
    [("name", "Cafe\u0301", "Caf\u00e9"), ("name", "\u00a0ACME ", "ACME"), ("phone", " ", None)],
)
def test_text_is_brought_to_its_form_once(clock, factory, normalised, stored, column, text, form):
    customer = factory.make_customer(**{column: text})
    clock.advance(seconds=1)

    assert normalised("customers", customer) == (1, [])
    assert normalised("customers", customer) == (0, [])
    assert stored("customers", customer, column) == (form, 2)
    assert stored("customers", customer, "updated_at") == (clock.now, 2)


def test_row_is_found_by_the_new_form_and_no_longer_by_the_old(database, orders_api, factory, normalised):
    product = factory.make_product(name=unique("Cafe\u0301"))

    normalised("products", product)

    form = product["name"].replace("e\u0301", "\u00e9")
    assert [row["id"] for row in orders_api.get("/products", params={"search": form}).json["data"]] == [product["id"]]
    select = "SELECT rest FROM product_search WHERE (c1, c2, c3, id) = ('f', 'e', '\u0301', %s)"
    assert database.read(lambda tx: (tx.execute(select, (product["id"],)), tx.fetchall())[1]) == []


def test_row_that_the_version_before_has_written_is_found(database, customers_api, factory, normalised):
    customer = factory.make_customer()
    database.transact(lambda tx: tx.execute("DELETE FROM customer_search WHERE id = %s", (customer["id"],)))

    assert normalised("customers", customer) == (0, [])

    (row,) = customers_api.get("/customers", params={"search": customer["name"]}).json["data"]
    assert row["id"] == customer["id"]


def test_deleted_customer_stays_as_it_is(customers_api, factory, normalised, stored):
    customer = factory.make_customer(name=" ghost")
    customers_api.delete(f"/customers/{customer['id']}")

    assert normalised("customers", customer) == (0, [])
    assert stored("customers", customer, "name") == (" ghost", 2)


def test_reference_is_brought_to_its_form_and_what_the_order_keeps_is_not(factory, settings, normalised, stored):
    order = factory.make_order(settings, factory.make_customer(name=" ACME"), customer_reference="PO 1 ")

    assert normalised("orders", order) == (1, [])
    assert stored("orders", order, "customer_reference") == ("PO 1", 1)
    assert stored("orders", order, "customer_name") == (" ACME", 1)


def test_reference_that_another_order_has_is_listed_with_both_ids_and_left(factory, settings, normalised, stored):
    customer = factory.make_customer()
    holder, other = (factory.make_order(settings, customer, customer_reference=text) for text in ("PO 1", "PO 1 "))

    refusal = f"orders {other['id']} stays as it is: orders {holder['id']} has it already"
    assert normalised("orders", other) == (0, [refusal])
    assert stored("orders", other, "customer_reference") == ("PO 1 ", 1)


@pytest.mark.parametrize("name", [" ", "\u0958" * 200], ids=["nothing is left", "too long in NFC"])
def test_text_that_can_not_be_brought_to_its_form_is_listed_and_left(factory, normalised, stored, name):
    product = factory.make_product(name=name)

    changed, (refusal,) = normalised("products", product)

    assert changed == 0
    assert refusal.startswith(f"products {product['id']} stays as it is: ")
    assert stored("products", product, "name") == (name, 1)


def test_batches_go_on_where_the_one_before_ended(monkeypatch, database, factory, settings, stored):
    monkeypatch.setattr(normalise, "BATCH", 2)
    orders = [factory.make_order(settings, customer_reference=unique("PO") + " ") for _ in range(5)]

    normalise.normalise(database, TEXTS["orders"])

    assert [stored("orders", order, "status") for order in orders] == [("CREATED", 1)] * 5
