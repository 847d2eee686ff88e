"""Stock that many take, give back and correct at the same moment: no piece is lost or made."""

import random

from tests.concurrency.answers import outcomes, statuses
from tests.concurrency.conftest import TIMEOUT


def test_an_order_that_waited_for_a_product_decides_on_what_was_left_of_it(
    make_waiting_desk, factory, start, outsider, ledger
):
    desk = make_waiting_desk(20)  # one that gives up earlier decides anew on its next attempt
    product, customer = factory.make_product(stock=5), factory.make_customer()
    outsider.lock_product(product)
    call = start(lambda: desk.create(customer, {product["id"]: 1}))
    outsider.wait_for_waiting(1)

    outsider.sell_out(product)

    assert outcomes([call.result(TIMEOUT)]) == {"insufficient_stock": 1}
    assert (ledger.stock(product), ledger.orders_of(customer)) == (0, [])


def test_orders_that_name_the_same_products_in_any_order_neither_fail_nor_deadlock(
    desk, factory, at_once, ledger, retries
):
    products = [factory.make_product(stock=10_000) for _ in range(5)]
    customers = [factory.make_customer() for _ in range(16)]
    carts = _carts(random.Random(20260), products, 200)

    def buy(number):
        return [desk.create(customers[number], cart) for cart in carts[number::16]]

    answers = sum(at_once([lambda number=number: buy(number) for number in range(16)]), [])

    assert statuses(answers) == {201: 200}
    assert [10_000 - ledger.stock(product) for product in products] == [_pieces(carts, product) for product in products]
    assert [ledger.sold(product) for product in products] == [_pieces(carts, product) for product in products]
    assert retries() == {}


def test_scarce_products_are_sold_to_the_last_piece_and_not_beyond(desk, factory, at_once, ledger):
    products = [factory.make_product(stock=60) for _ in range(5)]
    customer = factory.make_customer()
    carts = _carts(random.Random(20261), products, 200)

    answers = sum(at_once([lambda n=n: [desk.create(customer, cart) for cart in carts[n::16]] for n in range(16)]), [])

    assert outcomes(answers).keys() == {201, "insufficient_stock"}
    assert [ledger.stock(product) + ledger.sold(product) for product in products] == [60] * 5
    assert min(ledger.stock(product) for product in products) == 0


def test_corrections_orders_and_cancels_at_once_add_up(desk, factory, settings, at_once, ledger):
    product, customer = factory.make_product(stock=1000), factory.make_customer()
    held = [factory.make_order(settings, items=[{"product_id": product["id"], "qty": 7}]) for _ in range(20)]
    calls = [
        *[lambda: [desk.change_product(product, {"stock_delta": 5}) for _ in range(10)]] * 4,
        *[lambda: [desk.change_product(product, {"stock_delta": -3}) for _ in range(10)]] * 4,
        *[lambda: [desk.create(customer, {product["id"]: 2}) for _ in range(10)]] * 4,
        *[lambda part=part: [desk.cancel(order) for order in held[part::4]] for part in range(4)],
    ]

    answers = sum(at_once(calls), [])

    assert statuses(answers) == {200: 80 + 20, 201: 40}
    assert ledger.stock(product) == 1000 - 20 * 7 + 40 * 5 - 40 * 3 - 40 * 2 + 20 * 7


def test_of_two_changes_with_one_etag_the_second_is_refused(desk, factory, at_once, ledger):
    products = [factory.make_product(stock=10) for _ in range(10)]

    pairs = [
        at_once(2 * [lambda product=product: desk.change_product(product, {"stock": 20}, if_match='"1"')])
        for product in products
    ]

    assert [outcomes(pair) for pair in pairs] == [{200: 1, "precondition_failed": 1}] * 10
    assert [ledger.stock(product) for product in products] == [20] * 10


def _carts(chance, products, count):
    """Return `count` carts of 2 to 5 products, each in an order of its own."""
    return [
        {product["id"]: chance.randint(1, 3) for product in chance.sample(products, chance.randint(2, 5))}
        for _ in range(count)
    ]


def _pieces(carts, product):
    return sum(cart.get(product["id"], 0) for cart in carts)
