"""`GET /health`, `/health/live` and `/health/ready`: for load balancers and whatever starts the programs.

gunicorn has more threads than the database has connections, so that these answer while all others wait.
"""

from dataclasses import dataclass

from falcon import Response

from common.database import Database
from common.problems import DatabaseReadOnly, DatabaseUnavailable, SchemaOutdated
from common.web import Request, send_json

# A prober commonly waits for a second. The rest is for the network and a busy machine.
PATIENCE_SECONDS = 0.7


@dataclass(frozen=True)
class Health:
    """`GET /health` and `GET /health/live`: the process answers; nothing behind it is asked."""

    service: str

    def on_get(self, req: Request, resp: Response):
        """Say who answers."""
        send_json(resp, {"ok": True, "status": "ok", "service": self.service})

    on_head = on_get


@dataclass(frozen=True)
class Readiness:
    """`GET /health/ready`: orders can be taken; within a second, whatever the database does."""

    service: str
    database: Database

    def on_get(self, req: Request, resp: Response):
        """Answer what the database's probe found within the last second, or raise what is wrong."""
        try:
            state = self.database.probe.ask().result(PATIENCE_SECONDS)
        except TimeoutError as ex:
            raise DatabaseUnavailable() from ex
        if state["is_read_only"]:
            raise DatabaseReadOnly()
        if not state["has_schema"]:
            raise SchemaOutdated()
        send_json(resp, {"ok": True, "status": "ok", "service": self.service})

    on_head = on_get
