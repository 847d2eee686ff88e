"""sql/mysql-server: a private MySQL that survives kill -9 and leaves nothing when it is destroyed."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest

from tests.system.conftest import free_ports, wait_until
from tests.system.mysql_server import OwnServer

ROWS = "CREATE TABLE IF NOT EXISTS kept (id INT); INSERT INTO kept VALUES (1), (2), (3);"
COUNT = "SELECT COUNT(*) FROM kept;"


@pytest.fixture
def new_server(tmp_path):
    """A server that was never started."""
    with OwnServer(tmp_path / "mysql", free_ports(1)[0]) as server:
        yield server


@pytest.fixture
def server(new_server, own_server):
    """A server with data of its own, stopped: initialising it each time would take seconds."""
    subprocess.run(["cp", "-a", own_server.empty_data, new_server.home / "data"], check=True)
    return new_server


@pytest.fixture
def nowhere(tmp_path):
    """A server whose folder isn't there and isn't to be made."""
    return OwnServer(tmp_path / "mysql", free_ports(1)[0])


# --- a server that runs ----------------------------------------------------------------


def test_second_start_says_that_it_runs_and_starts_nothing(own_server):
    pids = own_server.pids()

    again = own_server.run("start")

    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.endswith(f"on 127.0.0.1:{own_server.port} is already running.\n")
    assert own_server.pids() == pids


def test_client_is_the_application_on_its_schema(own_server):
    answer = own_server.query("SELECT CURRENT_USER(), DATABASE(), @@time_zone, @@bind_address;")

    assert answer == "b2b@127.0.0.1\tb2b\t+00:00\t127.0.0.1\n"


def test_application_may_make_schemas_of_its_own_name_only(own_server):
    own_server.query("CREATE DATABASE b2b_of_a_test; DROP DATABASE b2b_of_a_test;")

    run = own_server.run("client", stdin="CREATE DATABASE other;")

    assert run.returncode == 1
    assert run.stderr.startswith("ERROR 1044 ")


def test_root_comes_through_the_socket_only_and_the_folder_is_closed(own_server):
    run = own_server.run("client", "--user=root", "--skip-password", stdin="SELECT 1;", MYSQL_PWD="")

    assert run.returncode == 1
    assert "ERROR 1" in run.stderr
    assert (own_server.home / "data").stat().st_mode & 0o077 == 0


def test_further_options_win_over_ours(server):
    server.run("start", MYSQL_OPTIONS=" --log-bin  --max-connections=7")

    answer = server.query("SELECT @@log_bin, @@max_connections, @@sync_binlog;")

    assert answer == "1\t7\t1\n"


# --- stopping, killing, destroying -----------------------------------------------------


def test_data_is_there_after_stop_and_start(server):
    server.run("start")
    server.query(ROWS)

    stopped = server.run("stop")
    status = server.run("status")
    again = server.run("stop")
    server.run("start")

    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "MySQL is stopped.\n", "")
    assert (status.returncode, status.stdout, status.stderr) == (1, "MySQL is not running.\n", "")
    assert (again.returncode, again.stdout, again.stderr) == (0, "MySQL is not running.\n", "")
    assert server.query(COUNT) == "3\n"


def test_data_is_there_after_kill_9_and_start(server):
    server.run("start")
    server.query(ROWS)
    server.kill()

    started = server.run("start")

    assert started.returncode == 0, started.stderr
    assert server.query(COUNT) == "3\n"
    assert len(server.pids()) == 1


def test_destroy_leaves_nothing(server):
    server.run("start")

    destroyed = server.run("destroy")

    assert (destroyed.returncode, destroyed.stderr) == (0, "")
    assert destroyed.stdout == "MySQL is stopped.\nIts data and programs are removed.\n"
    assert not server.home.exists()
    assert server.pids() == []
    assert server.run("destroy").returncode == 0


def test_destroy_leaves_what_is_not_its_own(server):
    stranger = server.home / "letter.txt"
    stranger.write_text("not yours")

    server.run("destroy")

    assert [path.name for path in server.home.iterdir()] == ["letter.txt"]
    stranger.unlink()


# --- starts that meet something --------------------------------------------------------


def test_two_starts_at_once_start_one_server(server):
    starts = [server.start_in_background() for _ in range(2)]

    outputs = [start.communicate(timeout=90)[0] for start in starts]

    assert [start.returncode for start in starts] == [0, 0], outputs
    assert sorted("is already running" in output for output in outputs) == [False, True]
    assert len(server.pids()) == 1


def test_start_killed_while_it_initialises_is_simply_run_again(new_server):
    start = new_server.start_in_background()
    wait_until((new_server.home / "data.new").exists)
    os.kill(start.pid, signal.SIGKILL)
    start.stdout.close()
    start.wait(10)

    again = new_server.run("start")

    assert again.returncode == 0, again.stderr
    assert new_server.query("SELECT 1;") == "1\n"


def test_taken_port_is_one_line(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        run = server.run("start")

    assert run.returncode == 1
    assert run.stderr.startswith(f"mysql-server: MySQL did not start. Is port {server.port} taken")
    wait_until(lambda: server.pids() == [])  # the daemon says that it failed, then ends


def test_start_with_a_server_of_the_users_touches_nothing(nowhere):
    run = nowhere.run("start", DB_HOST="db.example")

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "DB_HOST is set: the server at db.example is used, none is started here.\n"
    assert not nowhere.home.exists()


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


@pytest.mark.parametrize("version", [None, "mysqld  Ver 10.11.14-MariaDB", "mysqld  Ver 5.7.44 for Linux"])
def test_machine_without_mysql_and_apt_is_told_the_two_other_ways(nowhere, machine_without_mysql, version):
    if version is not None:
        mysqld = machine_without_mysql / "mysqld"
        mysqld.write_text(f"#!/bin/sh\necho '{version}'\n")
        mysqld.chmod(0o755)

    run = nowhere.run("start", PATH=str(machine_without_mysql))

    assert run.returncode == 1
    assert "`mysqld` and `mysql` are on the PATH" in run.stderr
    assert "set DB_HOST, DB_USER and DB_PASSWORD" in run.stderr
    nowhere.run("destroy")
