"""Operators over HTTP, for admins."""

from dataclasses import dataclass

from falcon import Response

from common import conditional, web
from common.database import Database
from common.idempotency import once
from common.pagination import Cursors
from common.problems import InvalidRequest
from common.schemas import make_error
from common.times import Clock
from common.web import Request
from customers import operator_store, operator_workflows, passwords
from customers.representations import operator_to_json


@dataclass(frozen=True)
class OperatorCollection:
    """`/operators`"""

    database: Database
    cursors: Cursors
    clock: Clock

    def on_get(self, req: Request, resp: Response):
        """List operators in the order in which they were added."""
        query = req.context.query
        scope = ["operators", query["active"]]
        after = self.cursors.read(query["cursor"], scope)
        rows = self.database.read(operator_store.select_operators, query["active"], after, query["limit"] + 1)
        page = self.cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), operator_to_json)
        web.send_json(resp, page)

    on_head = on_get

    def on_post(self, req: Request, resp: Response):
        """Add an operator. It takes no key: what is kept of a key is no place for a password's fingerprint."""
        body = req.context.body
        username = body["username"]
        if username.lower() in operator_workflows.RESERVED:
            raise InvalidRequest(errors=[make_error("#/username", "reserved", "must not be service or system")])
        operator_workflows.require_fit("#/password", body["password"], username)
        password_hash = passwords.hash_password(body["password"])
        answer = self.database.transact(
            operator_workflows.create_operator, self.clock, username, body["role"], password_hash
        )
        web.send_answer(resp, answer)
        resp.set_header("Location", f"/operators/{username}")


@dataclass(frozen=True)
class OperatorItem:
    """`/operators/{username}`"""

    database: Database
    clock: Clock

    def on_get(self, req: Request, resp: Response, username: str):
        """Show one operator, or 304."""
        row = self.database.read(operator_workflows.get_operator, username)
        web.send_tagged(req, resp, operator_to_json(row), conditional.entity_tag(row["token_version"]))

    on_head = on_get

    def on_patch(self, req: Request, resp: Response, username: str):
        """Change role, active or password."""
        changes = dict(req.context.body)
        if (password := changes.pop("password", None)) is not None:
            operator_workflows.require_fit("#/password", password, username)
            changes["password_hash"] = passwords.hash_password(password)
        answer = self.database.transact(
            operator_workflows.update_operator,
            self.clock,
            req.context.caller,
            username,
            changes,
            req.context.headers["If-Match"],
        )
        web.send_answer(resp, answer)


@dataclass(frozen=True)
class OperatorTokens:
    """`/operators/{username}/revoke-tokens`"""

    database: Database
    clock: Clock

    def on_post(self, req: Request, resp: Response, username: str):
        """End all tokens of the operator."""
        answer = once(self.database, self.clock, req.context.key, operator_workflows.revoke_tokens, username)
        web.send_answer(resp, answer)
