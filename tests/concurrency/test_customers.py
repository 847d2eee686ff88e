"""One customer, or one email, in the hands of many at the same moment."""

import threading

from common.auth import Origin
from orders.order_workflows import create_order
from tests.concurrency.answers import outcomes
from tests.concurrency.conftest import TIMEOUT
from tests.contract_client import refusal
from tests.factories import order_request, unique


def test_changes_of_different_fields_are_all_there(customers_api, factory, at_once, ledger):
    made = [factory.make_customer() for _ in range(10)]

    def put(customer, changes):
        return lambda: customers_api.put(f"/customers/{customer['id']}", json=changes)

    at_once(
        [
            call
            for customer in made
            for call in (
                put(customer, {"name": "New name"}),
                put(customer, {"phone": "+1 555 0100"}),
                put(customer, {"email": f"new-{customer['email']}"}),
            )
        ]
    )

    assert [ledger.customer(customer) for customer in made] == [
        ("New name", f"new-{customer['email']}", "+1 555 0100", 4) for customer in made
    ]


def test_of_ten_customers_with_one_email_one_is_made(customers_api, at_once, ledger):
    name = unique("race")
    emails = [f"{name}@example.test", f"{name.upper()}@Example.TEST"]

    answers = at_once(
        5
        * [
            lambda email=email: customers_api.post("/customers", json={"name": name, "email": email})
            for email in emails
        ]
    )

    assert outcomes(answers) == {201: 1, "email_taken": 9}
    assert ledger.living(emails[0]) == 1


# (update, delete) -> the version: an update before the delete counts, none comes after it.
CONSISTENT = {(200, 204): 3, (404, 204): 2}


def test_update_against_delete_leaves_what_was_answered(customers_api, factory, at_once, ledger):
    made = [factory.make_customer() for _ in range(30)]

    pairs = [
        at_once(
            [
                lambda path=path: customers_api.put(path, json={"name": "Late"}),
                lambda path=path: customers_api.delete(path),
            ]
        )
        for path in (f"/customers/{customer['id']}" for customer in made)
    ]

    answered = [tuple(answer.status_code for answer in pair) for pair in pairs]
    assert [ledger.customer(customer)[3] for customer in made] == [CONSISTENT[pair] for pair in answered]
    assert sum(ledger.living(customer["email"]) for customer in made) == 0


def test_of_ten_deletes_one_is_204(customers_api, factory, at_once, ledger):
    customer = factory.make_customer()

    answers = at_once(10 * [lambda: customers_api.delete(f"/customers/{customer['id']}").status_code])

    assert sorted(answers) == [204] + [404] * 9
    assert ledger.customer(customer)[3] == 2


def test_orders_against_changes_and_the_delete_of_their_customer_do_not_fail(
    desk, customers_api, factory, at_once, ledger
):
    product, customer = factory.make_product(stock=50), factory.make_customer()
    path = f"/customers/{customer['id']}"

    ordered = at_once(
        10 * [lambda: desk.create(customer, {product["id"]: 1})]
        + 5 * [lambda: customers_api.put(path, json={"phone": "+1 555 0100"})]
        + [lambda: customers_api.delete(path)]
    )[:10]

    assert outcomes(ordered).keys() <= {201, "customer_not_found"}
    assert len(ledger.orders_of(customer)) == outcomes(ordered).get(201, 0) == 50 - ledger.stock(product)


def test_order_whose_customer_was_deleted_while_it_waited_for_stock_is_404_and_takes_none(
    make_waiting_desk, customers_api, factory, key, start, outsider, ledger
):
    desk, product, customer = make_waiting_desk(TIMEOUT), factory.make_product(), factory.make_customer()
    outsider.lock_product(product)
    order = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_waiting(1)

    deleted = customers_api.delete(f"/customers/{customer['id']}")
    outsider.release()

    assert deleted.status_code == 204
    assert refusal(order.result(TIMEOUT)) == (404, "customer_not_found")
    assert (ledger.orders_of(customer), ledger.stock(product), ledger.keys(key)) == ([], 100, 0)


def test_order_waits_for_the_delete_of_its_customer(make_waiting_desk, factory, settings, start, outsider, ledger):
    factory.make_order(settings)  # opens the tables, or MySQL's time for that is taken for a wait
    desk, product, customer = make_waiting_desk(TIMEOUT), factory.make_product(), factory.make_customer()
    outsider.delete_customer(customer)
    order = start(lambda: desk.create(customer, {product["id"]: 1}))
    outsider.wait_for_waiting(1, "INSERT INTO orders")

    outsider.commit()

    assert refusal(order.result(TIMEOUT)) == (404, "customer_not_found")
    assert (ledger.orders_of(customer), ledger.stock(product)) == ([], 100)


def test_delete_waits_for_an_order_of_its_customer(
    service_databases, customers_api, factory, settings, clock, start, outsider, ledger
):
    product, customer = factory.make_product(), factory.make_customer()
    is_made, may_commit = threading.Event(), threading.Event()

    def create_and_wait(tx):
        create_order(tx, clock, customer, order_request(customer, (product, 1)), Origin("demo", "request"), settings)
        is_made.set()
        assert may_commit.wait(TIMEOUT)

    order = start(lambda: service_databases["orders"].transact(create_and_wait))
    assert is_made.wait(TIMEOUT)
    delete = start(lambda: customers_api.delete(f"/customers/{customer['id']}"))
    outsider.wait_for_waiting(1)
    may_commit.set()

    assert (order.result(TIMEOUT), delete.result(TIMEOUT).status_code) == (None, 204)
    assert (len(ledger.orders_of(customer)), ledger.stock(product)) == (1, 99)
