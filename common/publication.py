"""The contract as `/openapi.json` has it: what others build on. Knows no HTTP framework."""

from typing import Any

from common.config import Settings
from common.contract import Contract

# Reading it again and again costs little, and after a deployment nobody reads the old one for longer than a minute.
HEADERS = {"Cache-Control": "public, max-age=60", "X-Content-Type-Options": "nosniff"}


def enforced(document: dict[str, Any], settings: Settings) -> Contract:
    """Return the contract to enforce; where API_DOCS is off the document's and the page's paths are unknown."""
    unknown = () if settings.api_docs else ("/openapi.json", "/docs")
    paths = {path: item for path, item in document["paths"].items() if not path.startswith(unknown)}
    return Contract({**document, "paths": paths})


def published(document: dict[str, Any]) -> dict[str, Any]:
    """Return it at the address that it is read from."""
    return {**document, "servers": [{"url": "/"}]}
