"""One customer, or one email, in the hands of many at the same moment."""

from tests.concurrency.answers import outcomes
from tests.factories import unique


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
