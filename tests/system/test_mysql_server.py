"""sql/mysql-server: a private MySQL that survives kill -9 and leaves nothing when it is destroyed."""

import os
import pathlib
import signal

import pytest

from tests.system.conftest import free_ports, wait_until
from tests.system.mysql_server import OwnServer

# --- a server that runs ----------------------------------------------------------------


def test_client_is_the_application_which_may_make_schemas_of_its_own_name_only(own_server):
    answer = own_server.query("SELECT CURRENT_USER(), DATABASE(), @@time_zone, @@bind_address;")
    own_server.query("CREATE DATABASE b2b_of_a_test; DROP DATABASE b2b_of_a_test;")
    run = own_server.run("client", stdin="CREATE DATABASE other;")

    assert answer == "b2b@127.0.0.1\tb2b\t+00:00\t127.0.0.1\n"
    assert run.returncode == 1
    assert run.stderr.startswith("ERROR 1044 ")


def test_root_comes_through_the_socket_only_and_the_folder_is_closed(own_server):
    run = own_server.run("client", "--user=root", "--skip-password", stdin="SELECT 1;", MYSQL_PWD="")

    assert run.returncode == 1
    assert "ERROR 1" in run.stderr
    assert (own_server.home / "data").stat().st_mode & 0o077 == 0


def test_server_that_runs_already_gets_the_accounts_that_it_lacks(own_server):
    with own_server.root() as cursor:
        cursor.execute("DROP USER 'b2b_orders_api'@'127.0.0.1', 'b2b_orders_api'@'localhost'")

    start = own_server.run("start")
    run = own_server.run(
        "client", "-BN", "--user=b2b_orders_api", "--database=information_schema", stdin="SELECT CURRENT_ROLE();"
    )

    assert (start.returncode, run.stdout) == (0, "`b2b_orders`@`%`\n"), start.stderr + run.stderr


def test_server_is_known_by_each_spelling_of_its_folder(own_server, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(own_server.home)

    for home in (f"{own_server.home}/", str(link)):
        start = own_server.run("start", MYSQL_HOME=home)
        assert start.stdout.endswith("is already running.\n"), start.stderr


# --- starting, stopping, killing, destroying -------------------------------------------


def test_two_starts_at_once_start_one_server_whose_data_outlives_kill_9(own_server):
    ends = [own_server.run(command) for command in ("stop", "status", "stop")]
    starts = [own_server.start_in_background() for _ in range(2)]
    outputs = [start.communicate(timeout=90)[0] for start in starts]
    pids = own_server.pids()
    own_server.query("CREATE TABLE kept (id INT); INSERT INTO kept VALUES (1), (2), (3);")

    own_server.kill()
    started = own_server.run("start")
    kept = own_server.query("SELECT COUNT(*) FROM kept;")

    assert [start.returncode for start in starts] == [0, 0], outputs
    assert sorted("is already running" in output for output in outputs) == [False, True]
    assert len(pids) == 1
    assert (started.returncode, kept) == (0, "3\n"), started.stderr
    assert [(end.returncode, end.stdout, end.stderr) for end in ends] == [
        (0, "MySQL is stopped.\n", ""),
        (1, "MySQL is not running.\n", ""),
        (0, "MySQL is not running.\n", ""),
    ]


def test_start_killed_while_it_initialises_is_run_again_and_destroy_leaves_what_is_not_its_own(tmp_path):
    with OwnServer(tmp_path / "mysql", free_ports(1)[0]) as server:
        (server.home / "letter.txt").write_text("not ours")
        with server.start_in_background() as start:
            wait_until((server.home / "data.new").exists)
            os.kill(start.pid, signal.SIGKILL)

        again = server.run("start")
        answer = server.query("SELECT 1;")
        destroyed = server.run("destroy")

        assert (again.returncode, answer) == (0, "1\n"), again.stderr
        assert destroyed.stdout == "MySQL is stopped.\nIts data and programs are removed.\n"
        assert server.pids() == []
        assert [path.name for path in server.home.iterdir()] == ["letter.txt"]


# --- another machine -------------------------------------------------------------------


@pytest.fixture
def machine_without_mysql(tmp_path):
    """Return a PATH with all programs but MySQL's and those that could fetch it, and a place for other ones."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/local/bin"):
        for program in pathlib.Path(folder).glob("*"):
            name = program.name
            if not name.startswith(("mysql", "mariadb", "apt", "dpkg")) and not (programs / name).exists():
                (programs / name).symlink_to(program)
    return programs


@pytest.mark.parametrize("version", ["mysqld  Ver 10.11.14-MariaDB", "mysqld  Ver 5.7.44 for Linux"])
def test_machine_without_mysql_and_apt_is_told_the_two_other_ways(tmp_path, machine_without_mysql, version):
    mysqld = machine_without_mysql / "mysqld"
    mysqld.write_text(f"#!/bin/sh\necho '{version}'\n")
    mysqld.chmod(0o755)

    run = OwnServer(tmp_path / "mysql", 0).run("start", PATH=str(machine_without_mysql))

    assert run.returncode == 1
    assert "`mysqld` and `mysql` are on the PATH" in run.stderr
    assert "set DB_HOST, DB_USER and DB_PASSWORD" in run.stderr
