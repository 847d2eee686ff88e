"""SQL of the table products."""

from datetime import datetime

from common.connection import Cursor, Row
from common.database import placeholders, unique
from common.problems import Problem, SkuTaken
from common.search import SearchIndex

_ID_BY_SKU = "SELECT id FROM products WHERE sku = %s"  # by uq_products_sku

SEARCH = SearchIndex("products", "product_search", ("sku", "name"))


def insert_product(tx: Cursor, row: Row) -> int:
    """Insert a product and return its id; raises `SkuTaken`."""
    with unique("uq_products_sku", lambda: _sku_taken(tx, row)):
        tx.execute(
            """
            INSERT INTO products (sku, name, price_cents, stock, active, created_at, updated_at)
            VALUES (%(sku)s, %(name)s, %(price_cents)s, %(stock)s, %(active)s, %(created_at)s, %(updated_at)s)
            """,
            row,
        )
    return tx.lastrowid


def _sku_taken(tx: Cursor, row: Row) -> Problem:
    tx.execute(_ID_BY_SKU, (row["sku"],))
    return SkuTaken(product_id=tx.fetchall()[0]["id"])


def select_product(tx: Cursor, product_id: int) -> Row | None:
    """Return the row or None."""
    tx.execute(
        """
        SELECT id, sku, name, price_cents, stock, active, version, created_at, updated_at
          FROM products
         WHERE id = %s
        """,
        (product_id,),
    )
    return tx.fetchone()


def select_products(
    tx: Cursor,
    search: str | None,
    after: tuple[int, ...] | None,
    count: int,
    sku: str | None = None,
    active: bool | None = None,
) -> list[Row]:
    """Return up to `count` rows in id order past the position `after`, (id,) or None."""
    source, condition, key, values = SEARCH.clauses(tx, search, after[0] if after else 0)
    if sku is not None:
        # By its id, so that a search walks the entries of this one product only.
        condition, values = f"{condition} AND t.id = ({_ID_BY_SKU})", (*values, sku)
    if active is not None:
        condition, values = f"{condition} AND t.active = %s", (*values, active)
        if search is None:
            source += " FORCE INDEX (ix_products_active)"
    tx.execute(
        f"""
        SELECT t.id, t.sku, t.name, t.price_cents, t.stock, t.active, t.version, t.created_at, t.updated_at
          FROM {source}
         WHERE {condition}
         GROUP BY {key}
         ORDER BY {key}
         LIMIT %s
        """,
        (*values, count),
    )
    return tx.fetchall()


def lock_products(tx: Cursor, product_ids: list[int]) -> list[Row]:
    """Return the rows that exist, held exclusively until the commit.

    One statement, in id order: two orders that name the same products in opposite order
    queue up here instead of deadlocking.
    """
    tx.execute(
        f"""
        SELECT id, sku, name, price_cents, stock, active, version, created_at, updated_at
          FROM products
         WHERE id IN ({placeholders(product_ids)})
         ORDER BY id
           FOR UPDATE
        """,
        tuple(product_ids),
    )
    return tx.fetchall()


def update_product(tx: Cursor, row: Row):
    """Write every field of a locked row; raises `SkuTaken`."""
    with unique("uq_products_sku", lambda: _sku_taken(tx, row)):
        tx.execute(
            """
            UPDATE products
               SET sku = %(sku)s, name = %(name)s, price_cents = %(price_cents)s, stock = %(stock)s,
                   active = %(active)s, version = %(version)s, updated_at = %(updated_at)s
             WHERE id = %(id)s
            """,
            row,
        )


def update_stock(tx: Cursor, changes: dict[int, int], now: datetime):
    """Add to the stock of locked products; `changes` is {product id: pieces, negative to take them}."""
    # One table: joined with the order's lines, the same update takes MySQL twice the time.
    tx.execute(
        f"""
        UPDATE products
           SET stock = stock + CASE id {"WHEN %s THEN %s " * len(changes)} END,
               version = version + 1,
               updated_at = %s
         WHERE id IN ({placeholders(changes)})
        """,
        (*(value for change in changes.items() for value in change), now, *changes),
    )
