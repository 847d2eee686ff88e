"""`/auth/token`: an operator's name and password for a token."""

from collections.abc import Callable
from datetime import datetime

from falcon import Response

from common import web
from common.auth import TOKEN_SECONDS, Authenticator
from common.database import Database
from common.problems import InvalidCredentials
from common.web import Request
from customers import operators


class Token:
    """`/auth/token`"""

    def __init__(self, database: Database, authenticator: Authenticator, clock: Callable[[], datetime]):
        self._database = database
        self._authenticator = authenticator
        self._clock = clock

    def on_post(self, req: Request, resp: Response):
        """Log in; an unknown name and a wrong password take the same time and look the same."""
        body = req.context.body
        operator = self._database.read(operators.select_operator, body["username"])
        if not operators.may_log_in(operator, body["password"]):
            raise InvalidCredentials()
        token = self._authenticator.issue_token(operator["username"], operator["role"], self._clock())
        resp.set_header("Cache-Control", "no-store")
        web.send_json(resp, {"token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})
