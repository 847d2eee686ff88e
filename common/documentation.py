"""The contract where it is served: `/openapi.json`, and `/docs`, a page to read and try it.

Everything is read and rendered once, at the start; no request reads a file or runs a
template. The page is our own few lines around Swagger UI, whose files make copies out of
node_modules (Makefile, Dockerfile). It asks nothing of any other host.
"""

import hashlib
import html
import pathlib
import string
from typing import Any

import falcon
from falcon import Response

from common import conditional, strict_json
from common.config import ConfigError, Settings
from common.contract import Contract
from common.problems import NotFound
from common.web import Request

FOLDER = pathlib.Path(__file__).parent / "docs"

# All that is served below /docs/, by its last name; no other path reaches a file.
_ASSETS = {
    "docs.css": ("docs.css", "text/css; charset=utf-8"),
    "docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
}
_PAGE = "index.html"
FILES = [FOLDER / _PAGE, *(FOLDER / path for path, _ in _ASSETS.values())]

# A minute: a program that reads the contract again and again costs little, and after a
# deployment nobody reads the old one for longer.
_CONTRACT_CACHING = "public, max-age=60"
# Kept, but asked for each time; a 304 has no body. After a deployment no old file is in use.
_PAGE_CACHING = "public, no-cache"

# Nothing but this service's own files, and no script or style in the page itself. Swagger UI
# draws its icons from data: addresses. No frame of another site can trick an operator into a click.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# What sql/seed.py adds. The form has it only where it is there: not in production.
_DEMO_USERNAME, _DEMO_PASSWORD = "demo", "demo-password"
_DEMO_HINT = (
    f"<p>In development the demo operator is <code>{_DEMO_USERNAME}</code> / <code>{_DEMO_PASSWORD}</code>.</p>"
)


def require_files():
    """Raise `ConfigError` if one of the page's files is missing."""
    missing = [path.name for path in FILES if not path.is_file()]
    if missing:
        raise ConfigError(
            f"the documentation page lacks {', '.join(missing)} in common/docs; `make run` puts Swagger UI's there,"
            " and API_DOCS=off does without"
        )


class Documentation:
    """What a service serves of its contract: nothing where the setting API_DOCS is off."""

    def __init__(self, document: dict[str, Any], settings: Settings):
        self._is_on = settings.api_docs
        self._is_development = settings.app_env == "development"
        self._document = document

    @property
    def contract(self) -> Contract:
        """The contract to enforce; where the page is off its paths are unknown, as any other."""
        if self._is_on:
            return Contract(self._document)
        paths = {path: item for path, item in self._document["paths"].items() if not _is_ours(path)}
        return Contract({**self._document, "paths": paths})

    def routes(self, *others: tuple[str, object]) -> list[tuple[str, object]]:
        """Return the routes of the document and the page, and `others` below /docs; none where it is off."""
        if not self._is_on:
            return []
        require_files()
        return [
            ("/openapi.json", self._served_document()),
            ("/docs", self._page()),
            ("/docs/{asset}", Assets()),
            *others,
        ]

    def _served_document(self):
        # Wherever it is read from, that is where it holds.
        document = {**self._document, "servers": [{"url": "/"}]}
        return Fixed(strict_json.dumps(document), falcon.MEDIA_JSON, _CONTRACT_CACHING)

    def _page(self):
        page = string.Template((FOLDER / _PAGE).read_text("utf-8")).substitute(
            title=html.escape(self._document["info"]["title"]),
            log_in="docs/token" if "/docs/token" in self._document["paths"] else "auth/token",
            username=_DEMO_USERNAME if self._is_development else "",
            password=_DEMO_PASSWORD if self._is_development else "",
            hint=_DEMO_HINT if self._is_development else "",
        )
        headers = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
        return Fixed(page.encode(), "text/html; charset=utf-8", _PAGE_CACHING, headers)


def _is_ours(path):
    return path in ("/openapi.json", "/docs") or path.startswith("/docs/")


class Fixed:
    """`GET` of bytes that stay the same for as long as the program runs."""

    def __init__(self, data: bytes, content_type: str, caching: str, headers: dict[str, str] | None = None):
        self._data = data
        self._content_type = content_type
        self._headers = {"X-Content-Type-Options": "nosniff", **(headers or {})}
        # Of the headers too: a page that is kept keeps those that it came with.
        version = hashlib.sha256(data + repr(self._headers).encode()).hexdigest()[:32]
        self._etag = conditional.entity_tag(version)
        self._caching = {"ETag": self._etag, "Cache-Control": caching}

    def on_get(self, req: Request, resp: Response):
        """Send them, or 304."""
        resp.set_headers(self._caching)
        if conditional.is_unmodified(req.context.headers["If-None-Match"], self._etag):
            resp.status = falcon.HTTP_304
        else:
            resp.set_headers(self._headers)
            resp.data = self._data
            resp.content_type = self._content_type


class Assets:
    """`/docs/{asset}`: the page's scripts and styles, and nothing else."""

    def __init__(self):
        self._files = {
            name: Fixed((FOLDER / path).read_bytes(), content_type, _PAGE_CACHING)
            for name, (path, content_type) in _ASSETS.items()
        }

    def on_get(self, req: Request, resp: Response, asset: str):
        """Send one of them, or 304."""
        file = self._files.get(asset)
        if file is None:
            raise NotFound()
        file.on_get(req, resp)
