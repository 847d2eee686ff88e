"""Who is calling: operators by signed token, our own programs by shared secret.

Knows no HTTP framework and no database, so that the Lambda can use it as it is.
"""

import functools
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

import jwt

from common.config import Settings
from common.problems import AuthenticationRequired, InvalidToken

ISSUER = "b2b-customers"
AUDIENCE = "b2b-back-office"
ALGORITHMS = ["HS256"]  # ours, never the token's choice (RFC 8725, section 3.1)
TOKEN_SECONDS = 2 * 60 * 60
LEEWAY_SECONDS = 10  # clocks of two machines differ by this much at most
# Verifying one takes 70 µs, a fifth of reading a product. Each takes a kilobyte here.
VERIFIED_TOKENS = 1000

_READ = ("customers:read", "products:read", "orders:read", "events:read")
_WRITE = ("customers:write", "products:write", "orders:write")
ROLES = {
    "viewer": _READ,
    "operator": _READ + _WRITE,
    "admin": (*_READ, *_WRITE, "operators:read", "operators:write"),
}

# Of the table operators, for a token of the version before, which has none in it.
FIRST_TOKEN_VERSION = 1


@dataclass(frozen=True)
class Caller:
    """Who a request comes from: `scheme` names the contract's security scheme."""

    scheme: str  # operatorToken, serviceToken or metricsToken
    name: str | None  # the operator; None when a program of ours acts for nobody
    scopes: frozenset[str] = frozenset()
    token_version: int = FIRST_TOKEN_VERSION  # of the operator's token

    @property
    def actor(self) -> str:
        """The name that the audit trail shows."""
        return self.name or "service"

    @property
    def key_scope(self) -> str:
        """The name under which this caller's idempotency keys are its own."""
        return f"{self.scheme}:{self.name or ''}"

    def acting_for(self, username: str, scopes: frozenset[str]) -> Self:
        """Return the program that acts for the operator `username`, who has `scopes`."""
        return replace(self, name=username, scopes=scopes)


@dataclass(frozen=True)
class Origin:
    """Who asks for a change, and under which request id: what the audit trail keeps."""

    actor: str
    request_id: str


class Authenticator:
    """Checks bearer tokens against the configured secrets, current and previous."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time):
        self._keys = {_key_id(secret): secret for secret in settings.jwt_secrets}
        self._signing_secret = settings.jwt_secrets[0]
        self._service_tokens = [token.encode() for token in settings.service_tokens]
        self._metrics_tokens = [token.encode() for token in settings.metrics_tokens]
        self._clock = clock  # seconds since 1970
        # Caches successes only: a refusal raises.
        self._verify = functools.lru_cache(VERIFIED_TOKENS)(self._verify_token)

    def issue_token(self, username: str, role: str, now: datetime, token_version: int = FIRST_TOKEN_VERSION) -> str:
        """Return a signed token of TOKEN_SECONDS for an operator."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": username,
            "iat": now,
            "exp": now + timedelta(seconds=TOKEN_SECONDS),
            "jti": uuid.uuid4().hex,
            "scope": " ".join(ROLES[role]),
            "ver": token_version,
        }
        headers = {"kid": _key_id(self._signing_secret)}
        return jwt.encode(claims, self._signing_secret, ALGORITHMS[0], headers)

    def identify(self, authorization: str | None) -> Caller:
        """Return the `Caller` of an Authorization header (None when it is absent).

        Raises `AuthenticationRequired` without a bearer token, `InvalidToken` with a
        bad one. Which of the two kinds a route takes is the contract's matter.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationRequired()
        sent = token.encode("utf-8", "surrogateescape")
        if _is_one_of(self._service_tokens, sent):
            return Caller("serviceToken", None)
        if _is_one_of(self._metrics_tokens, sent):
            return Caller("metricsToken", None)
        return self._operator(token)

    def is_program(self, authorization: str | None) -> bool:
        """Return whether an Authorization header is one of our programs', where an operation is open to all."""
        sent = (authorization or "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        return _is_one_of(self._service_tokens, sent)

    def _operator(self, token):
        caller, expires_at = self._verify(token)
        # A cached token expires like any other.
        if expires_at <= self._clock() - LEEWAY_SECONDS:
            raise InvalidToken()
        return caller

    def _verify_token(self, token) -> tuple[Caller, int]:
        """Return (caller, when the token expires, in seconds since 1970)."""
        try:
            # The header picks one of our keys by name. Nothing else in it is read:
            # no jku, no x5u, no embedded key (RFC 8725, section 3.10).
            secret = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                secret,
                algorithms=ALGORITHMS,
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "aud", "sub", "iat", "exp", "jti", "scope"]},
            )
            scopes = frozenset(claims["scope"].split())
            version = claims.get("ver", FIRST_TOKEN_VERSION)
            if type(version) is not int:
                raise InvalidToken()
            return Caller("operatorToken", claims["sub"], scopes, version), int(claims["exp"])
        except (jwt.PyJWTError, KeyError, AttributeError, ValueError, RecursionError) as ex:
            # RecursionError: a header of nothing but brackets; the rest: fields of odd types.
            raise InvalidToken() from ex


def _is_one_of(tokens, sent):
    # All are compared, each in constant time, so that timing tells nothing of either.
    return any([hmac.compare_digest(sent, token) for token in tokens])  # noqa: C419


def _key_id(secret):
    # A name for the key, not a secret: 64 bits of a hash say nothing of 32 random bytes.
    return hashlib.sha256(b"kid:" + secret.encode()).hexdigest()[:16]
