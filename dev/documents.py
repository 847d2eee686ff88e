"""Checks of the documents in `openapi/` that Redocly's linter doesn't make: `python -m dev.documents FOLDER`.

The examples of headers are as their schemas say, an integer of more than 32 bits says so, and
every component that the documents share is used by one of them.
"""

import pathlib
import sys

import yaml

from common.contract import bundle, inline
from common.publication import used_components
from common.schemas import compile_schema

NAMES = ("customers", "orders", "orchestrator")
SHARED = "common.yaml"


def faults(folder):
    """Return a line for each fault of the documents in `folder`."""
    found = []
    used = set()
    for name in NAMES:
        document = bundle(folder / f"{name}.yaml")
        found += [f"{name}.yaml: the example of the header {header} breaks its schema" for header in broken(document)]
        found += [f"{name}.yaml: {place} has more than 32 bits and no format int64" for place in narrow(document, "#")]
        used |= used_components(document, document["paths"])
    shared = yaml.safe_load((folder / SHARED).read_text())["components"]
    defined = {f"#/components/{kind}/{name}" for kind, components in shared.items() for name in components}
    return found + [f"{SHARED}: {pointer} is used by no document" for pointer in sorted(defined - used)]


def broken(document):
    """Return the names of the headers with an example that breaks its schema."""
    return [
        name
        for name, header in inline(document, document["components"]["headers"]).items()
        for value in [header.get("example"), *(example["value"] for example in header.get("examples", {}).values())]
        if value is not None and not compile_schema(header["schema"]).is_valid(value)
    ]


def narrow(node, place):
    """Yield where an integer has no `format: int64` and generated clients would read too large a one into 32 bits."""
    if isinstance(node, dict) and "integer" in node.get("type", ()):
        if node["maximum"] >= 2**31 and node.get("format") != "int64":
            yield place
    elif isinstance(node, dict | list):
        for name, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from narrow(child, f"{place}/{name}")


if __name__ == "__main__":
    if lines := faults(pathlib.Path(sys.argv[1])):
        sys.exit("\n".join(lines))
