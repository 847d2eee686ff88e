"""Orders made by many at the same moment, with one key or one reference."""

from common import times
from tests.concurrency.answers import bodies, outcomes, replays, statuses
from tests.concurrency.conftest import TIMEOUT
from tests.factories import unique


def test_twenty_creates_with_one_key_are_one_order(desk, factory, key, at_once, ledger):
    product, customer = factory.make_product(stock=2), factory.make_customer()

    answers = at_once(20 * [lambda: desk.create(customer, {product["id"]: 2}, key)])

    assert statuses(answers) == {201: 20}
    assert len(bodies(answers)) == 1
    assert replays(answers) == 19
    assert {answer.headers["Location"] for answer in answers} == {f"/orders/{answers[0].json['id']}"}
    assert ledger.orders_of(customer) == [answers[0].json["id"]]
    assert ledger.stock(product) == 0


def test_stock_that_comes_back_amid_the_repeats_makes_one_order(desk, factory, key, at_once, ledger):
    product, customer = factory.make_product(stock=0), factory.make_customer()
    repeats = 10 * [lambda: desk.create(customer, {product["id"]: 2}, key)]
    refill = [lambda: desk.change_product(product, {"stock_delta": 50})]

    answers = at_once(repeats + refill + repeats)
    last = desk.create(customer, {product["id"]: 2}, key)

    assert outcomes(answers).keys() <= {200, 201, "insufficient_stock"}
    assert last.status_code == 201
    assert ledger.orders_of(customer) == [last.json["id"]]
    assert ledger.stock(product) == 48


def test_an_expired_key_used_by_twenty_makes_one_new_order(desk, factory, key, at_once, ledger, clock):
    product, customer = factory.make_product(stock=50), factory.make_customer()
    first = desk.create(customer, {product["id"]: 1}, key)
    clock.advance(hours=24, seconds=1)

    answers = at_once(20 * [lambda: desk.create(customer, {product["id"]: 2}, key)])

    assert statuses(answers) == {201: 20}
    assert len(bodies(answers)) == 1
    assert replays(answers) == 19
    assert ledger.orders_of(customer) == [first.json["id"], answers[0].json["id"]]
    assert (ledger.stock(product), ledger.keys(key)) == (47, 1)


def test_an_order_that_waited_for_its_product_is_made_after_the_wait(desk, factory, start, outsider, clock):
    product, customer = factory.make_product(), factory.make_customer()
    outsider.lock_product(product)
    call = start(lambda: desk.create(customer, {product["id"]: 1}))
    outsider.wait_for_waiting(1)
    clock.advance(hours=1)
    end_of_wait = times.to_json(clock())

    outsider.release()

    assert call.result(TIMEOUT).json["created_at"] > end_of_wait


def test_ten_orders_with_one_reference_are_one_order(desk, factory, at_once, ledger):
    customer = factory.make_customer()
    # A product each: on a common one they would queue before they come to the reference.
    products = [factory.make_product(stock=10) for _ in range(10)]
    reference = unique("PO")

    answers = at_once(
        [lambda product=product: desk.create(customer, {product["id"]: 1}, reference=reference) for product in products]
    )

    assert outcomes(answers) == {201: 1, "duplicate_reference": 9}
    assert [*{answer.json.get("order_id") or answer.json["id"] for answer in answers}] == ledger.orders_of(customer)
    assert sum(ledger.stock(product) for product in products) == 99
