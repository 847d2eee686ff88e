"""What a client gets while the database is away or contended, and what is left behind."""

import contextlib
import dataclasses
import socket
import threading

import pytest
from mysql.connector import errors

from common.config import Server
from common.connection import Primary
from common.database import Database
from common.problems import DatabaseUnavailable
from tests.contract_client import refusal
from tests.factories import order_request, unique
from tests.system.conftest import wait_until


class InterruptedDatabase(Database):
    """The real database; `before_commit(tx)` runs at the end of each transaction."""

    def __init__(self, settings, before_commit):
        super().__init__(settings)
        self._before_commit = before_commit

    def transact(self, fn, *args, **options):
        def interrupted(tx):
            result = fn(tx, *args)
            self._before_commit(tx)
            return result

        return super().transact(interrupted, **options)


def test_connection_killed_in_the_middle_is_503_and_rolls_back(make_orders_api, make_database, factory, kill, refused):
    def lose_connection(tx):
        kill(tx)
        tx.execute("SELECT 1")

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    response = refused(
        (503, "database_unavailable"), api.post, "/orders", json=request, headers={"X-Idempotency-Key": unique("key")}
    )

    assert int(response.headers["Retry-After"]) >= 1


def test_failed_commit_is_503_and_not_retried(make_orders_api, make_database, factory, kill, refused):
    runs = []

    def lose_connection(tx):
        runs.append(tx)
        kill(tx)

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    refused((503, "database_unavailable"), api.post, "/orders", json=request)

    assert len(runs) == 1


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


@pytest.mark.parametrize(
    "changes", [{"servers": (Server("127.0.0.1", 1),)}, {"password": "wrong"}], ids=["unreachable", "locked out"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/products"), ("GET", "/products/1"), ("POST", "/products")])
def test_database_that_lets_nobody_in_is_503(make_orders_api, make_database, database_settings, changes, method, path):
    database = make_database(settings=dataclasses.replace(database_settings, **changes))
    product = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1, "stock": 1}

    response = make_orders_api(database=database).request(method, path, json=product)

    assert refusal(response) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


# --- a group's members -----------------------------------------------------------------

NOBODY = Server("127.0.0.1", 1)  # a member that is gone


@pytest.fixture
def of_several(service_settings):
    """The settings of Orders where the first of two servers is gone."""
    settings = service_settings["orders"]
    return dataclasses.replace(settings, servers=(NOBODY, *settings.servers))


def fail_once(errno):
    """Return what answers a transaction's last statement with one of MySQL's errors, the first time."""
    errnos = [errno]

    def before_commit(tx):
        if errnos:
            tx.execute(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {errnos.pop()}")

    return before_commit


def place(api, factory):
    """Send an order with a key; return (response, pieces of stock that it took)."""
    product = factory.make_product(stock=5)
    request = order_request(factory.make_customer(), (product, 1))
    response = api.post("/orders", json=request, headers={"X-Idempotency-Key": unique("key")})
    return response, 5 - factory.stock_of(product["id"])


@pytest.mark.parametrize("errno", [1290, 1792, 1836])
def test_what_a_read_only_member_refused_runs_again_on_another(
    make_orders_api, make_database, of_several, factory, errno
):
    database = make_database(InterruptedDatabase, of_several, before_commit=fail_once(errno))

    response, taken = place(make_orders_api(database=database), factory)

    assert (response.status_code, taken) == (201, 1)


@pytest.mark.parametrize("errno", [3, 20, 1021, 1026, 1114, 1290, 3032, 3797, 4094])
def test_only_server_that_takes_no_writes_is_503(make_orders_api, make_database, factory, errno):
    database = make_database(InterruptedDatabase, before_commit=fail_once(errno))

    response, taken = place(make_orders_api(database=database), factory)

    assert refusal(response) == (503, "database_unavailable")
    assert taken == 0


class RefusingDriver:
    """A driver's connection whose server rolls back at the first COMMIT, and says so with `errno`."""

    def __init__(self, driver, errno):
        self._driver, self._errnos = driver, [errno]

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def cmd_query(self, statement):
        if statement == "COMMIT" and self._errnos:
            self._driver.cmd_query("ROLLBACK")
            raise errors.DatabaseError("refused", errno=self._errnos.pop())
        return self._driver.cmd_query(statement)


@pytest.mark.parametrize(
    ("errno", "outcome"), [(3101, (200, 1)), (3100, (503, 0)), (2013, (503, 0))], ids=["rolled back", "hook", "lost"]
)
def test_commit_runs_again_only_where_the_group_says_that_it_rolled_back(
    make_orders_api, make_database, of_several, factory, monkeypatch, errno, outcome
):
    connect = Primary.connect
    drivers = []

    def connect_once_refusing(primary, options):
        server, driver = connect(primary, options)
        drivers.append(driver)
        return server, RefusingDriver(driver, errno) if len(drivers) == 1 else driver

    database = make_database(settings=of_several)
    api = make_orders_api(database=database)
    database.probe.ask().result(5)  # on a connection of its own, which is not to be the first
    monkeypatch.setattr(Primary, "connect", connect_once_refusing)

    product = factory.make_product(stock=5)
    response = api.patch(f"/products/{product['id']}", json={"stock_delta": -1})

    assert (response.status_code, 5 - factory.stock_of(product["id"])) == outcome


def test_commit_goes_where_the_transaction_is_though_the_primary_is_another_by_now(
    make_orders_api, make_database, of_several, factory
):
    database = make_database(
        InterruptedDatabase, of_several, before_commit=lambda tx: database._primary.forget(of_several.servers[1])
    )
    product = factory.make_product(stock=5)

    response = make_orders_api(database=database).patch(f"/products/{product['id']}", json={"stock_delta": -1})

    assert (response.status_code, factory.stock_of(product["id"])) == (200, 4)


def test_write_with_a_key_that_could_begin_only_late_does_not(
    make_orders_api, make_database, of_several, silent_settings, factory, monkeypatch
):
    # Its client has asked again by then, and may have been refused.
    settings = dataclasses.replace(of_several, servers=(*silent_settings.servers, *of_several.servers))
    api = make_orders_api(database=make_database(settings=settings))
    monkeypatch.setattr("common.database.BEGIN_SECONDS", 0.5)  # the silent server takes a second

    late, taken_late = place(api, factory)
    again, taken = place(api, factory)

    assert refusal(late) == (503, "database_unavailable")
    assert (again.status_code, taken_late, taken) == (201, 0, 1)


def test_database_closes_when_nobody_uses_a_connection_any_more(make_database, of_several, silent_settings):
    # A call to MySQL's library on a connection that is closed meanwhile crashes the process.
    settings = dataclasses.replace(of_several, servers=(*silent_settings.servers, *of_several.servers))
    database = make_database(settings=settings)
    answer = database.probe.ask()

    database.close()

    assert answer.done()


def test_log_says_of_each_server_why_it_is_not_used(make_orders_api, make_database, of_several, log_lines):
    settings = dataclasses.replace(of_several, servers=(NOBODY, Server("localhost", 1)))

    response = make_orders_api(database=make_database(settings=settings)).get("/products")

    assert refusal(response) == (503, "database_unavailable")
    (failure,) = log_lines("failure")
    assert "127.0.0.1:1: " in failure["detail"]
    assert "localhost:1: " in failure["detail"]


def test_server_that_hangs_in_the_tls_handshake_is_passed_over(make_database, of_several, monkeypatch):
    # The driver's timeouts don't end it, so the thread that met it hangs until the server is gone.
    (_, good) = of_several.servers
    monkeypatch.setattr("common.database.PROBE_LOST_SECONDS", 1)
    with socket.create_connection(good) as client:
        greeting = client.recv(1000)
    hanging, asked = [], []

    def greet(server):
        with contextlib.suppress(OSError):  # it is closed in the end
            while True:
                connection, _ = server.accept()
                connection.sendall(greeting)
                hanging.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        settings = dataclasses.replace(of_several, servers=(Server(*server.getsockname()), good))
        database = make_database(settings=settings)

        def ask():
            with contextlib.suppress(DatabaseUnavailable):
                return database.read(lambda cursor: asked.append(1) or True)

        wait_until(ask)
        assert (len(hanging), asked) == (1, [1])
        server.shutdown(socket.SHUT_RDWR)
        hanging[0].close()
