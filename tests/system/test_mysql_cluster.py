"""sql/mysql-cluster: three servers of one replication group, and what it does when they are lost; and the page."""

import re
import shutil
import subprocess

import pytest

from tests.system.conftest import wait_until
from tests.system.mysql_group import SCRIPT
from tests.system.mysql_server import ROOT
from tests.system.test_readme import examples

PAGE = ROOT / "docs" / "replication.md"

# What each machine has of its own.
OWN_SETTINGS = {"server_id", "report_host", "group_replication_local_address", "group_replication_group_seeds"}
# What a member has received of its group since it joined.
RECEIVED = """(SELECT received_transaction_set FROM performance_schema.replication_connection_status
                WHERE channel_name = 'group_replication_applier')"""


@pytest.fixture(scope="module", autouse=True)
def table(shared_group):
    shared_group.start()
    shared_group.server(shared_group.primary()).query("CREATE TABLE kept (id INT PRIMARY KEY);")


def rows(server):
    return server.query("SELECT GROUP_CONCAT(id ORDER BY id) FROM kept;").strip()


def write(group, *numbers):
    """Write rows through the primary, and return its number."""
    primary = group.primary()
    values = ", ".join(f"({number})" for number in numbers)
    group.server(primary).query(f"INSERT INTO kept VALUES {values};")
    return primary


def gtids(server, what):
    """Return a set of transactions of a server on one line."""
    run = server.run("root", "-BNr", "-e", f"SELECT REPLACE({what}, '\\n', '')")
    return run.stdout.strip()


def words(text):
    """Return a text on one line, with its strings emptied."""
    return re.sub(r"\s+", " ", re.sub(r"'[^'\n]*'", "''", text)).strip()


def others(number):
    return [other for other in (1, 2, 3) if other != number]


def test_rows_and_accounts_are_on_all_members_and_only_the_primary_takes_writes(group):
    primary = write(group, 1, 2)

    for number in others(primary):
        server = group.server(number)
        wait_until(lambda server=server: rows(server) == "1,2")
        run = server.run("client", stdin="INSERT INTO kept VALUES (3);")
        assert run.stderr.startswith("ERROR 1290 ")
    for server in group.servers:
        run = server.run("client", "-BN", "--user=b2b_orders_api", "--database=", stdin="SELECT CURRENT_ROLE();")
        assert run.stdout == "`b2b_orders`@`%`\n", run.stderr
        # Nobody has a transaction that isn't the group's.
        executed = server.run("root", "-BN", "-e", "SELECT @@GLOBAL.gtid_executed").stdout
        assert {part.partition(":")[0] for part in executed.split(",")} == {"b2b00000-0000-4000-8000-000000000001"}


def test_planned_switch_makes_the_named_member_the_primary(group):
    target = others(group.primary())[0]

    switch = group.run("switch", str(target))

    assert (switch.returncode, group.primary()) == (0, target), switch.stderr


def test_commands_of_the_page_work(group):
    commands = "\n".join(code for code, _ in examples(PAGE)).replace(".local/mysql-cluster", str(group.home))

    shell = subprocess.run(
        ["bash", "-euxc", commands.replace("mysql-cluster status", "mysql-cluster status || true")],
        cwd=ROOT,
        env=group.environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert "- DOWN" in shell.stdout
    assert sorted(group.states()) == ["PRIMARY ONLINE", "SECONDARY ONLINE", "SECONDARY ONLINE"]


def test_settings_and_statements_of_the_page_are_those_of_the_script():
    script = SCRIPT.read_text()
    options = {line.replace("-", "_") for line in re.findall(r"--([\w-]+=[^\s\"]+)", script)}
    settings = [line.replace(" ", "") for line in "".join(code for code, _ in examples(PAGE, "ini")).splitlines()]
    known = words(script.replace("$2", "ON") + script.replace("$2", "OFF"))
    statements = [words(text) for code, _ in examples(PAGE, "sql") for text in code.split(";") if text.strip()]

    own = [line for line in settings if line.replace("-", "_") not in options]
    assert {line.partition("=")[0] for line in own} == OWN_SETTINGS
    assert len(settings) - len(own) > 15
    assert [statement for statement in statements if statement not in known] == []


def test_after_a_full_stop_the_group_starts_from_the_member_that_has_received_most(group):
    # The first one, which is taken when all have the same, is down before the last transaction. The third has received
    # it, and not applied. The second has all; then its disk is lost.
    group.run("switch", "2")
    write(group, 10)
    for number in (1, 3):
        wait_until(lambda number=number: "10" in rows(group.server(number)))
    group.server(1).kill()
    with group.server(3).root() as reader:
        reader.execute("LOCK TABLES b2b.kept READ")
        write(group, 11)
        executed = gtids(group.server(2), "@@GLOBAL.gtid_executed")
        wait_until(lambda: gtids(group.server(3), RECEIVED).endswith(executed.rpartition("-")[2]))
        assert gtids(group.server(3), "@@GLOBAL.gtid_executed") != executed
        group.kill()
    shutil.rmtree(group.server(2).home / "data")

    group.start()

    assert group.primary() == 3
    assert [rows(server)[-5:] for server in group.servers] == ["10,11"] * 3


def test_lost_majority_makes_no_second_group_and_force_goes_on_with_one(group):
    write(group, 20)
    primary = group.primary()
    lost = others(primary)
    early = group.run("force", str(primary))
    for number in lost:
        group.server(number).kill()
    wait_until(lambda: group.states()[primary - 1] == "PRIMARY BLOCKED")

    start = group.run("start")
    started = [group.server(number).pids() for number in lost]
    force = group.run("force", str(primary))
    alone = group.states()
    write(group, 21)

    assert (early.returncode, early.stderr) == (
        1,
        f"mysql-cluster: member {lost[0]} runs: kill it before {primary} goes on without it\n",
    )
    assert (start.returncode, started) == (1, [[], []])
    assert f"member {primary} has lost the majority of its group" in start.stderr
    assert force.returncode == 0, force.stderr
    assert sorted(alone) == ["- DOWN", "- DOWN", "PRIMARY ONLINE"]
    assert rows(group.server(primary))[-5:] == "20,21"
