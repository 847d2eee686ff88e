"""The feed over HTTP."""

from dataclasses import dataclass

from falcon import Response

from common import web
from common.database import Database
from common.web import Request
from orders.feed import read_feed
from orders.representations import feed_event_to_json


@dataclass(frozen=True)
class Feed:
    """`/events`"""

    database: Database

    def on_get(self, req: Request, resp: Response):
        """List what happened, in the feed's order."""
        query = req.context.query
        subject = None
        if query["subject"]:
            kind, _, number = query["subject"].partition("/")
            subject = (kind, int(number))
        types = query["types"].split(",") if query["types"] else []
        page = read_feed(self.database, query["after"], types, subject, query["limit"])
        data = [feed_event_to_json(row) for row in page.rows]
        web.send_json(resp, {"data": data, "next": page.next, "has_more": page.has_more})

    on_head = on_get
