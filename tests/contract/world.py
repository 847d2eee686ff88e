"""A world to play the documents' examples in: the programs, their data, the time, and who asks."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import mysql.connector

from common import times
from common.auth import LEEWAY_SECONDS, TOKEN_SECONDS, Authenticator
from common.database import Database
from sql.seed import seed
from tests.factories import forge_token

# Emptied in this order, for the foreign keys' sake; operators stay.
_TABLES = (
    "order_events", "order_items", "orders", "idempotency_keys",
    "customer_grams", "product_grams", "customers", "products",
)  # fmt: skip
_NUMBERED = ("orders", "order_events", "customers", "products")

# Refusals that leave everything as it was, the next id included.
_HARMLESS = {400, 401, 403, 404, 411, 412, 413, 415}


@dataclass(frozen=True)
class Call:
    """A request to an operation; `token` names one of the world's, `body` is JSON or bytes."""

    document: str
    operation: str
    method: str
    path: str
    token: str | None = None
    body: object = None
    query: str = ""
    headers: dict = field(default_factory=dict)

    def but(self, headers=None, **changes):
        """Return the call with other fields and more headers."""
        return replace(self, headers={**self.headers, **(headers or {})}, **changes)


class World:
    """Plays chapters, functions that bring the data somewhere, and sends calls."""

    def __init__(self, settings, database_settings, database, clock, programs):
        self.database_settings, self.database = database_settings, database
        self.clock, self.programs = clock, programs
        self.empty_schema = f"{database_settings.name}_empty"
        self._other_databases = {}
        self._tokens = _make_tokens(settings)
        self._chapter = None

    def begin(self, chapter):
        """Bring the data to where `chapter(world)` leaves it; nothing to do if it is there."""
        if self._chapter is not chapter:
            chapter(self)
            self._chapter = chapter

    def send(self, call, **circumstances):
        """Return the `Answer` to a call; `circumstances` are for `Programs`."""
        headers = {} if call.body is None else {"Content-Type": "application/json"}
        if call.token is not None:
            headers["Authorization"] = f"Bearer {self._tokens[call.token]}"
        request = (call.method, call.path, call.query, {**headers, **call.headers}, _encode(call.body))
        if call.document == "orchestrator":
            answer = self.programs.ask_orchestrator(*request, **circumstances)
        else:
            answer = self.programs.ask_service(call.document, *request, **circumstances)
        if call.method != "GET" and answer.status not in _HARMLESS and "database" not in circumstances:
            self._chapter = None
        return answer

    def other_database(self, kind=Database, **changes):
        """Return the database of this kind whose settings are changed so."""
        key = (kind, *changes.items())
        if key not in self._other_databases:
            self._other_databases[key] = kind(replace(self.database_settings, **changes))
        return self._other_databases[key]

    def close(self):
        """Close what `other_database` opened."""
        for database in self._other_databases.values():
            database.close()

    def empty(self):
        """Delete all rows but the operators; the next ids are 1."""
        self._change(*(f"DELETE FROM {table}" for table in _TABLES))
        self._change(*(f"ALTER TABLE {table} AUTO_INCREMENT = 1" for table in _NUMBERED))

    def seed(self, moment):
        """Add the demo data, made at a moment."""

        def seed_at(tx):
            tx.execute("SET SESSION timestamp = %s", (times.to_epoch(moment),))
            seed(tx, moment)
            tx.execute("SET SESSION timestamp = DEFAULT")

        self.database.transact(seed_at)

    @contextmanager
    def others_hold(self, table):
        """Let another client lock a table's rows, and the gaps where new ones would go."""
        settings = self.database_settings
        connection = mysql.connector.connect(
            host=settings.host, port=settings.port, user=settings.user, password=settings.password,
            database=settings.name, use_pure=False,
        )  # fmt: skip
        try:
            cursor = connection.cursor(buffered=True)
            cursor.execute("SET SESSION transaction_isolation = 'SERIALIZABLE'")
            cursor.execute(f"SELECT * FROM {table} FOR UPDATE")
            # The shortest wait that MySQL knows.
            self.database.read(lambda tx: tx.execute("SET SESSION innodb_lock_wait_timeout = 1"))
            yield
        finally:
            connection.close()

    def _change(self, *statements):
        def change(tx):
            for statement in statements:
                tx.execute(statement)

        self._chapter = None
        self.database.transact(change)


def _encode(body):
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _make_tokens(settings):
    authenticator = Authenticator(settings)
    secret, now = settings.jwt_secrets[0], times.utc_now()
    token = authenticator.issue_token("demo", "operator", now)
    past = times.to_epoch(now) - LEEWAY_SECONDS - 1
    return {
        "operator": token,
        "service": settings.service_tokens[0],
        "expired": forge_token(token, secret, claims={"iat": past - TOKEN_SECONDS, "exp": past}),
        "without scopes": forge_token(token, secret, claims={"scope": ""}),
    }
