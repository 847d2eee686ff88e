"""A key that is used for something else, or while its first request still runs."""

from common.problems import CustomersUnavailable
from tests.concurrency.answers import bodies, outcomes, replays, statuses
from tests.concurrency.conftest import TIMEOUT
from tests.factories import unique


def test_one_key_for_two_bodies_makes_one_order(desk, factory, key, at_once, ledger):
    product, customer = factory.make_product(stock=50), factory.make_customer()

    answers = at_once(
        5
        * [
            lambda: desk.create(customer, {product["id"]: 1}, key),
            lambda: desk.create(customer, {product["id"]: 2}, key),
        ]
    )

    assert outcomes(answers) == {201: 5, "idempotency_key_reused": 5}
    assert len(ledger.orders_of(customer)) == 1
    assert ledger.stock(product) + ledger.sold(product) == 50


def test_a_repeat_waits_for_the_first_and_replays_it(desk, factory, key, start, outsider, ledger):
    product, customer = factory.make_product(stock=1), factory.make_customer()
    outsider.lock_product(product)
    first = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_key()
    second = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_waiting(2)

    outsider.release()

    answers = [first.result(TIMEOUT), second.result(TIMEOUT)]
    assert statuses(answers) == {201: 2}
    assert len(bodies(answers)) == 1
    assert [replays([answer]) for answer in answers] == [0, 1]
    assert len(ledger.orders_of(customer)) == 1


def test_a_repeat_is_replayed_though_customers_went_down_meanwhile(desk, factory, key, start, outsider, stub_customers):
    product, customer = factory.make_product(stock=50), factory.make_customer()
    outsider.lock_product(product)
    first = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_key()
    stub_customers.problem = CustomersUnavailable()
    second = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_waiting(2)

    outsider.release()

    answers = [first.result(TIMEOUT), second.result(TIMEOUT)]
    assert statuses(answers) == {201: 2}
    assert len(bodies(answers)) == 1


def test_a_repeat_that_waits_too_long_is_told_to_come_back(
    desk, make_waiting_desk, factory, key, start, outsider, ledger
):
    product, customer = factory.make_product(stock=50), factory.make_customer()
    outsider.lock_product(product)
    patient = make_waiting_desk(20)
    first = start(lambda: patient.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_key()

    early = start(lambda: desk.create(customer, {product["id"]: 1}, key)).result(TIMEOUT)
    outsider.release()
    made = first.result(TIMEOUT)
    late = start(lambda: desk.create(customer, {product["id"]: 1}, key)).result(TIMEOUT)

    assert (early.status_code, early.json["code"]) == (409, "idempotency_key_in_flight")
    assert early.headers["Retry-After"] == "1"
    assert (made.status_code, late.status_code) == (201, 201)
    assert made.content == late.content
    assert len(ledger.orders_of(customer)) == 1


def test_a_key_does_not_wait_for_others_of_its_slot(desk, factory, key, outsider):
    product, customer = factory.make_product(), factory.make_customer()
    outsider.read_slots("FOR SHARE")

    assert desk.create(customer, {product["id"]: 1}, key).status_code == 201


def test_a_key_of_a_request_of_the_version_before_is_waited_for_and_replayed(
    desk, factory, key, start, outsider, ledger
):
    product, customer, other_key = factory.make_product(stock=1), factory.make_customer(), unique("key")
    made = desk.create(customer, {product["id"]: 1}, other_key)
    outsider.read_slots("FOR UPDATE")
    call = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_waiting(1)

    outsider.answer_under(key, of=other_key)

    answer = call.result(TIMEOUT)
    assert (answer.status_code, answer.content, replays([answer])) == (201, made.content, 1)
    assert len(ledger.orders_of(customer)) == 1


def test_a_key_that_turns_up_amid_its_request_undoes_it_and_is_replayed(desk, factory, key, start, outsider, ledger):
    product, customer, other_key = factory.make_product(stock=50), factory.make_customer(), unique("key")
    made = desk.create(customer, {product["id"]: 1}, other_key)
    outsider.lock_product(product)
    call = start(lambda: desk.create(customer, {product["id"]: 1}, key))
    outsider.wait_for_waiting(1)

    outsider.answer_under(key, of=other_key)

    answer = call.result(TIMEOUT)
    assert (answer.status_code, answer.content, replays([answer])) == (201, made.content, 1)
    assert (len(ledger.orders_of(customer)), ledger.stock(product)) == (1, 49)


def test_a_lock_that_outlasts_every_retry_is_503_and_leaves_nothing(
    desk, make_waiting_desk, factory, key, outsider, ledger, retries
):
    product, customer = factory.make_product(stock=50), factory.make_customer()
    outsider.lock_product(product)

    busy = make_waiting_desk(1).create(customer, {product["id"]: 1}, key)
    left = (ledger.keys(key), ledger.orders_of(customer))
    outsider.release()
    again = desk.create(customer, {product["id"]: 1}, key)

    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (503, "busy", "1")
    assert retries() == {1205: 4}
    assert left == (0, [])
    assert again.status_code == 201
    assert ledger.stock(product) == 49


def test_the_loser_of_a_deadlock_runs_again_and_succeeds(desk, factory, key, start, outsider, ledger, retries):
    first, second = factory.make_product(stock=50), factory.make_product(stock=50)
    customer = factory.make_customer()
    outsider.lock_product(second)
    call = start(lambda: desk.create(customer, {first["id"]: 1, second["id"]: 1}, key))
    outsider.wait_for_lock(first)

    # The order holds the first product and waits for the second: a circle.
    outsider.lock_product(first)
    outsider.release()

    assert call.result(TIMEOUT).status_code == 201
    assert retries() == {1213: 1}
    assert len(ledger.orders_of(customer)) == 1
    assert (ledger.stock(first), ledger.stock(second)) == (49, 49)
