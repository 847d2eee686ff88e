"""More threads than any pool of connections has places."""

import pytest

from tests.concurrency.answers import statuses


@pytest.mark.parametrize("count", [40])
def test_forty_threads_read_and_write_and_nothing_fails(desk, factory, at_once, ledger, count):
    product, customer = factory.make_product(stock=1000), factory.make_customer()

    def work():
        made = desk.create(customer, {product["id"]: 1})
        order = made.json
        return [made, desk.show(order), desk.find(customer), desk.confirm(order), desk.show(order)]

    answers = sum(at_once(count * [work]), [])

    assert statuses(answers) == {201: count, 200: 4 * count}
    assert (len(ledger.orders_of(customer)), ledger.stock(product)) == (count, 1000 - count)


def test_each_thread_sees_its_own_order_and_no_other(desk, factory, at_once):
    product, customer = factory.make_product(stock=1000), factory.make_customer()

    def work():
        order = desk.create(customer, {product["id"]: 1}).json
        return order["id"], [desk.show(order).json["id"] for _ in range(5)]

    seen = at_once(40 * [work])

    assert [shown for _, shown in seen] == [[order_id] * 5 for order_id, _ in seen]
    assert len({order_id for order_id, _ in seen}) == 40
