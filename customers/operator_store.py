"""SQL of the table operators."""

from datetime import datetime

from common.connection import Cursor, Row
from common.database import unique
from common.problems import UsernameTaken

_OPERATORS = """
    SELECT id, username, password_hash, role, active, token_version, created_at,
           COALESCE(updated_at, created_at) AS updated_at, last_login_at
      FROM operators
"""
_OPERATOR = f"{_OPERATORS} WHERE username = %s"  # whatever the case of its letters


def select_operator(tx: Cursor, username: str) -> Row | None:
    """Return the operator's row or None."""
    tx.execute(_OPERATOR, (username,))
    return tx.fetchone()


def select_operators(tx: Cursor, active: bool | None, after: tuple[int, ...] | None, count: int) -> list[Row]:
    """Return up to `count` rows in id order past the position `after`, (id,) or None."""
    tx.execute(
        f"{_OPERATORS} WHERE id > %s AND (%s IS NULL OR active = %s) ORDER BY id LIMIT %s",
        (after[0] if after else 0, active, active, count),
    )
    return tx.fetchall()


def lock_operator(tx: Cursor, username: str) -> Row | None:
    """Return the row or None; holds it exclusively until the commit."""
    tx.execute(f"{_OPERATOR} FOR UPDATE", (username,))
    return tx.fetchone()


def lock_active_admins(tx: Cursor) -> list[Row]:
    """Return the rows of all active admins; holds them exclusively until the commit."""
    tx.execute(f"{_OPERATORS} WHERE role = 'admin' AND active ORDER BY id FOR UPDATE")
    return tx.fetchall()


def insert_operator(tx: Cursor, row: Row) -> int:
    """Insert an operator and return its id; raises `UsernameTaken`."""
    with unique("uq_operators_username", UsernameTaken):
        tx.execute(
            """
            INSERT INTO operators (username, password_hash, role, active, created_at, updated_at)
            VALUES (%(username)s, %(password_hash)s, %(role)s, TRUE, %(created_at)s, %(updated_at)s)
            """,
            row,
        )
    return tx.lastrowid


def update_operator(tx: Cursor, row: Row):
    """Write what can change of a locked row."""
    tx.execute(
        """
        UPDATE operators
           SET password_hash = %(password_hash)s, role = %(role)s, active = %(active)s,
               token_version = %(token_version)s, updated_at = %(updated_at)s
         WHERE id = %(id)s
        """,
        row,
    )


def update_last_login(tx: Cursor, operator_id: int, now: datetime):
    """Remember when an operator logged in."""
    tx.execute("UPDATE operators SET last_login_at = %s WHERE id = %s", (now, operator_id))
