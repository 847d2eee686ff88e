"""The OpenAPI document as code: what it says of security, parameters and bodies is enforced.

Knows no HTTP framework: it takes header values, query strings and bytes, and gives back
typed values or raises a `Problem`.

The YAML in `openapi/` is what people edit. make bundles each document into one JSON file
beside it, `python -m common.contract FILE`, and that is what programs read: it starts
them faster, and a Lambda function ships no YAML parser.
"""

import json
import logging
import pathlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from common import strict_json, texts, times
from common.auth import Authenticator, Caller
from common.problems import (
    CallerNotAllowed,
    InsufficientScope,
    InvalidRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from common.schemas import MAX_ERRORS, Validator, compile_schema, make_error, unknown, violations

if TYPE_CHECKING:
    from common.current_operators import CurrentOperators  # needs MySQL's driver, which the orchestrator doesn't have

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 65_536  # an order of 100 lines takes about 5,000
_MAX_QUERY_FIELDS = 20  # no list has half as many
METHODS = ("get", "put", "post", "patch", "delete")

IDEMPOTENCY_HEADERS = ("X-Idempotency-Key", "Idempotency-Key")

OPERATOR = "operatorToken"  # the security scheme of operators


# --- loading ---------------------------------------------------------------------------


DOCUMENTS = pathlib.Path(__file__).parent.parent / "openapi"


def load(name: str) -> dict[str, Any]:
    """Return a program's bundled document, made by make; `name` is the file's, without its ending."""
    return json.loads((DOCUMENTS / f"{name}.json").read_bytes())


def bundle(path: pathlib.Path) -> dict[str, Any]:
    """Return a YAML document with the components that it shares with others, of `common.yaml` beside it, in it."""
    import yaml  # noqa: PLC0415 - not in the Lambda functions, which only call `load`

    document, shared = (
        yaml.load(text.replace("common.yaml#/", "#/"), yaml.CSafeLoader)
        for text in (path.read_text(), path.with_name("common.yaml").read_text())
    )
    for kind, components in shared["components"].items():
        own = document.setdefault("components", {}).setdefault(kind, {})
        if clash := own.keys() & components.keys():
            raise ValueError(f"{path.name} and common.yaml both define {sorted(clash)}")
        own.update(components)
    return document


def inline(document: dict[str, Any], node: Any) -> Any:
    """Return `node` with each `$ref` replaced by what it names; our documents have no cycles."""
    if isinstance(node, list):
        return [inline(document, item) for item in node]
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            target = document
            for name in node["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            # In a schema there may be more beside it, `readOnly` for one.
            return inline(document, target | {key: value for key, value in node.items() if key != "$ref"})
        return {key: inline(document, value) for key, value in node.items()}
    return node


# --- operations ------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """A query parameter or header of one operation."""

    pointer: str  # where an error of it is: `query:limit`
    definition: dict[str, Any]
    validator: Validator

    def clean(self, text: str) -> str:
        """Return a text in its one form, anything else as it is."""
        return texts.clean(text) if "x-text" in self.definition else text

    def parse(self, text: str) -> tuple[Any, list[dict[str, str]]]:
        """Return (value, errors) for the text that was sent."""
        value = text
        # As JSON writes it: Python's int() takes "+1", "007", "1_000" and Arabic digits too.
        if self.definition.get("type") == "integer" and re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text):
            value = int(text)
        if self.definition.get("type") == "boolean":
            value = {"true": True, "false": False}.get(text, text)
        errors = violations(self.validator, value, self.pointer)
        if errors and "x-form" in self.definition:
            errors = [make_error(self.pointer, "pattern", f"must be {self.definition['x-form']}")]
        if "x-time" in self.definition and (errors or not times.is_time(text)):
            hint = "; a + is written as %2B in a query, where + is a space" if " " in text else ""
            errors = [make_error(self.pointer, "format", f"must be {self.definition['x-time']}{hint}")]
        return value, errors


@dataclass(frozen=True)
class Checked:
    """What is known of a request that is as its operation wants it."""

    caller: Caller | None  # None where the operation is open to all
    query: dict[str, Any]
    headers: dict[str, str | None]
    key: str | None  # the idempotency key
    sent: Any  # the body as it was parsed
    body: Any  # the same with its texts in their one form


class Operation:
    """One method of one path: checks a request's parts against what the document says."""

    def __init__(self, document: dict[str, Any], method: str, path: str, definition: dict[str, Any]):
        self.method = method.upper()
        self.path = path
        self.id = definition["operationId"]
        self.security = definition["security"]
        parameters = inline(document, definition.get("parameters", []))
        keys = [parameter for parameter in parameters if parameter["name"] == IDEMPOTENCY_HEADERS[0]]
        self.takes_key = bool(keys)
        self.key_required = any(parameter.get("required") for parameter in keys)
        # The other name stands in the documents' prose alone: a generated client shall ask for the key once.
        parameters += [{**parameter, "name": IDEMPOTENCY_HEADERS[1]} for parameter in keys]
        self.query = _parameters(parameters, "query")
        self.headers = _parameters(parameters, "header")
        body = inline(document, definition.get("requestBody"))
        self.takes_body = body is not None
        self.body_required = bool(body and body.get("required"))
        schema = body["content"]["application/json"]["schema"] if body else {}
        self._body = compile_schema(schema)
        members = schema.get("properties", {})
        # What a GET gives and nobody may set: it's ignored, so that what was read may be changed and sent.
        self._read_only = {name for name in members if members[name].get("readOnly")}
        # What others change meanwhile, like stock: it's not to be sent back without If-Match.
        self._volatile = {name for name in members if members[name].get("x-volatile")}
        # name -> what it is when it is empty
        self._texts = {
            name: None if "null" in members[name]["type"] else "" for name in members if "x-text" in members[name]
        }

    def check(
        self,
        authenticator: Authenticator,
        header: Callable[[str], str | None],
        query_string: str,
        read_body: Callable[[], bytes],
        operators: "CurrentOperators | None" = None,
    ) -> Checked:
        """Check who asks, then query, headers and body, in this order; raise the first `Problem`.

        `header(name)` returns a header's value, None when it is absent. `read_body()` is asked last.
        Without `operators`, and so without a database, a revoked token is as good as any.
        """
        caller = None
        if self.security:
            caller = authenticator.identify(header("Authorization"))
            if operators and caller.scheme == OPERATOR:
                operators.require_current(caller)
            self.authorize(caller, caller.scheme)
        query = self.read_query(query_string)
        headers = self.read_headers(header)
        username = headers.get("X-On-Behalf-Of")
        if caller and operators and username is not None and caller.scheme != OPERATOR:
            version = headers["X-On-Behalf-Of-Version"]
            caller = operators.acting_for(caller, username, None if version is None else int(version))
            self.authorize(caller, OPERATOR)
        key = self.idempotency_key(headers)
        sent = body = {}
        if self.takes_body:
            if header("Content-Encoding") not in (None, "identity"):
                raise UnsupportedMediaType()
            data = read_body()
            if len(data) > MAX_BODY_BYTES:
                raise PayloadTooLarge()
            sent, body = self.read_body(header("Content-Type"), data, headers.get("If-Match"))
        return Checked(caller, query, headers, key, sent, body)

    def authorize(self, caller: Caller, scheme: str):
        """Raise `CallerNotAllowed` or `InsufficientScope` unless `caller` may do this as one of `scheme`."""
        scopes = [requirement[scheme] for requirement in self.security if scheme in requirement]
        if not scopes:
            log.warning("%s refused: %s is no caller of it", self.id, caller.actor)
            raise CallerNotAllowed()
        for scope in scopes[0]:
            if scope not in caller.scopes:
                log.warning("%s refused: %s has no scope %s", self.id, caller.actor, scope)
                challenge = f'Bearer realm="b2b", error="insufficient_scope", scope="{scope}"'
                raise InsufficientScope(f"This needs the scope {scope}.", headers={"WWW-Authenticate": challenge})

    def read_query(self, query_string: str) -> dict[str, Any]:
        """Return {name: typed value or None} for every query parameter of the operation.

        An empty value counts as absent. Unknown, repeated and malformed ones are
        `InvalidRequest`.
        """
        try:
            # WSGI gives bytes as Latin-1; some clients send UTF-8 without percent-encoding it.
            query_string = query_string.encode("latin-1").decode("utf-8")
            pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS)
        except ValueError as ex:
            raise InvalidRequest(
                errors=[make_error("query", "malformed", f"is not a list of {_MAX_QUERY_FIELDS} UTF-8 fields at most")]
            ) from ex
        values = {name: parameter.definition.get("default") for name, parameter in self.query.items()}
        seen = set()
        errors = []
        for name, text in pairs:
            parameter = self.query.get(name)
            if parameter is None:
                errors.append(unknown("query:", name, "unknown", self.query))
            elif name in seen:
                errors.append(make_error(parameter.pointer, "repeated", "is given more than once"))
            elif text := parameter.clean(text):
                values[name], wrong = parameter.parse(text)
                errors += wrong
            seen.add(name)
        if errors:
            raise InvalidRequest(errors=errors[:MAX_ERRORS])
        return values

    def read_headers(self, get: Callable[[str], str | None]) -> dict[str, str | None]:
        """Return {name: text or None} for every header parameter; `get` returns None if absent."""
        values = {}
        errors = []
        for name, parameter in self.headers.items():
            values[name] = get(name)
            if values[name] is not None:
                errors += parameter.parse(values[name])[1]
        if errors:
            raise InvalidRequest(errors=errors[:MAX_ERRORS])
        return values

    def idempotency_key(self, headers: Mapping[str, str | None]) -> str | None:
        """Return the key under either of its names, or None; `headers` from `read_headers`."""
        if not self.takes_key:
            return None
        keys = {headers[name] for name in IDEMPOTENCY_HEADERS if headers[name] is not None}
        pointer = "header:" + IDEMPOTENCY_HEADERS[0]
        if len(keys) > 1:
            raise InvalidRequest(errors=[make_error(pointer, "repeated", "differs from " + IDEMPOTENCY_HEADERS[1])])
        if not keys and self.key_required:
            raise InvalidRequest(errors=[make_error(pointer, "required", "is required")])
        return keys.pop() if keys else None

    def read_body(self, content_type: str | None, data: bytes, if_match: str | None = None) -> tuple[Any, Any]:
        """Return `sent` and `body` of `Checked`, both without `readOnly` members; an absent optional body is `{}`."""
        if not data and not self.body_required:
            return {}, {}
        if not _is_json(content_type):
            raise UnsupportedMediaType()
        sent = body = strict_json.loads(data)
        if isinstance(sent, dict):
            if if_match is None and sent.keys() & self._read_only and (volatile := sent.keys() & self._volatile):
                detail = f"is required to send back {', '.join(volatile)} beside {', '.join(sorted(self._read_only))}"
                raise InvalidRequest(errors=[make_error("header:If-Match", "required", detail)])
            sent = {name: member for name, member in sent.items() if name not in self._read_only}
            given = {name: sent[name] for name in self._texts if isinstance(sent.get(name), str)}
            body = sent | {name: texts.clean(text) or self._texts[name] for name, text in given.items()}
        if errors := violations(self._body, body, "#"):
            raise InvalidRequest(errors=errors)
        return sent, body


class Contract:
    """Every operation of one document, compiled once."""

    def __init__(self, document: dict[str, Any]):
        self.operations = {
            (method.upper(), path): Operation(document, method, path, item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        }
        # HEAD is GET without the body (RFC 9110, section 9.3.2).
        self.operations |= {
            ("HEAD", path): operation for (method, path), operation in self.operations.items() if method == "GET"
        }


def _parameters(parameters, place):
    """Return {name: Parameter}; raise on a required one that nothing here would demand."""
    wanted = [parameter for parameter in parameters if parameter["in"] == place]
    required = {parameter["name"] for parameter in wanted if parameter.get("required")} - set(IDEMPOTENCY_HEADERS)
    if required:
        raise ValueError(f"no check for the required {place} parameters {sorted(required)}")
    return {
        parameter["name"]: Parameter(
            f"{place}:{parameter['name']}", parameter["schema"], compile_schema(parameter["schema"])
        )
        for parameter in wanted
    }


def _is_json(content_type):
    media_type, *parameters = (content_type or "").lower().split(";")
    # RFC 8259 defines no parameter; clients send this one, and it changes nothing.
    return media_type.strip() == "application/json" and all(
        parameter.strip() in ("", "charset=utf-8", 'charset="utf-8"') for parameter in parameters
    )


if __name__ == "__main__":
    json.dump(bundle(pathlib.Path(sys.argv[1])), sys.stdout, ensure_ascii=False, indent=1)
