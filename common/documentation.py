"""The contract where it is served: `/openapi.json`, and `/docs`, a page to read and try it.

The page is a few lines around Swagger UI, whose files come out of node_modules (Makefile, Dockerfile).
"""

import hashlib
import pathlib
import string
from typing import TYPE_CHECKING, Any

import falcon
from falcon.routing import StaticRoute

from common import conditional, publication, strict_json
from common.config import ConfigError, Settings

if TYPE_CHECKING:
    from common.web import Request  # counts, as gunicorn's master must not (gunicorn_conf.py)

PAGE = pathlib.Path(__file__).parent / "documentation.html"
FOLDER = pathlib.Path(__file__).parent / "docs"  # whoever reads the page can read all that is in it
_ASSETS = ("docs.css", "docs.js", "swagger-ui/swagger-ui.css", "swagger-ui/swagger-ui-bundle.js")
FILES = [PAGE, *(FOLDER / name for name in _ASSETS)]

# Browsers keep them and revalidate each time, so no old file is used after a deployment.
_ASSET_HEADERS = {"Cache-Control": "public, no-cache"}
# Nothing but this service's own files, and no script or style in the page itself. Swagger UI
# draws its icons from data: addresses. No frame of another site can trick an operator into a click.
_PAGE_HEADERS = {
    **_ASSET_HEADERS,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def require_files():
    """Raise `ConfigError` if one of the page's files is missing."""
    if missing := [path.name for path in FILES if not path.is_file()]:
        names = ", ".join(missing)
        raise ConfigError(f"the documentation page lacks {names}: `make run` copies them, API_DOCS=off does without")


def routes(document: dict[str, Any], settings: Settings, *others: tuple[str, object]) -> list[tuple[str, object]]:
    """Return the routes of the document and the page, and `others` below /docs; none where it is off."""
    if not settings.api_docs:
        return []
    require_files()
    served = strict_json.dumps(publication.published(document))
    return [
        ("/openapi.json", Fixed(served, falcon.MEDIA_JSON, publication.HEADERS)),
        ("/docs", Fixed(_page(document, settings), falcon.MEDIA_HTML, _PAGE_HEADERS)),
        *others,
    ]


def add_assets(app: falcon.App, settings: Settings):
    """Serve the page's scripts and styles. They are no operations, so the contract doesn't have them."""
    if settings.api_docs:
        app.add_route("/docs/{path:path}", Assets())


def _page(document, settings):
    has_demo = settings.app_env == "development"  # what sql/seed.py adds, and never in production
    page = string.Template(PAGE.read_text("utf-8")).substitute(
        username="demo" if has_demo else "",
        password="demo-password" if has_demo else "",
        hint="" if has_demo else "hidden",
        title=document["info"]["title"],
        log_in="docs/token" if "/docs/token" in document["paths"] else "auth/token",
        # In the assets' addresses: Falcon's entity tag is time and size, and in a Lambda zip all times are one.
        version=hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()[:16],
    )
    return page.encode()


class Fixed:
    """`GET` of bytes that stay the same for as long as the program runs."""

    def __init__(self, data: bytes, content_type: str, headers: dict[str, str]):
        self._data = data
        self._content_type = content_type
        self._etag = conditional.content_tag(data)
        self._headers = {**headers, "ETag": self._etag}

    def on_get(self, req: "Request", resp: falcon.Response):
        """Send them, or 304."""
        resp.set_headers(self._headers)
        if conditional.is_unmodified(req.context.headers["If-None-Match"], self._etag):
            resp.status = falcon.HTTP_304
        else:
            resp.data = self._data
            resp.content_type = self._content_type

    on_head = on_get


class Assets:
    """`/docs/…`: Falcon's static route as a resource, which leaves other methods than GET at 405."""

    def __init__(self):
        self._send_file = StaticRoute("/docs", FOLDER)

    def on_get(self, req: "Request", resp: falcon.Response, path: str):
        """Send a file, or 304."""
        for name in ("HTTP_RANGE", "HTTP_IF_MODIFIED_SINCE"):  # which Falcon would refuse in words of its own
            req.env.pop(name, None)
        self._send_file(req, resp)
        resp.set_headers(_ASSET_HEADERS)

    def on_head(self, req: "Request", resp: falcon.Response, path: str):
        """Send the headers. Falcon reads nothing of the file then, and leaves it open."""
        self.on_get(req, resp, path)
        close: Any = getattr(resp.stream, "close", None)
        if close:
            close()
