"""The services on a replication group: they go along when another member becomes the primary."""

import uuid

import pytest
import requests

from tests.conftest import run_module
from tests.system.conftest import Operator, Warehouse, free_ports, wait_until
from tests.system.mysql_server import stopped
from tests.system.services import Service, Services, prepare

IN_A_ROW = 20  # answers, and so each worker's: which one takes a request is chance


@pytest.fixture(scope="module")
def services(shared_group, tmp_path_factory):
    shared_group.start()
    environ = {**shared_group.environ, **shared_group.login("b2b", "b2b-development"), "DB_NAME": "b2b_group"}
    with Services(environ, tmp_path_factory.mktemp("services")) as services:
        prepare(services.environ)
        yield services


def test_who_only_reads_sees_an_order_that_was_made_after_a_switch(group, services, tmp_path):
    (port,) = free_ports(1)
    reader = Service("orders", port, services.environ, tmp_path)  # nobody asks it whether it is ready
    operator = Operator(services, "demo", "demo-password")
    shop = Warehouse(operator)

    def ask(path):
        return requests.get(reader.base + path, headers=operator.session.headers, timeout=30).status_code

    def make_order():
        response = operator.session.post(f"{services.orders}/orders", json=shop.order_request(), timeout=30)
        return response.status_code == 201 and response.json()

    try:
        reader.start()
        assert {ask(f"/products/{shop.product['id']}") for _ in range(IN_A_ROW)} == {200}
        old = group.primary()
        # Without a time limit, which would end connections: the old primary goes on answering reads.
        with group.server(old % 3 + 1).root() as cursor:
            cursor.execute("SELECT group_replication_set_as_primary(@@server_uuid)")
            cursor.fetchall()
        with group.server(old).root() as cursor:
            cursor.execute("LOCK TABLES b2b_group.orders READ")  # what it receives it can't apply: it stays behind
            order = wait_until(make_order)
            wait_until(lambda: {ask(f"/orders/{order['id']}") for _ in range(IN_A_ROW)} == {200})
    finally:
        reader.end()


def test_who_was_idle_while_its_primary_hung_gives_no_answer_from_the_past(group, services, tmp_path):
    (port,) = free_ports(1)
    idle = Service("orders", port, services.environ, tmp_path)
    operator = Operator(services, "demo", "demo-password")
    shop = Warehouse(operator)
    key = {"X-Idempotency-Key": uuid.uuid4().hex}

    def post(base, path, **body):
        return operator.session.post(base + path, json=body, headers=key, timeout=30)

    def order_of(base):
        response = post(base, "/orders", **shop.order_request())
        return response.status_code == 201 and response.json()

    try:
        idle.start()
        for _ in range(IN_A_ROW):  # each worker knows the primary
            assert operator.session.get(f"{idle.base}/products", timeout=30).status_code == 200
        old = group.server(group.primary())
        with stopped([old]):
            order = wait_until(lambda: order_of(services.orders))
        answers = []
        while answers.count(200) < IN_A_ROW:
            answers.append(post(idle.base, f"/orders/{order['id']}/confirm").status_code)
        assert set(answers) <= {200, 503}
        assert order_of(idle.base) == order
    finally:
        idle.end()


def test_commands_go_to_the_primary_which_isnt_the_first_in_the_list(group, services, tmp_path):
    assert group.run("switch", "2").returncode == 0
    environ = {**services.environ, "MYSQL_HOME": str(group.server(1).home)}  # which has the programs

    client = group.server(1).run("client", **environ, stdin="SELECT @@port, @@GLOBAL.read_only")
    migrated = run_module("sql.migrate", environ=environ)
    backed_up = run_module("sql.backup", "backup", str(tmp_path / "b.sql.gz"), environ=environ)

    assert client.stdout.splitlines()[1:] == [f"{group.server(2).port}\t0"], client.stderr
    assert migrated.stdout == "Schema b2b_group: nothing to apply.\n", migrated.stderr
    assert backed_up.returncode == 0, backed_up.stderr
