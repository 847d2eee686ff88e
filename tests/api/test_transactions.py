"""The unit of work on a real server: what is retried, what is rolled back, how the session is set."""

import mysql.connector
import pytest
from mysql.connector.connection_cext import CMySQLConnection

from common.database import ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, MAX_ATTEMPTS
from common.problems import Busy, DatabaseUnavailable


def set_stock(tx, product_id, stock):
    tx.execute("UPDATE products SET stock = %s WHERE id = %s", (stock, product_id))


def test_lock_timeout_is_retried_and_the_first_half_is_not_kept(make_database, factory, other_connection):
    kept, blocked = factory.make_product(stock=1)["id"], factory.make_product(stock=1)["id"]
    set_stock(other_connection.cursor(), blocked, 9)
    pauses = []

    def let_go(seconds):
        pauses.append(seconds)
        other_connection.rollback()

    def add_to_both(tx):
        tx.execute("UPDATE products SET stock = stock + 1 WHERE id = %s", (kept,))
        tx.execute("UPDATE products SET stock = stock + 1 WHERE id = %s", (blocked,))

    database = make_database(sleep=let_go)
    # The least that InnoDB can wait. The setting lives as long as the connection.
    database.read(lambda cursor: cursor.execute("SET SESSION innodb_lock_wait_timeout = 1"))

    database.transact(add_to_both)

    assert len(pauses) == 1
    assert (factory.stock_of(kept), factory.stock_of(blocked)) == (2, 2)


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


def test_abort_of_the_worker_rolls_back_and_leaves_a_usable_connection(database, factory):
    product_id = factory.make_product(stock=1)["id"]

    def abort(tx):
        set_stock(tx, product_id, 7)
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        database.transact(abort)

    assert factory.stock_of(product_id) == 1


def test_driver_is_the_c_extension(database):
    assert database.read(lambda cursor: type(cursor.connection)) is CMySQLConnection


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
