"""A client whose every answer is checked against the contract document."""

import json
import re
from functools import cache, partialmethod

from falcon import testing
from jsonschema import Draft202012Validator

from common import problems
from common.contract import inline, load
from common.schemas import FORMATS

# The codes of all problems in this run's checked answers; tests/conftest.py asks for every one at its end.
CODES_SEEN: set[str] = set()


class ResponseContract:
    """Knows every response that a document allows; `problem` names the schema of its problems."""

    def __init__(self, document, problem="Problem"):
        self._paths = [(_pattern_of(path), item) for path, item in inline(document, document["paths"]).items()]
        self._problem = self._validator(inline(document, document["components"]["schemas"][problem]))
        self._validators = {}

    def check(self, method, path, status, headers, body):
        """Assert that the contract has this answer: status, headers, media type and body.

        `headers` has names in lower case; `body` is the parsed JSON, text or None.
        """
        if method == "HEAD":  # is no operation; tests compare it with GET
            assert body is None
            return
        content_type = headers.get("content-type", "").split(";")[0]
        if status >= 400:
            self._check_problem(status, content_type, headers, body)
        operation = self._operation(method, path)
        if operation is None:
            # The files of the documentation page are no operations.
            is_allowed = method == "OPTIONS" or status in (400, 404, 405) or path.startswith("/docs/")
            assert is_allowed, f"{method} {path}: {status} from no operation"
            return
        where = f"{operation['operationId']} {status}"
        assert str(status) in operation["responses"], f"{where} is not in the contract"
        response = operation["responses"][str(status)]
        for name, header in response.get("headers", {}).items():
            value = headers.get(name.lower())
            assert value is not None or not header.get("required"), f"{where} lacks the header {name}"
            if value is not None:
                is_number = header["schema"]["type"] == "integer"
                self._check_value(f"{where} {name}", header["schema"], int(value) if is_number else value)
        if "content" not in response:
            assert body is None, f"{where} has a body"
            return
        assert content_type in response["content"], f"{where} has the media type {content_type}"
        media = response["content"][content_type]
        if status >= 400:
            codes = {example["value"]["code"] for example in media["examples"].values()}
            assert body["code"] in codes, f"{where} has the code {body['code']}"
        self._check_value(f"{where} {content_type}", media["schema"], body)

    def _check_problem(self, status, content_type, headers, body):
        assert content_type == problems.MEDIA_TYPE
        assert body["status"] == status
        assert body["request_id"] == headers["x-request-id"]
        self._problem.validate(body)
        CODES_SEEN.add(body["code"])

    def _check_value(self, where, schema, value):
        if where not in self._validators:
            self._validators[where] = self._validator(schema)
        errors = [f"{error.json_path}: {error.message}" for error in self._validators[where].iter_errors(value)]
        assert not errors, f"{where}: {errors}"

    def _operation(self, method, path):
        path = path.removesuffix("/")  # which is as none
        for pattern, item in self._paths:
            if pattern.fullmatch(path):
                return item.get(method.lower())
        return None

    @staticmethod
    def _validator(schema):
        return Draft202012Validator(schema, format_checker=FORMATS)


def _pattern_of(path):
    """Return what matches a path with ids and names for its parameters."""
    pattern = re.sub(r"\{[a-z_]+_id\}", "[1-9][0-9]{0,18}", path)
    return re.compile(pattern.replace("{username}", "[^/]+"))


def parse_body(content_type, content):
    """Return the JSON or text that an answer's bytes are, None where there are none."""
    if not content:
        return None
    return json.loads(content) if content_type.endswith("json") else content.decode()


@cache
def contract_of(name):
    """Return what a program may answer."""
    return ResponseContract(load(name), "OrchestratorProblem" if name == "orchestrator" else "Problem")


class ContractClient:
    """Falcon's test client with a bearer token, checking every answer."""

    def __init__(self, app, name, token):
        self._client = testing.TestClient(app)
        self._contract = contract_of(name)
        self._token = token

    def request(self, method, path, *, headers=None, token=..., **arguments):
        """Send a request; `token=None` leaves the Authorization header out."""
        token = self._token if token is ... else token
        headers = dict(headers or {})
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        response = self._client.simulate_request(method, path, headers=headers, **arguments)
        body = parse_body(response.headers.get("Content-Type", ""), response.content)
        sent = {name.lower(): value for name, value in response.headers.items()}
        self._contract.check(method, path.partition("?")[0], response.status_code, sent, body)
        return response

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


def refusal(response):
    """Return (status, code) of a problem document, (status, None) of anything else."""
    is_problem = response.headers.get("Content-Type") == problems.MEDIA_TYPE
    return response.status_code, response.json["code"] if is_problem else None
