"""Conditional requests: entity tags and the two preconditions that use them (RFC 9110, 13). And what may be kept."""

import hashlib
import re

from common.problems import PreconditionFailed

# Of every answer that says nothing else: no cache keeps it, and its content is what Content-Type says.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# Of what has an entity tag: who asked may keep it, and asks each time whether it is still the same.
PRIVATE = "private, no-cache"

_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')
_LIST = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"(?:[ \t]*,[ \t]*(?:W/)?"[\x21\x23-\x7e]*")*')


def entity_tag(version: int | str) -> str:
    """Return the strong entity tag of a row's version."""
    return f'"{version}"'


def content_tag(data: bytes) -> str:
    """Return the strong entity tag of bytes."""
    return entity_tag(hashlib.sha256(data).hexdigest()[:32])


def is_unmodified(if_none_match: str | None, tag: str) -> bool:
    """Return whether an If-None-Match header (None when absent) names `tag`: answer 304."""
    if if_none_match is None:
        return False
    # Weak comparison (RFC 9110, 13.1.2): W/"1" and "1" are the same here.
    return if_none_match.strip() == "*" or tag in (opaque for _, opaque in _tags(if_none_match))


def require_match(if_match: str | None, tag: str):
    """Raise `PreconditionFailed` if an If-Match header is given and does not name `tag`."""
    if if_match is None or if_match.strip() == "*":
        return
    # Strong comparison (RFC 9110, 13.1.1): a weak tag matches nothing.
    if tag not in (opaque for weak, opaque in _tags(if_match) if not weak):
        raise PreconditionFailed()


def _tags(header) -> list[tuple[str, str]]:
    """Return [(weak prefix, opaque tag)]; a header that is no list of entity tags names none."""
    return _ENTITY_TAG.findall(header) if _LIST.fullmatch(header.strip()) else []
