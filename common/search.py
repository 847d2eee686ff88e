"""Search for a part of a text, served by a table of its pieces in id order.

A B-tree can't serve "contains". MySQL's n-gram full-text index can, but not in id order,
and not within bounds: at a million customers a word that many rows have took seconds, or
failed with error 188. Here each row has an entry for every place of its texts: three
neighbouring characters, the gram, and the three after them, the rest (fewer at a text's
end). A search walks the entries of one gram of its own, in id order, passes over those
whose rest is another, and LIKE decides on the rows of the others, so that the result is
exactly "contains", case-insensitively.
"""

from dataclasses import dataclass
from typing import Any

from common.connection import Cursor, Row
from common.database import placeholders

_GRAM = 3
_REST = 3
_MAX_PLACES = 12  # of a search, to find a rare gram among; a long text has one soon
_FEW = 4000  # entries that are fetched and sorted in some milliseconds
# Fetching an entry's row and applying LIKE costs as much as walking over this many entries.
_ROW_COST = 16


@dataclass(frozen=True)
class SearchIndex:
    """Where the entries of one table's `columns` are; names are ours, never a client's."""

    table: str
    gram_table: str
    columns: tuple[str, ...]

    def insert(self, tx: Cursor, row: Row):
        """Add the entries of a row; those that are there already stay."""
        entries = self._entries_of(row)
        if entries:
            tx.execute(
                f"""
                INSERT INTO {self.gram_table} (gram, id, rest)
                VALUES {", ".join(["(%s, %s, %s)"] * len(entries))}
                ON DUPLICATE KEY UPDATE id = {self.gram_table}.id
                """,
                [value for gram, rest in entries for value in (gram, row["id"], rest)],
            )

    def delete(self, tx: Cursor, row: Row):
        """Remove the entries of a row; `row` is as it was when they were added."""
        grams = list(dict.fromkeys(gram for gram, _ in self._entries_of(row)))
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
        """Return (FROM, WHERE, id column, values) for rows past the id `after`, grouped by and in order of the id.

        The table's alias is t. `text` None matches all.
        """
        if text is None:
            return f"{self.table} AS t", "t.id > %s", "t.id", (after,)
        contains = "(" + " OR ".join(f"t.{column} LIKE %s ESCAPE '|'" for column in self.columns) + ")"
        patterns = (f"%{escaped(text)}%",) * len(self.columns)
        # STRAIGHT_JOIN: entries first, whatever the optimizer thinks; they come sorted by id.
        if len(text) >= _GRAM:
            source = f"{self.gram_table} AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            gram, rest = self._cheapest_entry(tx, text)
            # none: written by the version before 0002_search_rest.sql, which may be running still.
            condition = f"g.gram = %s AND g.id > %s AND (g.rest LIKE %s ESCAPE '|' OR g.rest = 'none') AND {contains}"
            return source, condition, "g.id", (gram, after, f"{escaped(rest)}%", *patterns)
        prefix = f"{escaped(text)}%"
        if self._count(tx, "LIKE %s ESCAPE '|'", [prefix])[0] < _FEW:
            entries = f"SELECT DISTINCT id FROM {self.gram_table} WHERE gram LIKE %s ESCAPE '|' AND id > %s"
            source = f"({entries}) AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            return source, contains, "g.id", (prefix, after, *patterns)
        # One or two characters that many rows have are soon found in the table itself.
        return f"{self.table} AS t", f"t.id > %s AND {contains}", "t.id", (after, *patterns)

    def _cheapest_entry(self, tx: Cursor, text: str) -> tuple[str, str]:
        """Return the (gram, rest) of the text's whose walk costs least."""
        entries = [entry for entry in _entries(text) if len(entry[0]) == _GRAM]
        entries = entries[:: -(-len(entries) // _MAX_PLACES)]
        counts = self._count(tx, "= %s", [gram for gram, _ in entries])
        # A whole rest leaves few rows to fetch, and a rest that ends the search finds all of them. A cut rest may
        # select nothing: among emails "c.e" is always followed by "xa".
        costs = [
            count * (1 if len(rest) == _REST or gram + rest == text else _ROW_COST)
            for count, (gram, rest) in zip(counts, entries, strict=True)
        ]
        return entries[costs.index(min(costs))]

    def _count(self, tx: Cursor, comparison: str, values: list[str]) -> list[int]:
        """Return about how many entries' grams compare so with each of the values.

        It is the optimizer's own estimate, from where the range begins and ends in the index: right within
        a factor of two, and the same time for ten entries and a million.
        """
        ranges = [f"SELECT id FROM {self.gram_table} WHERE gram {comparison}"] * len(values)
        tx.execute(f"EXPLAIN FORMAT=TRADITIONAL {' UNION ALL '.join(ranges)}", values)
        return [row["rows"] or 0 for row in tx.fetchall()[: len(values)]]

    def _entries_of(self, row: Row) -> list[tuple[str, str]]:
        # Sorted: the index's own order, which is cheaper to insert.
        return sorted({entry for column in self.columns for entry in _entries(row[column] or "")})


def _entries(text: str) -> list[tuple[str, str]]:
    """Return (gram, rest) of every place of a text; case is the collation's matter."""
    middles = range(_GRAM, _GRAM + len(text))
    return [(text[middle - _GRAM : middle], text[middle : middle + _REST]) for middle in middles]


def escaped(text: str) -> str:
    """Return a text as a part of a LIKE pattern: `%`, `_` and the escape `|` are ordinary."""
    for special in ("|", "%", "_"):
        text = text.replace(special, "|" + special)
    return text
