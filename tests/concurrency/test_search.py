"""Names that many give, change and take away at the same moment: search follows, nobody waits in a circle."""

from tests.concurrency.answers import outcomes, statuses
from tests.factories import unique


def test_customers_made_renamed_and_deleted_at_once_neither_fail_nor_deadlock(customers_api, factory, at_once, retries):
    old, new = unique("before"), unique("behind")
    renamed = [factory.make_customer(name=f"{old} {number}") for number in range(15)]
    deleted = [factory.make_customer(name=f"{old} {number}") for number in range(10)]

    def rename(customer):
        return lambda: customers_api.put(f"/customers/{customer['id']}", json={"name": f"{new} {customer['id']}"})

    def make(number):
        customer = {"name": f"{new} made", "email": f"{new}-{number}@example.test"}
        return lambda: customers_api.post("/customers", json=customer)

    changed = at_once(
        [
            *map(rename, renamed),
            *map(make, range(15)),
            *[lambda path=f"/customers/{customer['id']}": customers_api.delete(path) for customer in deleted],
        ]
    )

    assert statuses(changed) == {200: 15, 201: 15, 204: 10}
    assert retries() == {}
    assert _found(customers_api, new) == 30
    assert _found(customers_api, old) == 0


def test_eight_names_for_one_customer_leave_the_entries_of_one(customers_api, factory, at_once, ledger):
    customer = factory.make_customer()
    names = [unique(word) for word in ("alpha", "bravo", "delta", "gamma", "kappa", "sigma", "omega", "theta")]
    path = f"/customers/{customer['id']}"

    answers = at_once([lambda name=name: customers_api.put(path, json={"name": name}) for name in names])

    last = customers_api.get(path).json["name"]
    assert outcomes(answers) == {200: 8}
    assert [name for name in names if _found(customers_api, name)] == [last]
    assert ledger.stale_entries(customer) == 0


def _found(api, text):
    return len(api.get(f"/customers?search={text}&limit=100").json["data"])
