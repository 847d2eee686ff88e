"""SQL of the table customers. Everything here but `is_known` sees living customers only."""

from datetime import datetime

from common.connection import Cursor, Row
from common.database import unique
from common.problems import EmailTaken, Problem
from common.search import SearchIndex

_CUSTOMER = """
    SELECT id, name, email, phone, version, created_at, updated_at
      FROM customers
     WHERE id = %s AND deleted_at IS NULL
"""

_ID_BY_EMAIL = "SELECT id FROM customers WHERE living_email = %s"  # by uq_customers_email

SEARCH = SearchIndex("customers", "customer_search", ("name", "email", "phone"))


def insert_customer(tx: Cursor, row: Row) -> int:
    """Insert a customer and return its id; raises `EmailTaken`."""
    with unique("uq_customers_email", lambda: _email_taken(tx, row)):
        tx.execute(
            """
            INSERT INTO customers (name, email, phone, created_at, updated_at)
            VALUES (%(name)s, %(email)s, %(phone)s, %(created_at)s, %(updated_at)s)
            """,
            row,
        )
    return tx.lastrowid


def _email_taken(tx: Cursor, row: Row) -> Problem:
    tx.execute(_ID_BY_EMAIL, (row["email"],))
    return EmailTaken(customer_id=tx.fetchall()[0]["id"])


def select_customer(tx: Cursor, customer_id: int) -> Row | None:
    """Return the row or None."""
    tx.execute(_CUSTOMER, (customer_id,))
    return tx.fetchone()


def is_known(tx: Cursor, customer_id: int) -> bool:
    """Return whether there is such a customer, or was."""
    tx.execute("SELECT 1 FROM customers WHERE id = %s", (customer_id,))
    return bool(tx.fetchall())


def lock_customer(tx: Cursor, customer_id: int) -> Row | None:
    """Return the row or None; holds it exclusively until the commit."""
    tx.execute(f"{_CUSTOMER} FOR UPDATE", (customer_id,))
    return tx.fetchone()


def select_customers(
    tx: Cursor, search: str | None, after: tuple[int, ...] | None, count: int, email: str | None = None
) -> list[Row]:
    """Return up to `count` rows in id order past the position `after`, (id,) or None."""
    source, condition, key, values = SEARCH.clauses(tx, search, after[0] if after else 0)
    if email is not None:
        # By its id, so that a search walks the entries of this one customer only.
        condition, values = f"{condition} AND t.id = ({_ID_BY_EMAIL})", (*values, email)
    tx.execute(
        f"""
        SELECT t.id, t.name, t.email, t.phone, t.version, t.created_at, t.updated_at
          FROM {source}
         WHERE {condition} AND t.deleted_at IS NULL
         GROUP BY {key}
         ORDER BY {key}
         LIMIT %s
        """,
        (*values, count),
    )
    return tx.fetchall()


def update_customer(tx: Cursor, row: Row):
    """Write every field of a locked row; raises `EmailTaken`."""
    with unique("uq_customers_email", lambda: _email_taken(tx, row)):
        tx.execute(
            """
            UPDATE customers
               SET name = %(name)s, email = %(email)s, phone = %(phone)s, version = %(version)s,
                   updated_at = %(updated_at)s
             WHERE id = %(id)s
            """,
            row,
        )


def update_customer_deleted(tx: Cursor, customer_id: int, now: datetime):
    """Mark a locked row as deleted."""
    tx.execute(
        """
        UPDATE customers
           SET deleted_at = %s, updated_at = %s, version = version + 1
         WHERE id = %s
        """,
        (now, now, customer_id),
    )
