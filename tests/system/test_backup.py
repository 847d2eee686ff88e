"""Backups: what comes back is what was there, gets no number twice, and is refused where it is damaged."""

import gzip
import os
import re
import signal

import pytest

from common import config, times
from common.database import Database
from orders import feed
from sql import backup
from tests.conftest import connect, run_module
from tests.factories import Factory
from tests.system.conftest import start_module, wait_until
from tests.system.services import Clients, prepare

SKIPPED = 1_000_000


def run_backup(command, file, environ):
    return run_module("sql.backup", command, str(file), environ=environ)


def query(environ, statement):
    """Return the last column of a statement's result."""
    settings = config.load_database_settings(environ)
    with connect(settings, database=settings.name) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return [row[-1] for row in cursor.fetchall()]


def order(database, items):
    factory = Factory(database, times.utc_now)
    return factory.make_order(config.load_settings({}), factory.make_customer(), items)


@pytest.fixture(scope="module")
def new_environ(own_server, database_settings):
    """`new_environ()` returns the environment of a schema that isn't there; the private server is `own_server`."""
    with connect(database_settings) as connection, connection.cursor() as cursor:
        names = [f"{database_settings.name}_backup{number}" for number in range(9)]
        unused = iter(names)

        def drop():
            for name in names:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")

        drop()
        private = {"MYSQL_HOME": str(own_server.home), "MYSQL_PORT": str(own_server.port)}
        yield lambda: {**os.environ, **private, "DB_NAME": next(unused)}
        drop()


@pytest.fixture(scope="module")
def source(new_environ):
    """The environment of a schema with orders."""
    environ = new_environ()
    prepare(environ)
    return environ


@pytest.fixture(scope="module")
def backups(source, tmp_path_factory):
    """Two files: of while eight clients order, and of when all is quiet and each event has its number."""
    folder = tmp_path_factory.mktemp("backups")
    busy, quiet = folder / "busy.sql.gz", folder / "quiet.sql.gz"
    database = Database(config.load_database_settings(source), connections=16)
    product = Factory(database, times.utc_now).make_product(stock=100_000)
    items = [{"product_id": product["id"], "qty": 2}]
    with Clients(8, lambda: order(database, items)) as clients:
        wait_until(lambda: len(clients.results) > 50)
        before = len(clients.results)
        run = run_backup("backup", busy, source)
        assert (run.returncode, run.stderr) == (0, "")
        assert len(clients.results) > before
    wait_until(lambda: not feed.read_feed(database, "latest", [], None, 1).has_more)
    database.close()
    assert run_backup("backup", quiet, source).returncode == 0
    return busy, quiet


def test_backup_made_while_clients_order_comes_back_whole_and_adds_up(backups, own_server):
    elsewhere = {**own_server.environ, "DB_HOST": "192.0.2.1", "APP_ENV": "production"}

    run = run_backup("verify", backups[0], elsewhere)

    assert run.returncode == 0, run.stderr
    counts = re.search(r" is good: (\d+) customers, (\d+) products, (\d+) orders, (\d+) events\.\n$", run.stdout)
    assert counts is not None, run.stdout
    assert int(counts[3]) > 50
    assert own_server.query("SHOW DATABASES LIKE 'b2b\\_verify%';") == ""
    assert [file.stat().st_mode & 0o777 for file in backups] == [0o600, 0o600]
    assert sorted(backups[0].parent.iterdir()) == sorted(backups)


def test_restored_schema_has_the_same_rows_and_gives_no_number_twice(backups, source, new_environ):
    restored = new_environ()
    tables = [f"`{table}`" for table in query(source, "SHOW TABLES") if table != "event_sequence"]
    (end,) = query(source, "SELECT last_sequence FROM event_sequence")
    (last_order,), (last_event,) = (query(source, f"SELECT MAX(id) FROM {table}") for table in ("orders", "events"))

    run = run_backup("restore", backups[1], restored)

    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("Next: make verify\n")
    checksums = f"CHECKSUM TABLE {', '.join(tables)}"  # with generated and binary columns
    assert query(restored, checksums) == query(source, checksums)
    verified = run_module("orders.jobs", "verify", environ=restored)
    assert verified.returncode == 0, verified.stdout
    again = run_backup("restore", backups[1], restored)
    assert (again.returncode, again.stdout) == (1, "")
    assert re.fullmatch(r"backup: the schema \w+ has 17 tables; it has to be empty\n", again.stderr)
    database = Database(config.load_database_settings(restored, "orders"))
    made = order(Database(config.load_database_settings(restored)), [{"product_id": 1, "qty": 1}])
    page = feed.read_feed(database, str(end), [], None, 500)
    database.close()
    assert made["id"] > last_order + SKIPPED
    assert [row["type"] for row in page.rows] == ["customer.created", "order.created", "product.stock_changed"]
    assert [row["sequence"] for row in page.rows] == [end + SKIPPED + place for place in (1, 2, 3)]
    assert min(row["id"] for row in page.rows) > last_event + SKIPPED


def test_file_that_is_damaged_or_no_backup_is_refused_and_nothing_is_touched(backups, source, new_environ, tmp_path):
    settings = config.load_database_settings(new_environ())
    whole = backups[1].read_bytes()
    bent = bytearray(whole)
    bent[len(bent) // 2] ^= 1
    not_ended = gzip.compress(gzip.decompress(whole).replace(b"-- Dump completed", b""))
    file = tmp_path / "b.sql.gz"
    faults = []

    for content in (whole[:-1000], bytes(bent), b"", b"plain text", not_ended):
        file.write_bytes(content)
        with pytest.raises(SystemExit) as caught:
            backup.restore(file, settings)
        faults.append(str(caught.value).removeprefix(f"backup: {file} "))
    run = run_backup("restore", tmp_path / "none", source)

    assert faults[0].startswith("can't be read: Compressed file ended")
    assert faults[1].startswith("can't be read: ")
    assert faults[3].startswith("can't be read: Not a gzipped file")
    assert faults[2] == faults[4] == "is no whole backup: mysqldump's last line isn't there"
    assert (run.returncode, run.stdout) == (1, "")
    assert "No such file" in run.stderr
    assert query(source, f"SHOW DATABASES LIKE '{settings.name}'") == []


def test_schema_is_half_restored_where_a_statement_fails(backups, new_environ, tmp_path):
    file = tmp_path / "b.sql.gz"
    dump = gzip.decompress(backups[1].read_bytes())
    file.write_bytes(gzip.compress(dump.replace(b"INSERT INTO `products`", b"INSERT INTO `nowhere`")))

    run = run_backup("restore", file, new_environ())

    assert run.returncode == 1
    assert "'nowhere' was not locked" in run.stderr
    assert "is half restored; drop it before the next try\n" in run.stderr


def test_total_that_was_changed_within_the_backup_is_found(backups, own_server, tmp_path):
    file = tmp_path / "b.sql.gz"
    dump, changes = re.subn(rb"'CREATED',2000,", b"'CREATED',2001,", gzip.decompress(backups[1].read_bytes()), count=1)
    file.write_bytes(gzip.compress(dump))

    run = run_backup("verify", file, own_server.environ)

    assert (changes, run.returncode, run.stdout) == (1, 1, "")
    assert re.search(r"doesn't add up: \{'total': \[\d+\]\}\n$", run.stderr)
    assert own_server.query("SHOW DATABASES LIKE 'b2b\\_verify%';") == ""


def test_backup_that_fails_leaves_no_file_and_none_is_written_over(source, backups, tmp_path):
    old = backups[1].read_bytes()

    failed = run_backup("backup", tmp_path / "b.sql.gz", {**source, "DB_PASSWORD": "wrong"})
    again = run_backup("backup", backups[1], source)
    unnamed = run_backup("backup", "", source)

    assert [run.returncode for run in (failed, again, unnamed)] == [1, 1, 1]
    assert "Access denied" in failed.stderr
    assert again.stderr == f"backup: {backups[1]} is there; nothing is written over it\n"
    assert unnamed.stderr.startswith("backup: FILE is missing: ")
    assert list(tmp_path.iterdir()) == []
    assert backups[1].read_bytes() == old


@pytest.fixture
def other_mysqldump(source, tmp_path):
    """`other_mysqldump(version, script)` returns the environment of a machine that has this one."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def make(version, script="exit 0"):
        program = programs / "mysqldump"
        program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "{version}"; exit 0; }}\n{script}\n')
        program.chmod(0o755)
        return {**source, "MYSQL_HOME": str(tmp_path / "none"), "PATH": f"{programs}:{os.environ['PATH']}"}

    return make


def test_mysqldump_of_mariadb_is_refused(other_mysqldump, tmp_path):
    environ = other_mysqldump("mysqldump from 11.8.3-MariaDB, client 10.19 for Linux")

    run = run_backup("backup", tmp_path / "b.sql.gz", environ)

    assert run.returncode == 1
    assert "needs MySQL's own mysqldump" in run.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


def test_backup_that_is_interrupted_leaves_nothing(other_mysqldump, tmp_path):
    environ = other_mysqldump("mysqldump  Ver 9.7.4", f"touch {tmp_path}/bin/began; exec sleep 60")
    process = start_module("sql.backup", "backup", str(tmp_path / "b.sql.gz"), environ=environ)
    wait_until((tmp_path / "bin" / "began").exists)

    process.send_signal(signal.SIGTERM)

    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "backup: interrupted by SIGTERM\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


def test_backup_of_the_version_before_the_feed_comes_back(backups, own_server, new_environ, tmp_path):
    file = tmp_path / "b.sql.gz"
    dump = gzip.decompress(backups[1].read_bytes()).replace(b",('0008'),('0009'),('0010')", b"")
    sequence = re.compile(rb"CREATE TABLE `event_sequence`.*?UNLOCK TABLES;\n", re.DOTALL)
    file.write_bytes(gzip.compress(sequence.sub(b"", dump)))

    verified = run_backup("verify", file, own_server.environ)
    restored = run_backup("restore", file, new_environ())

    assert (verified.returncode, restored.returncode) == (0, 0), verified.stderr + restored.stderr
    assert verified.stdout.endswith("It is of an older version, or not adopted, so nothing was added up.\n")
    assert restored.stdout.endswith("Next: make migrate, for it is of an older version; then make verify\n")
