"""Keyset pagination: opaque cursors that only we can make, one for each list and its filters."""

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import Any

from common import strict_json
from common.config import Settings
from common.connection import Row
from common.problems import InvalidCursor

_MAC_BYTES = 12  # a guess succeeds once in 2^96; nothing worse than a wrong page is behind it


class Cursors:
    """Makes and reads cursors; the key comes from JWT_SECRET, the previous one is still read."""

    def __init__(self, settings: Settings):
        self._keys = [hmac.digest(secret.encode(), b"cursor", "sha256") for secret in settings.jwt_secrets]

    def read(self, text: str | None, scope: list[Any]) -> tuple[int, ...] | None:
        """Return the position, a tuple of integers, or None for the first page.

        `scope` names the list and its filters. Raises `InvalidCursor` for a text that
        was not made by `page` for the same scope.
        """
        if text is None or text in ("", "0"):
            return None
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (ValueError, binascii.Error) as ex:
            raise InvalidCursor() from ex
        if _to_text(data) != text:  # base64 ignores the last bits; a cursor of ours has one form
            raise InvalidCursor()
        mac, position = data[:_MAC_BYTES], data[_MAC_BYTES:]
        # All are compared, as in common/auth.py.
        if not any([hmac.compare_digest(mac, _mac(key, scope, position)) for key in self._keys]):  # noqa: C419
            raise InvalidCursor()
        return tuple(map(int, position.split(b".")))

    def page(
        self,
        rows: list[Row],
        limit: int,
        scope: list[Any],
        position_of: Callable[[Row], tuple[int, ...]],
        to_json: Callable[[Row], dict[str, Any]],
    ) -> dict[str, Any]:
        """Return the list's body; `rows` has one row more than `limit` if there is a next page."""
        shown = rows[:limit]
        next_cursor = None
        if len(rows) > limit:
            position = b".".join(b"%d" % number for number in position_of(shown[-1]))
            data = _mac(self._keys[0], scope, position) + position
            next_cursor = _to_text(data)
        return {"data": [to_json(row) for row in shown], "next_cursor": next_cursor}


def _to_text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _mac(key, scope, position):
    return hmac.digest(key, strict_json.canonical(scope) + b"\0" + position, "sha256")[:_MAC_BYTES]
