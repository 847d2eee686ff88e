"""The database away, slow or contended: what is retried, what is not, and what is left behind."""

import dataclasses
import threading

import mysql.connector
import pytest

from common.database import ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, MAX_ATTEMPTS, Database
from common.problems import Busy, DatabaseUnavailable
from tests.contract_client import refusal
from tests.factories import order_request, unique


class InterruptedDatabase(Database):
    """The real database; `before_commit(tx)` runs at the end of each transaction."""

    def __init__(self, settings, before_commit):
        super().__init__(settings)
        self._before_commit = before_commit

    def transact(self, fn, *args):
        def interrupted(tx):
            result = fn(tx, *args)
            self._before_commit(tx)
            return result

        return super().transact(interrupted)


@pytest.fixture
def make_database(database_settings):
    """`make_database(class, …)` returns a database of the test's own, closed at its end."""
    made = []

    def make(kind=Database, settings=database_settings, **arguments):
        made.append(kind(settings, **arguments))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def kill(other_connection):
    """`kill(tx)` ends the connection of `tx` from outside."""

    def kill_connection_of(tx):
        tx.execute("SELECT CONNECTION_ID() AS id")
        other_connection.cursor().execute(f"KILL {tx.fetchone()['id']}")

    return kill_connection_of


def set_stock(tx, product_id, stock):
    tx.execute("UPDATE products SET stock = %s WHERE id = %s", (stock, product_id))


def lock(cursor, product_id):
    cursor.execute("SELECT stock FROM products WHERE id = %s FOR UPDATE", (product_id,))
    cursor.fetchall()


def wait_one_second_for_locks(database):
    """The least that InnoDB can wait; the setting lives as long as the connection."""
    database.read(lambda cursor: cursor.execute("SET SESSION innodb_lock_wait_timeout = 1"))


@pytest.mark.reaches("database_unavailable")
def test_connection_killed_in_the_middle_is_503_and_rolls_back(make_orders_api, make_database, factory, kill, checksum):
    def lose_connection(tx):
        kill(tx)
        tx.execute("SELECT 1")

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    before = checksum()

    response = api.post("/orders", json=request, headers={"X-Idempotency-Key": unique("key")})

    assert refusal(response) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert checksum() == before


@pytest.mark.reaches("database_unavailable")
def test_failed_commit_is_503_and_not_retried(make_orders_api, make_database, factory, kill, checksum):
    runs = []

    def lose_connection(tx):
        runs.append(tx)
        kill(tx)

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    before = checksum()

    response = api.post("/orders", json=request)

    assert refusal(response) == (503, "database_unavailable")
    assert len(runs) == 1
    assert checksum() == before


def test_same_key_succeeds_after_a_failed_commit(make_orders_api, orders_api, make_database, factory, kill):
    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=kill))
    product = factory.make_product(stock=5)
    request = order_request(factory.make_customer(), (product, 1))
    headers = {"X-Idempotency-Key": unique("key")}
    failed = api.post("/orders", json=request, headers=headers)

    response = orders_api.post("/orders", json=request, headers=headers)

    assert (failed.status_code, response.status_code) == (503, 201)
    assert factory.stock_of(product["id"]) == 4


def test_connection_killed_between_requests_costs_nothing(make_orders_api, make_database, factory, kill):
    database = make_database()
    api, product = make_orders_api(database=database), factory.make_product(stock=5)
    database.read(kill)

    read = api.get(f"/products/{product['id']}")
    database.read(kill)
    written = api.patch(f"/products/{product['id']}", json={"stock_delta": 1})

    assert (read.status_code, written.status_code) == (200, 200)
    assert factory.stock_of(product["id"]) == 6


@pytest.mark.reaches("database_unavailable")
@pytest.mark.parametrize("changes", [{"port": 1}, {"password": "wrong"}], ids=["unreachable", "locked out"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/products"), ("GET", "/products/1"), ("POST", "/products")])
def test_database_that_lets_nobody_in_is_503(make_orders_api, make_database, database_settings, changes, method, path):
    database = make_database(settings=dataclasses.replace(database_settings, **changes))
    product = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1, "stock": 1}

    response = make_orders_api(database=database).request(method, path, json=product)

    assert refusal(response) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


def test_lock_timeout_is_retried_and_the_first_half_is_not_kept(make_database, factory, other_connection):
    kept, blocked = factory.make_product(stock=1)["id"], factory.make_product(stock=1)["id"]
    lock(other_connection.cursor(), blocked)
    pauses = []

    def let_go(seconds):
        pauses.append(seconds)
        other_connection.rollback()

    def add_to_both(tx):
        tx.execute("UPDATE products SET stock = stock + 1 WHERE id = %s", (kept,))
        tx.execute("UPDATE products SET stock = stock + 1 WHERE id = %s", (blocked,))

    database = make_database(sleep=let_go)
    wait_one_second_for_locks(database)

    database.transact(add_to_both)

    assert len(pauses) == 1
    assert (factory.stock_of(kept), factory.stock_of(blocked)) == (2, 2)


@pytest.mark.reaches("busy")
def test_lock_that_is_never_free_is_503_after_bounded_retries(
    make_orders_api, make_database, factory, other_connection, checksum
):
    product = factory.make_product(stock=5)
    request, pauses = order_request(factory.make_customer(), (product, 1)), []
    database = make_database(sleep=pauses.append)
    wait_one_second_for_locks(database)
    before = checksum()
    lock(other_connection.cursor(), product["id"])

    response = make_orders_api(database=database).post("/orders", json=request)
    other_connection.rollback()

    assert refusal(response) == (503, "busy")
    assert int(response.headers["Retry-After"]) >= 1
    assert len(pauses) >= 1
    assert checksum() == before


def fail_with(tx, errno, runs):
    """Let the server itself raise the error."""
    runs.append(tx)
    tx.execute(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {errno}")


@pytest.mark.parametrize("errno", [ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK])
def test_contention_is_retried_with_a_growing_pause_before_each_retry(make_database, errno):
    runs, pauses = [], []
    database = make_database(sleep=pauses.append, jitter=lambda low, high: high)

    with pytest.raises(Busy):
        database.transact(fail_with, errno, runs)

    assert len(runs) == MAX_ATTEMPTS
    assert pauses == [0.01, 0.02, 0.04]


@pytest.mark.parametrize("errno", [1290, 1317, 3024])
def test_server_that_can_not_work_now_is_unavailable_and_not_asked_again(make_database, errno):
    runs = []

    with pytest.raises(DatabaseUnavailable):
        make_database().transact(fail_with, errno, runs)

    assert len(runs) == 1


@pytest.mark.parametrize("errno", [1146, 1054, 3819])
def test_error_that_is_our_defect_stays_itself(make_database, errno):
    runs = []

    with pytest.raises(mysql.connector.Error) as caught:
        make_database().transact(fail_with, errno, runs)

    assert caught.value.errno == errno
    assert len(runs) == 1


def test_deadlock_is_retried(make_database, factory, other_connection):
    first, second = factory.make_product(stock=1)["id"], factory.make_product(stock=1)["id"]
    runs, entered = [], threading.Event()
    cursor = other_connection.cursor()
    # The victim is who has written less, so the other side writes more.
    cursor.executemany(
        "INSERT INTO operators (username, password_hash, role, created_at) VALUES (%s, '', 'viewer', NOW())",
        [(unique("heavy"),) for _ in range(20)],
    )
    lock(cursor, second)

    def cross():
        entered.wait(10)
        lock(cursor, first)
        other_connection.rollback()

    def take_both(tx):
        runs.append(tx)
        lock(tx, first)
        entered.set()
        lock(tx, second)
        set_stock(tx, second, 9)

    other = threading.Thread(target=cross)
    other.start()

    make_database().transact(take_both)
    other.join(10)

    assert len(runs) == 2
    assert factory.stock_of(second) == 9


def test_abort_of_the_worker_rolls_back_and_leaves_a_usable_connection(database, factory):
    product_id = factory.make_product(stock=1)["id"]

    def abort(tx):
        set_stock(tx, product_id, 7)
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        database.transact(abort)

    assert factory.stock_of(product_id) == 1


def test_read_survives_one_dead_connection_and_no_more(make_database, kill):
    database, runs = make_database(), []

    def die(cursor):
        runs.append(cursor)
        kill(cursor)
        cursor.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        database.read(die)

    assert len(runs) == 2


def test_driver_is_the_c_extension(database):
    assert database.read(lambda cursor: type(cursor).__name__).startswith("CMySQLCursor")


def test_stacked_query_is_a_syntax_error_and_changes_nothing(database, factory):
    product_id = factory.make_product(stock=1)["id"]

    def stack(tx):
        tx.execute(f"SELECT 1; UPDATE products SET stock = 9 WHERE id = {product_id}")

    with pytest.raises(mysql.connector.ProgrammingError) as caught:
        database.transact(stack)

    assert caught.value.errno == 1064
    assert factory.stock_of(product_id) == 1


def test_session_settings_hold_in_every_transaction_and_after_a_reconnect(make_database, kill):
    database = make_database()

    def select_settings(cursor):
        cursor.execute(
            "SELECT @@session.time_zone AS zone, @@session.transaction_isolation AS isolation,"
            " @@session.innodb_lock_wait_timeout AS lock_wait, @@session.max_execution_time AS execution,"
            " @@session.sql_mode LIKE '%STRICT_ALL_TABLES%' AS strict, @@session.autocommit AS autocommit"
        )
        return cursor.fetchone()

    expected = {
        "zone": "+00:00", "isolation": "READ-COMMITTED", "lock_wait": 2, "execution": 5000, "strict": 1, "autocommit": 1
    }  # fmt: skip
    first, second = database.transact(select_settings), database.transact(select_settings)
    database.read(kill)
    after_reconnect = database.read(select_settings)

    assert [first, second, after_reconnect] == [expected] * 3
