"""Search for a part of a text, served by a table of its pieces in id order.

A B-tree can't serve "contains". MySQL's n-gram full-text index can, but not in id order,
and not within bounds: at a million customers a word that many rows have took seconds, or
failed with error 188. Here each row has an entry for every place of its texts: three
neighbouring characters, the gram, and the three after them, the rest (fewer at a text's
end). A search walks the entries of one gram of its own, in id order, passes over those
whose rest is another, and LIKE decides on the rows of the others.

So it finds exactly what LIKE finds, if the entries leave out no row that LIKE would take.
LIKE compares character by character. `=` compares the weights of whole texts, in which
neighbours may be one (a vowel and a consonant in Thai) and one character two ("ß" is "ss").
Hence a column for each character of a gram: single characters that are equal to LIKE are
equal to `=`. The rest is left to LIKE, and kept byte by byte, so that no two become one.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from common.connection import Cursor, Row

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
    entry_table: str
    columns: tuple[str, ...]

    def insert(self, tx: Cursor, *rows: Row):
        """Add the entries of rows; those that are there already stay."""
        entries, values = self._entries_of(*rows)
        if values:
            tx.execute(
                f"""
                INSERT INTO {self.entry_table} (c1, c2, c3, id, rest)
                VALUES {entries}
                ON DUPLICATE KEY UPDATE id = {self.entry_table}.id
                """,
                values,
            )

    def delete(self, tx: Cursor, row: Row):
        """Remove the entries of a row; `row` is as it was when they were added."""
        entries, values = self._entries_of(row)
        if values:
            tx.execute(f"DELETE FROM {self.entry_table} WHERE (c1, c2, c3, id, rest) IN ({entries})", values)

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
            source = f"{self.entry_table} AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            gram, rest = self._cheapest_entry(tx, text)
            rest_begins = "g.rest COLLATE utf8mb4_0900_ai_ci LIKE %s ESCAPE '|'"
            condition = f"{_begins(gram)} AND g.id > %s AND {rest_begins} AND {contains}"
            return source, condition, "g.id", (*gram, after, f"{escaped(rest)}%", *patterns)
        if self._count(tx, [text])[0] < _FEW:
            entries = f"SELECT DISTINCT id FROM {self.entry_table} WHERE {_begins(text)} AND id > %s"
            source = f"({entries}) AS g STRAIGHT_JOIN {self.table} AS t ON t.id = g.id"
            return source, contains, "g.id", (*text, after, *patterns)
        # One or two characters that many rows have are soon found in the table itself.
        return f"{self.table} AS t", f"t.id > %s AND {contains}", "t.id", (after, *patterns)

    def _cheapest_entry(self, tx: Cursor, text: str) -> tuple[str, str]:
        """Return the (gram, rest) of the text's whose walk costs least."""
        places = range(len(text) - _GRAM + 1)
        places = places[:: -(-len(places) // _MAX_PLACES)]
        entries = [(text[at : at + _GRAM], text[at + _GRAM :][:_REST]) for at in places]
        counts = self._count(tx, [gram for gram, _ in entries])
        # A whole rest leaves few rows to fetch, and a rest that ends the search finds all of them. A cut rest may
        # select nothing: among emails "c.e" is always followed by "xa".
        costs = [
            count * (1 if len(rest) == _REST or gram + rest == text else _ROW_COST)
            for count, (gram, rest) in zip(counts, entries, strict=True)
        ]
        return entries[costs.index(min(costs))]

    def _count(self, tx: Cursor, grams: list[str]) -> list[int]:
        """Return about how many entries begin with each of the grams.

        It is the optimizer's own estimate, from where the range begins and ends in the index: right within
        a factor of two, and the same time for ten entries and a million.
        """
        ranges = [f"SELECT id FROM {self.entry_table} WHERE {_begins(gram)}" for gram in grams]
        tx.execute(f"EXPLAIN FORMAT=TRADITIONAL {' UNION ALL '.join(ranges)}", [*"".join(grams)])
        return [row["rows"] or 0 for row in tx.fetchall()[: len(grams)]]

    def _entries_of(self, *rows: Row) -> tuple[str, list[Any]]:
        """Return the entries of rows as placeholders and values."""
        entries = {
            (text[at : at + 1], text[at + 1 : at + 2], text[at + 2 : at + 3], row["id"], text[at + 3 : at + 6])
            for row in rows
            for text in [row[column] or "" for column in self.columns]
            for at in range(len(text))
        }
        # Sorted: the index's own order, which is cheaper to insert.
        return ", ".join(["(%s, %s, %s, %s, %s)"] * len(entries)), [*itertools.chain(*sorted(entries))]


def _begins(gram: str) -> str:
    """Return the condition that an entry begins with the characters of a gram, each of which is bound."""
    return " AND ".join(f"{column} = %s" for column in ("c1", "c2", "c3")[: len(gram)])


def escaped(text: str) -> str:
    """Return a text as a part of a LIKE pattern: `%`, `_` and the escape `|` are ordinary."""
    for special in ("|", "%", "_"):
        text = text.replace(special, "|" + special)
    return text
