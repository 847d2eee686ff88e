"""Histories over HTTP: what happened to one order, product or customer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falcon import Response

from common import web
from common.connection import Cursor, Row
from common.database import Database
from common.pagination import Cursors
from common.web import Request


@dataclass(frozen=True)
class History:
    """`/…/{id}/events`; `read(tx, id, after, count)` returns event rows, oldest first."""

    database: Database
    cursors: Cursors
    scope: str  # of its cursors
    read: Callable[[Cursor, int, tuple[int, ...] | None, int], list[Row]]
    to_json: Callable[[Row], dict[str, Any]]

    def on_get(self, req: Request, resp: Response, **ids: int):
        """List who did what, oldest first."""
        (subject_id,) = ids.values()
        query = req.context.query
        scope = [self.scope, subject_id]
        after = self.cursors.read(query["cursor"], scope)
        rows = self.database.read(self.read, subject_id, after, query["limit"] + 1)
        page = self.cursors.page(rows, query["limit"], scope, lambda row: (row["id"],), self.to_json)
        web.send_json(resp, page)

    on_head = on_get
