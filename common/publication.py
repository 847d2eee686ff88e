"""The contract as `/openapi.json` has it: what others build on.

The documents in `openapi/` say exactly what is answered, and the tests hold the programs to it. What is
published leaves answers open, so that no generated client fails on a field that is added later. Knows no
HTTP framework.
"""

import json
import re
from typing import Any

from common.config import Settings
from common.contract import METHODS, Contract

# Reading it again and again costs little, and after a deployment nobody reads the old one for longer than a minute.
HEADERS = {"Cache-Control": "public, max-age=60"}


def enforced(document: dict[str, Any], settings: Settings) -> Contract:
    """Return the contract to enforce, without what the settings turn off: the document and its page, the metrics."""
    unknown = () if settings.api_docs else ("/openapi.json", "/docs")
    unknown += () if settings.has_metrics else ("/metrics",)
    paths = {path: item for path, item in document["paths"].items() if not path.startswith(unknown)}
    if "/metrics" in paths and not settings.metrics_tokens:
        paths["/metrics"] = {"get": {**paths["/metrics"]["get"], "security": []}}
    return Contract({**document, "paths": paths})


def published(document: dict[str, Any]) -> dict[str, Any]:
    """Return it with open answers, without scopes and unused components, at the address that it is read from."""
    operations = [item[method] for item in document["paths"].values() for method in METHODS if method in item]
    sent = used_components(document, [operation.get("requestBody") for operation in operations])
    components = {"securitySchemes": document["components"]["securitySchemes"]}
    for pointer in sorted(used_components(document, document["paths"])):
        _, _, kind, name = pointer.split("/")
        component = document["components"][kind][name]
        components.setdefault(kind, {})[name] = component if pointer in sent else _open(component)
    return {**document, "servers": [{"url": "/"}], "paths": _open(document["paths"]), "components": components}


def used_components(document: dict[str, Any], node: Any) -> set[str]:
    """Return the pointers of the components of a bundled document that can be reached from a node of it."""
    used = set()
    ahead = _references(node)
    while ahead:
        pointer = ahead.pop()
        used.add(pointer)
        _, _, kind, name = pointer.split("/")
        ahead |= _references(document["components"][kind][name]) - used
    return used


def _references(node):
    return set(re.findall(r'"\$ref": "(#/components/[^"]+)"', json.dumps(node)))


def _open(node):
    """Return a copy without scopes and `additionalProperties: false`."""
    if isinstance(node, list):
        return [_open(each) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {}
    for key, value in node.items():
        if key == "security":
            # OpenAPI 3.1 allows scopes without OAuth 2, many linters don't. An operation's 403 names its scope.
            copy[key] = [{scheme: [] for scheme in requirement} for requirement in value]
        elif (key, value) != ("additionalProperties", False):
            copy[key] = _open(value)
    return copy
