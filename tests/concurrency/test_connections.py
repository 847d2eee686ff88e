"""More threads than any pool of connections has places."""

from tests.concurrency.answers import statuses


def test_forty_threads_read_and_write_and_each_sees_its_own(desk, orders_api, factory, at_once, ledger):
    product, customer = factory.make_product(stock=1000), factory.make_customer()

    def work():
        made = desk.create(customer, {product["id"]: 1})
        shown = [orders_api.get(made.headers["Location"]) for _ in range(4)]
        return [made, *shown, desk.confirm(made.json)]

    answers = at_once(40 * [work])

    assert statuses(sum(answers, [])) == {201: 40, 200: 5 * 40}
    assert [{answer.json["id"] for answer in each} for each in answers] == [{each[0].json["id"]} for each in answers]
    assert (len(ledger.orders_of(customer)), ledger.stock(product)) == (40, 1000 - 40)
