"""Operators: their table, their passwords, and the command that adds one.

`python -m customers.operators USERNAME ROLE` asks for the password, or reads it from
standard input when that is no terminal.
"""

import getpass
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TextIO, TypeGuard

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from mysql.connector import errors

from common import config, times
from common.auth import ROLES
from common.connection import Cursor, Row
from common.database import Database
from common.problems import DatabaseUnavailable

# OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, 2 passes, 1 lane as the least.
# More memory would let a few logins at once push a worker out of its container.
_hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)

# The memory of a hash stays with the thread that made it, so only two threads hash for all.
_hashing = ThreadPoolExecutor(2)

# What an unknown name is checked against, so that it takes the time of a known one.
_NOBODY = _hasher.hash("nobody has this password")

RESERVED = ("service", "system")  # what the audit trail calls callers that are no operator
MIN_PASSWORD = 8  # characters (NIST SP 800-63B, 5.1.1.2)
MAX_PASSWORD = 200  # as in the contract of POST /auth/token


def select_operator(tx: Cursor, username: str) -> Row | None:
    """Return the operator's row or None."""
    tx.execute(
        """
        SELECT username, password_hash, role, active
          FROM operators
         WHERE username = %s
        """,
        (username,),
    )
    return tx.fetchone()


def upsert_operator(tx: Cursor, username: str, password_hash: str, role: str, now: datetime):
    """Add an operator, or give a known one this password and role and let it in again."""
    tx.execute(
        """
        INSERT INTO operators (username, password_hash, role, active, created_at)
        VALUES (%s, %s, %s, TRUE, %s) AS new
        ON DUPLICATE KEY UPDATE password_hash = new.password_hash, role = new.role, active = TRUE
        """,
        (username, password_hash, role, now),
    )


def hash_password(password: str) -> str:
    """Return an argon2id string with its parameters and salt."""
    return _hasher.hash(password)


def may_log_in(operator: Row | None, password: str) -> TypeGuard[Row]:
    """Return whether the row (None: no such name) is active and the password its own."""
    try:
        _hashing.submit(_hasher.verify, operator["password_hash"] if operator else _NOBODY, password).result()
    except (VerificationError, InvalidHashError):
        return False
    return bool(operator and operator["active"])


def read_password(stdin: TextIO) -> str:
    """Ask twice at a terminal, else take the first line of `stdin`; raise SystemExit if unfit."""
    if stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise SystemExit("The two passwords differ.")
    else:
        password = stdin.readline().rstrip("\n")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise SystemExit(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    if not password.isprintable():  # bytes that are no UTF-8 come as lone surrogates
        raise SystemExit("A password is printable characters in UTF-8.")
    return password


def main(arguments: list[str]):
    """Add the operator that the command line names, or replace its password and role."""
    if len(arguments) != 2:
        raise SystemExit("usage: python -m customers.operators USERNAME ROLE")
    username, role = arguments
    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", username) or username.lower() in RESERVED:
        raise SystemExit("USERNAME must be 1 to 64 of A-Z a-z 0-9 . _ @ - and neither service nor system")
    if role not in ROLES:
        raise SystemExit(f"ROLE must be one of {', '.join(ROLES)}")
    with config.exit_on_error():
        database = Database(config.load_database_settings(config.read_environment()))
    try:
        known = database.read(select_operator, username)
        password_hash = hash_password(read_password(sys.stdin))
        database.transact(upsert_operator, username, password_hash, role, times.utc_now())
    except DatabaseUnavailable as ex:
        raise SystemExit("The database does not answer; see DB_HOST, DB_PORT, DB_USER, DB_PASSWORD.") from ex
    except errors.ProgrammingError as ex:
        raise SystemExit(f"{ex.msg}; run make migrate first.") from ex
    print(f"Operator {username} {'changed' if known else 'added'}, role {role}.")


if __name__ == "__main__":
    main(sys.argv[1:])
