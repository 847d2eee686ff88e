"""The contract where it is served: `/openapi.json`, the page `/docs` and its files, and the page's log-in."""

import dataclasses

import pytest

from common import documentation
from common.contract import load
from common.publication import published
from tests.contract_client import refusal

SERVICES = ["customers", "orders"]
OPERATIONS = ["/openapi.json", "/docs"]
ASSETS = [f"/docs/{path.relative_to(documentation.FOLDER)}" for path in documentation.FILES[1:]]

for_every_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def make_api(make_customers_api, make_orders_api):
    """`make_api(service, …)` returns a client without a token of a service with these settings."""
    makers = {"customers": make_customers_api, "orders": make_orders_api}
    return lambda service, **options: makers[service](**options)


@pytest.fixture
def api(service, make_api):
    return make_api(service)


# --- the document and the page ---------------------------------------------------------


@for_every_service
def test_document_is_what_is_published_of_the_contract(api, service):
    assert api.get("/openapi.json", token=None).json == published(load(service))


@for_every_service
@pytest.mark.parametrize("path", OPERATIONS)
def test_content_that_is_still_the_same_is_304_and_has_no_body(api, path):
    first = api.get(path, token=None)

    again = api.get(path, token=None, headers={"If-None-Match": first.headers["ETag"]})
    older = api.get(path, token=None, headers={"If-None-Match": '"an-older-version"'})

    assert (again.status_code, again.content) == (304, b"")
    assert (older.status_code, older.content) == (200, first.content)


@for_every_service
def test_page_may_run_and_load_nothing_but_its_own_files(api):
    policy = api.get("/docs", token=None).headers["Content-Security-Policy"]

    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
        "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip


@for_every_service
@pytest.mark.parametrize(("app_env", "is_filled_in"), [("development", True), ("production", False)])
def test_page_has_the_demo_operator_in_development_alone(make_api, service, settings, app_env, is_filled_in):
    text = make_api(service, settings=dataclasses.replace(settings, app_env=app_env)).get("/docs", token=None).text

    assert ('value="demo-password"' in text) is is_filled_in
    assert ("<code>demo-password</code>" in text) is is_filled_in


# --- its files -------------------------------------------------------------------------


@for_every_service
@pytest.mark.parametrize("path", ASSETS)
def test_file_is_asked_for_each_time_and_304_while_it_is_the_same(api, path):
    first = api.get(path, token=None)

    again = api.get(path, token=None, headers={"If-None-Match": first.headers["ETag"]})
    beyond = api.get(path, token=None, headers={"Range": "bytes=99999999-"})

    assert first.content == beyond.content == (documentation.FOLDER / path.removeprefix("/docs/")).read_bytes()
    assert first.headers["Cache-Control"] == "public, no-cache"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["X-Request-ID"]
    assert (again.status_code, again.content) == (304, b"")


def test_file_that_has_changed_has_another_address_whatever_its_size_and_time(
    make_api, settings, monkeypatch, tmp_path
):
    def page(script, **other):
        (tmp_path / "docs.js").write_text(script)
        monkeypatch.setattr(documentation, "FILES", [tmp_path / "docs.js"])
        return make_api("orders", settings=dataclasses.replace(settings, **other)).get("/docs", token=None).text

    # Other settings, so that no app that was kept has them.
    assert page("let a = 1", order_ttl_seconds=54_321) != page("let a = 2", order_ttl_seconds=54_322)


# --- what is refused -------------------------------------------------------------------


@for_every_service
@pytest.mark.parametrize(
    "path",
    [
        "/docs/swagger-ui",
        "/docs/../documentation.py",
        "/docs/..%2fdocumentation.py",
        "/docs/%2fetc%2fpasswd",
    ],
)
def test_path_that_is_no_file_of_the_page_is_404(api, path):
    assert refusal(api.get(path, token=None)) == (404, "not_found")


@for_every_service
@pytest.mark.parametrize("path", [*OPERATIONS, *ASSETS, "/docs/token"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page_that_is_off_is_404_as_any_unknown_path(make_api, settings, service, path, method):
    off = make_api(service, settings=dataclasses.replace(settings, api_docs=False))

    response = off.request(method, path, token=None)
    unknown = off.request(method, "/nowhere", token=None)

    assert refusal(response) == refusal(unknown) == (404, "not_found")
    assert response.headers.keys() == unknown.headers.keys()


def test_log_in_is_passed_on_with_the_request_id_and_without_the_service_token(orders_api, stub_customers):
    credentials = {"username": "demo", "password": "demo-password"}

    response = orders_api.post("/docs/token", json=credentials, token=None, headers={"X-Request-ID": "abc"})

    assert response.json == {"token": "a.b.c", "token_type": "Bearer", "expires_in": 7200}
    assert response.headers["Cache-Control"] == "no-store"
    assert stub_customers.credentials == credentials
    assert stub_customers.headers == {"X-Request-ID": "abc"}
