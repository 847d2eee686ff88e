"""Search for a part of a text, served by an n-gram full-text index.

A B-tree can't serve "contains". MySQL's n-gram index finds every row that holds all pairs
of neighbouring characters in the words searched for; LIKE then decides, so that the
result is exactly "contains", case-insensitively, whatever characters are in it.
"""

import unicodedata

_NGRAM = 2  # MySQL's default ngram_token_size: shorter words are not in the index


def search_condition(columns, text):
    """Return (SQL condition, values) for "one of `columns` contains `text`"; None matches all.

    `columns` are ours, in the order of the table's full-text index, never a client's.
    """
    if text is None:
        return "TRUE", ()
    condition = "(" + " OR ".join(f"{column} LIKE %s ESCAPE '|'" for column in columns) + ")"
    values = (contains_pattern(text),) * len(columns)
    words = [word for word in _words(text) if len(word) >= _NGRAM]
    if not words:
        return condition, values  # a character or two: many rows have them, so a scan ends soon
    phrases = " ".join(f'+"{word}"' for word in words)
    return f"MATCH ({', '.join(columns)}) AGAINST (%s IN BOOLEAN MODE) AND {condition}", (phrases, *values)


def _words(text):
    """Return the runs of letters and digits, as MySQL's full-text parser sees them at least.

    MySQL knows the letters of about Unicode 5; Unicode 3.2 is the older table that Python
    has. A letter taken for a separator costs speed, the other way round it costs results.
    """
    return "".join(
        character if character < "\U00010000" and unicodedata.ucd_3_2_0.category(character)[0] in "LN" else " "
        for character in text.lower()  # some letters are newer in one case than in the other
    ).split()


def contains_pattern(text):
    """Return the LIKE pattern for "contains `text`"; `%`, `_` and the escape are ordinary."""
    for special in ("|", "%", "_"):
        text = text.replace(special, "|" + special)
    return f"%{text}%"
