"""Search for a part of a text, served by a table of trigrams in id order.

A B-tree can't serve "contains". MySQL's n-gram full-text index can, but not in id order,
and not within bounds: at a million customers a word that many rows have took seconds, or
failed with error 188. Here each row has an entry for every three neighbouring characters
of its texts (fewer at a text's end). A search walks the entries of the rarest three
characters of its own, in id order, and LIKE decides, so that the result is exactly
"contains", case-insensitively.
"""

from dataclasses import dataclass
from typing import Any

from common.database import Cursor, Row, placeholders

_GRAM = 3
_MAX_GRAMS = 12  # of a search, to find a rare one among; a long text has one soon
_COUNT_UP_TO = 4000  # entries; counting 12 times as many takes some milliseconds


@dataclass(frozen=True)
class SearchIndex:
    """Where the trigrams of one table's `columns` are; names are ours, never a client's."""

    table: str
    gram_table: str
    columns: tuple[str, ...]

    def insert(self, tx: Cursor, row: Row):
        """Add the entries of a row; those that are there already stay."""
        grams = self._grams_of(row)
        if grams:
            tx.execute(
                f"""
                INSERT INTO {self.gram_table} (gram, id)
                VALUES {", ".join(["(%s, %s)"] * len(grams))}
                ON DUPLICATE KEY UPDATE id = {self.gram_table}.id
                """,
                [value for gram in grams for value in (gram, row["id"])],
            )

    def delete(self, tx: Cursor, row: Row):
        """Remove the entries of a row, which is as it was when they were added."""
        grams = self._grams_of(row)
        if grams:
            tx.execute(
                f"""
                DELETE FROM {self.gram_table}
                 WHERE id = %s AND gram IN ({placeholders(grams)})
                """,
                (row["id"], *grams),
            )

    def update(self, tx: Cursor, old: Row, new: Row):
        """Replace the entries of a row if one of its texts has changed."""
        if any(old[column] != new[column] for column in self.columns):
            self.delete(tx, old)
            self.insert(tx, new)

    def clauses(self, tx: Cursor, text: str | None, after: int) -> tuple[str, str, str, tuple[Any, ...]]:
        """Return (FROM, WHERE, id column, values) for rows past the id `after`, in id order.

        The table's alias is t. `text` None matches all.
        """
        if text is None:
            return f"{self.table} AS t", "t.id > %s", "t.id", (after,)
        contains = "(" + " OR ".join(f"t.{column} LIKE %s ESCAPE '|'" for column in self.columns) + ")"
        patterns = (f"%{escaped(text)}%",) * len(self.columns)
        # STRAIGHT_JOIN: entries first, whatever the optimizer thinks; they come sorted by id.
        if len(text) >= _GRAM:
            source = f"{self.gram_table} AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            gram = self._rarest_gram(tx, text)
            return source, f"g.gram = %s AND g.id > %s AND {contains}", "g.id", (gram, after, *patterns)
        prefix = f"{escaped(text)}%"
        if self._count(tx, "LIKE %s ESCAPE '|'", [prefix])[prefix] < _COUNT_UP_TO:
            entries = f"SELECT DISTINCT id FROM {self.gram_table} WHERE gram LIKE %s ESCAPE '|' AND id > %s"
            source = f"({entries}) AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            return source, contains, "g.id", (prefix, after, *patterns)
        # One or two characters that so many rows have are found soon in the table itself.
        return f"{self.table} AS t", f"t.id > %s AND {contains}", "t.id", (after, *patterns)

    def _rarest_gram(self, tx: Cursor, text: str) -> str:
        grams = sorted(gram for gram in _grams(text) if len(gram) == _GRAM)
        entries = self._count(tx, "= %s", grams[:: -(-len(grams) // _MAX_GRAMS)])
        return min(entries, key=entries.__getitem__)

    def _count(self, tx: Cursor, comparison: str, values: list[str]) -> dict[str, int]:
        """Return {value: entries whose gram compares so}, each counted up to _COUNT_UP_TO."""
        count = f"""
            SELECT %s AS value, COUNT(*) AS entries
              FROM (SELECT 1 FROM {self.gram_table} WHERE gram {comparison} LIMIT {_COUNT_UP_TO}) AS found
        """
        tx.execute(" UNION ALL ".join([count] * len(values)), [twice for value in values for twice in (value, value)])
        return {row["value"]: row["entries"] for row in tx.fetchall()}

    def _grams_of(self, row: Row) -> list[str]:
        # Sorted: the index's own order, which is cheaper to insert.
        return sorted(set().union(*(_grams(row[column] or "") for column in self.columns)))


def _grams(text: str) -> set[str]:
    """Return the three characters from every place of a text; case is the collation's matter."""
    return {text[start : start + _GRAM] for start in range(len(text))}


def escaped(text: str) -> str:
    """Return a text as a part of a LIKE pattern: `%`, `_` and the escape `|` are ordinary."""
    for special in ("|", "%", "_"):
        text = text.replace(special, "|" + special)
    return text
