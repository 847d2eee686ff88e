"""Migrations, interrupted ones too, and the seed."""

import os
import re
import signal

import pytest

from tests.conftest import run_module
from tests.system.conftest import ROOT, start_module, wait_until
from tests.system.services import connect

APPLIED = (
    "applied 0001_schema.sql, 0002_search_rest.sql, 0003_search_entries.sql, 0004_key_etag.sql, 0005_finding.sql,"
    " 0006_search_characters.sql, 0007_operators.sql, 0008_events.sql,"
    " 0009_jobs.sql, 0010_job_runs.sql."
)
NOTHING = "nothing to apply."
FILES = sorted((ROOT / "sql" / "migrations").glob("*.sql"))


def statements(file):
    """Return the statements of a migration; a semicolon at a line's end ends one."""
    return file.read_text().split("-- migrate:down")[0].split(";\n")[:-1]


@pytest.fixture
def schema(database_settings, cursor):
    """The name of a schema that is not there yet, gone afterwards."""
    name = f"{database_settings.name}_migrated"
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    yield name
    cursor.execute("UNLOCK TABLES")
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def environ(schema):
    """The environment in which commands find the schema."""
    return {**os.environ, "DB_NAME": schema}


@pytest.fixture
def cursor(other_connection):
    """A client of the same server."""
    with other_connection.cursor(buffered=True) as cursor:
        yield cursor


def last_line(output):
    """Return what a run has done; before it may be that this test's DB_USER can't grant rights."""
    return output.splitlines()[-1]


def waits_for_a_table(cursor, schema):
    """Tell whether one statement in the schema waits for a table."""
    cursor.execute("SHOW PROCESSLIST")
    return sum((row[3], row[6]) == (schema, "Waiting for table metadata lock") for row in cursor.fetchall()) == 1


# --- applying --------------------------------------------------------------------------


def test_two_at_once_on_a_new_schema_apply_it_once(environ, schema):
    runs = [start_module("sql.migrate", environ=environ) for _ in range(2)]

    outputs = [run.communicate(timeout=60)[0] for run in runs]

    assert [run.returncode for run in runs] == [0, 0], outputs
    assert sorted(map(last_line, outputs)) == [f"Schema {schema}: {APPLIED}", f"Schema {schema}: {NOTHING}"]


@pytest.mark.parametrize(
    ("module", "change", "said"),
    [
        ("sql.migrate", {"DB_PASSWORD": "not-the-password"}, "migrate: MySQL at "),
        ("sql.seed", {"DB_PORT": "1"}, "seed: "),
        ("sql.seed", {}, "run make migrate first"),
    ],
)
def test_failure_is_one_line_without_the_password(environ, schema, cursor, database_settings, module, change, said):
    cursor.execute(f"CREATE DATABASE {schema}")
    login = {
        "APP_ENV": "development",
        "DB_HOST": database_settings.servers[0].host,
        "DB_PORT": str(database_settings.servers[0].port),
        "DB_USER": database_settings.user,
        "DB_PASSWORD": database_settings.password,
        **change,
    }

    run = run_module(module, environ={**environ, **login})

    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert said in run.stderr
    assert login["DB_PASSWORD"] not in run.stderr


# --- interruptions ---------------------------------------------------------------------

# In the file with that number, after so many of its statements; after the last one, it isn't recorded.
INTERRUPTIONS = {
    "schema without its record": (0, len(statements(FILES[0]))),
    "one of two tables altered": (1, 3),
    "one of two tables emptied": (2, 5),
    "column added": (3, 3),
    "one of two tables filled": (5, 5),
    "one of two tables made": (7, 1),
    "index added": (8, 3),
    "one table without its record": (9, 1),
}


def tables(cursor, schema):
    """Return how each table is made, but dbmate's own."""
    cursor.execute(f"SHOW TABLES FROM {schema} WHERE Tables_in_{schema} <> 'schema_migrations'")
    made = {}
    for (name,) in cursor.fetchall():
        cursor.execute(f"SHOW CREATE TABLE {schema}.{name}")
        made[name] = re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1])
    return made


def run_partly(environ, files, count):
    """Do what dbmate does until it is killed: run and record all files but the last, of that `count` statements."""
    with connect(environ) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version VARCHAR(128) PRIMARY KEY)")
        for file in files[:-1]:
            for statement in statements(file):
                cursor.execute(statement)
            cursor.execute("INSERT INTO schema_migrations VALUES (%s)", (file.name[:4],))
        cursor.execute("START TRANSACTION")
        for statement in statements(files[-1])[:count]:
            cursor.execute(statement)


@pytest.mark.parametrize(("number", "count"), INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_run_after_an_interrupted_one_completes_the_schema(environ, schema, cursor, database_settings, number, count):
    cursor.execute(f"CREATE DATABASE {schema}")
    run_partly(environ, FILES[: number + 1], count)

    run = run_module("sql.migrate", environ=environ)

    missing = ", ".join(file.name for file in FILES[number:])
    assert last_line(run.stdout) == f"Schema {schema}: applied {missing}.", run.stderr
    assert tables(cursor, schema) == tables(cursor, database_settings.name)
    cursor.execute(f"SELECT COUNT(*) FROM {schema}.idempotency_slots")
    assert cursor.fetchone() == (1000,)
    assert last_line(run_module("sql.migrate", environ=environ).stdout) == f"Schema {schema}: {NOTHING}"


# Killed with -9 it leaves its dbmate behind, which finishes the file.
@pytest.mark.parametrize(
    ("number", "last_words", "missing"),
    [
        (signal.SIGKILL, "", FILES[2:]),
        (signal.SIGTERM, "migrate: interrupted by SIGTERM; run it again to complete the schema\n", FILES[1:]),
    ],
)
def test_run_after_an_interrupted_one_waits_for_its_alter(
    environ, schema, cursor, database_settings, number, last_words, missing
):
    cursor.execute(f"CREATE DATABASE {schema}")
    run_partly(environ, FILES[:2], 0)
    cursor.execute(f"LOCK TABLES {schema}.customer_grams READ")
    interrupted = start_module("sql.migrate", environ=environ)
    wait_until(lambda: waits_for_a_table(cursor, schema))
    interrupted.send_signal(number)
    assert interrupted.communicate(timeout=60)[0] == last_words

    run = start_module("sql.migrate", environ=environ)
    assert run.stdout.readline().startswith("migrate: waiting for another run")
    assert waits_for_a_table(cursor, schema)
    cursor.execute("UNLOCK TABLES")
    output = run.communicate(timeout=60)[0]

    assert last_line(output) == f"Schema {schema}: applied {', '.join(file.name for file in missing)}."
    assert tables(cursor, schema) == tables(cursor, database_settings.name)


def entries_made_by(module, environ, cursor):
    """Run a command, and return the search entries that are there then; remove them."""
    run = run_module(module, environ=environ)
    assert run.returncode == 0, run.stderr
    schema = environ["DB_NAME"]
    cursor.execute(
        f"""
        SELECT 'customer', id, LOWER(CONCAT(c1, c2, c3)) AS gram, rest FROM {schema}.customer_search
         UNION ALL SELECT 'product', id, LOWER(CONCAT(c1, c2, c3)), rest FROM {schema}.product_search
         ORDER BY 1, id, gram, rest
        """
    )
    entries = cursor.fetchall()
    for table in ("customer_search", "product_search"):
        cursor.execute(f"DELETE FROM {schema}.{table}")
    cursor.execute("COMMIT")
    return entries


def test_seed_programs_and_migration_make_the_same_search_entries(environ, schema, cursor):
    run_module("sql.migrate", environ=environ)
    by_seed = entries_made_by("sql.seed", environ, cursor)
    by_the_programs_code = entries_made_by("sql.normalise", environ, cursor)
    cursor.execute(f"DELETE FROM {schema}.schema_migrations WHERE version = '0006'")
    cursor.execute("COMMIT")
    by_migration = entries_made_by("sql.migrate", environ, cursor)

    assert len(by_seed) > 150
    assert by_the_programs_code == by_seed
    assert by_migration == by_seed


# --- the seed --------------------------------------------------------------------------


def contents(cursor, schema):
    """Return the rows that the seed is about; a new hash of a password is no change."""
    rows = []
    for columns in (
        "id, name, email, phone, version FROM {}.customers",
        "id, sku, price_cents, stock FROM {}.products",
        "id, username, role, active FROM {}.operators",
    ):
        cursor.execute(f"SELECT {columns.format(schema)} ORDER BY id")
        rows.append(cursor.fetchall())
    return rows


def test_seed_again_leaves_everything_also_what_operators_changed(environ, schema, cursor):
    run_module("sql.migrate", environ=environ)
    assert run_module("sql.seed", environ=environ).returncode == 0
    cursor.execute(f"UPDATE {schema}.customers SET name = 'ACME Ltd', version = 2 WHERE email = 'ops@acme.example'")
    cursor.execute(f"UPDATE {schema}.products SET stock = 1, price_cents = 1 WHERE sku = 'SKU-001'")
    cursor.execute(f"UPDATE {schema}.operators SET role = 'viewer', active = FALSE WHERE username = 'demo'")
    cursor.execute("COMMIT")
    before = contents(cursor, schema)

    again = run_module("sql.seed", environ=environ)

    assert again.returncode == 0, again.stderr
    assert [len(rows) for rows in before] == [3, 5, 2]
    assert contents(cursor, schema) == before
