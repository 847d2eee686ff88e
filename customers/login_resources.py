"""Logging in and out, and an operator's own password."""

from dataclasses import dataclass

import falcon
from falcon import Response

from common import web
from common.addresses import ADDRESS_HEADER, Addresses
from common.auth import TOKEN_SECONDS, Authenticator
from common.database import Database
from common.times import Clock
from common.web import Request
from customers import operator_workflows, passwords
from customers.logins import Logins


@dataclass(frozen=True)
class Token:
    """`/auth/token`"""

    logins: Logins
    authenticator: Authenticator
    addresses: Addresses
    clock: Clock

    def on_post(self, req: Request, resp: Response):
        """Log in; an unknown name and a wrong password take the same time and look the same."""
        body = req.context.body
        operator = self.logins.check(body["username"], body["password"], self._address(req))
        token = self.authenticator.issue_token(
            operator["username"], operator["role"], self.clock(), operator["token_version"]
        )
        web.send_json(resp, {"token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    def _address(self, req):
        # The page of Orders logs in for whoever reads it. Only a program of ours is believed.
        if self.authenticator.is_program(req.get_header("Authorization")):
            return req.get_header(ADDRESS_HEADER) or self.addresses.of(req)
        return self.addresses.of(req)


@dataclass(frozen=True)
class Password:
    """`/auth/password`"""

    database: Database
    logins: Logins
    addresses: Addresses
    clock: Clock

    def on_post(self, req: Request, resp: Response):
        """Change an operator's own password, which ends its tokens; counted as a log-in."""
        body = req.context.body
        operator = self.logins.check(body["username"], body["password"], self.addresses.of(req))
        operator_workflows.require_fit("#/new_password", body["new_password"], operator["username"])
        password_hash = passwords.hash_password(body["new_password"])
        name, old_hash = operator["username"], operator["password_hash"]
        self.database.transact(operator_workflows.set_password, self.clock, name, old_hash, password_hash)
        resp.status = falcon.HTTP_204


@dataclass(frozen=True)
class LogOut:
    """`/auth/logout`"""

    database: Database
    clock: Clock

    def on_post(self, req: Request, resp: Response):
        """End all tokens of the caller's name."""
        self.database.transact(operator_workflows.revoke_tokens, self.clock, req.context.caller.actor)
        resp.status = falcon.HTTP_204
