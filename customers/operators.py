"""Adds or changes an operator from the command line: the first admin, and whoever is locked out.

`python -m customers.operators USERNAME ROLE` asks for the password, or reads it from standard
input when that is no terminal. `python -m customers.operators USERNAME off` deactivates one.
"""

import getpass
import re
import sys
from typing import TextIO

from mysql.connector import errors

from common import config, times
from common.auth import ROLES
from common.connection import Cursor
from common.database import Database
from common.problems import Busy, DatabaseUnavailable
from common.times import Clock
from customers import operator_store, operator_workflows, passwords
from customers.operator_workflows import RESERVED

USERNAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._@-]{1,64}")  # as in the contract


def set_operator(tx: Cursor, clock: Clock, username: str, role: str, password_hash: str):
    """Add an operator, or give a known one this role and password, let it in, and end its tokens."""
    # Locks: operator.
    old = operator_store.lock_operator(tx, username)
    if old is None:
        operator_workflows.create_operator(tx, clock, username, role, password_hash)
    else:
        operator_workflows.end_tokens(tx, clock, {**old, "role": role, "password_hash": password_hash, "active": True})


def deactivate(tx: Cursor, clock: Clock, username: str):
    """Let an operator in no more, and end its tokens; SystemExit for a name that isn't there."""
    # Locks: operator.
    old = operator_store.lock_operator(tx, username)
    if old is None:
        raise SystemExit(f"There is no operator {username}.")
    operator_workflows.end_tokens(tx, clock, {**old, "active": False})


def read_password(stdin: TextIO, username: str) -> str:
    """Ask twice at a terminal, else take the first line of `stdin`; raise SystemExit if unfit."""
    if stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise SystemExit("The two passwords differ.")
    else:
        password = stdin.readline().rstrip("\n")
    if fault := passwords.fault(password, username):
        raise SystemExit(f"The password {fault}.")
    return password


def main(arguments: list[str]):
    """Do what the command line says, or end with a line that says why not."""
    if len(arguments) != 2:
        raise SystemExit(f"usage: python -m customers.operators USERNAME {'|'.join(ROLES)}|off")
    username, role = arguments
    if not USERNAME.fullmatch(username) or username.lower() in RESERVED:
        raise SystemExit("USERNAME must be 1 to 64 of A-Z a-z 0-9 . _ @ - and neither service nor system")
    if role not in (*ROLES, "off"):
        raise SystemExit(f"ROLE must be one of {', '.join(ROLES)}, or off to deactivate the operator")
    with config.exit_on_error():
        database = Database(config.load_database_settings(config.read_environment()))
    try:
        known = database.read(operator_store.select_operator, username)
        if role == "off":
            database.transact(deactivate, times.utc_now, username)
        else:
            password_hash = passwords.hash_password(read_password(sys.stdin, username))
            database.transact(set_operator, times.utc_now, username, role, password_hash)
    except DatabaseUnavailable as ex:
        raise SystemExit(f"The database says: {ex.__cause__}; see DB_HOST and the like.") from ex
    except Busy as ex:
        raise SystemExit(f"The database says: {ex.__cause__}; try again.") from ex
    except errors.ProgrammingError as ex:
        raise SystemExit(f"{ex.msg}; run make migrate first.") from ex
    if role == "off":
        print(f"Operator {username} deactivated; its tokens end within a minute.")
    else:
        print(f"Operator {username} {'changed' if known else 'added'}, role {role}.")


if __name__ == "__main__":
    main(sys.argv[1:])
