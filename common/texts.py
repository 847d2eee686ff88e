"""Texts in one form, so that what people see as equal is equal: Unicode's NFC, no white space at either end."""

import re
import unicodedata

# Letters, marks and a symbol that show nothing: Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt)
# outside the categories Z* and C*, and the empty Braille pattern.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def clean(text: str) -> str:
    """Return a text in its one form; lengths are measured afterwards."""
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text).strip()


def is_visible(text: str) -> bool:
    """Return whether a text has a character that can be seen."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in _BLANK.sub("", text))
