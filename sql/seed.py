"""Demo data for development: `python -m sql.seed` runs seed.sql and adds the demo operators."""

import pathlib
from datetime import datetime

from mysql.connector import errors

from common import config, times
from common.connection import Cursor
from common.database import Database
from common.problems import Busy, DatabaseUnavailable
from customers import operator_store, operators, passwords

SEED_FILE = pathlib.Path(__file__).with_name("seed.sql")
DEMO_OPERATORS = (("demo", "demo-password", "operator"), ("viewer", "viewer-password", "viewer"))


def seed(tx: Cursor, now: datetime):
    """Insert what is missing of the demo data."""
    for statement in SEED_FILE.read_text().split(";\n"):
        if statement.strip():
            tx.execute(statement)
    for username, password, role in DEMO_OPERATORS:
        if operator_store.select_operator(tx, username) is None:
            operators.set_operator(tx, lambda: now, username, role, passwords.hash_password(password))


def main():
    """Seed the database that the environment names, but never in production."""
    environ = config.read_environment()
    with config.exit_on_error():
        if config.load_settings(environ).app_env == "production":
            raise config.ConfigError("APP_ENV is production: demo data and demo passwords are refused")
        database = Database(config.load_database_settings(environ))
    try:
        database.transact(seed, times.utc_now())
    except DatabaseUnavailable as ex:
        raise SystemExit("seed: the database does not answer; see DB_HOST, DB_PORT, DB_USER, DB_PASSWORD") from ex
    except Busy as ex:
        raise SystemExit(f"seed: the database says: {ex.__cause__}; try again") from ex
    except errors.ProgrammingError as ex:
        raise SystemExit(f"seed: {ex.msg}; run make migrate first") from ex
    print("Demo data is there: operators demo and viewer, customers and products.")


if __name__ == "__main__":
    main()
