"""`/auth/token`: an operator's name and password for a token."""

from dataclasses import dataclass

from falcon import Response

from common import web
from common.auth import TOKEN_SECONDS, Authenticator
from common.database import Database
from common.problems import InvalidCredentials
from common.times import Clock
from common.web import Request
from customers import operators


@dataclass(frozen=True)
class Token:
    """`/auth/token`"""

    database: Database
    authenticator: Authenticator
    clock: Clock

    def on_post(self, req: Request, resp: Response):
        """Log in; an unknown name and a wrong password take the same time and look the same."""
        body = req.context.body
        operator = self.database.read(operators.select_operator, body["username"])
        if not operators.may_log_in(operator, body["password"]):
            raise InvalidCredentials()
        token = self.authenticator.issue_token(operator["username"], operator["role"], self.clock())
        resp.set_header("Cache-Control", "no-store")
        web.send_json(resp, {"token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})
