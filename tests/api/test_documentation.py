"""The contract where it is served: `/openapi.json`, the page `/docs` and its files, and the page's log-in."""

import dataclasses

import pytest

from common import documentation
from common.contract import load
from common.problems import CustomersUnavailable, InvalidCredentials
from tests.conftest import ROOT
from tests.contract_client import refusal

SERVICES = ["customers", "orders"]
FILES = {
    "docs.css": "common/docs/docs.css",
    "docs.js": "common/docs/docs.js",
    "swagger-ui.css": "node_modules/swagger-ui-dist/swagger-ui.css",
    "swagger-ui-bundle.js": "node_modules/swagger-ui-dist/swagger-ui-bundle.js",
}
PATHS = ["/openapi.json", "/docs", *(f"/docs/{name}" for name in FILES)]
DEMO_CREDENTIALS = {"username": "demo", "password": "demo-password"}

for_every_service = pytest.mark.parametrize("service", SERVICES)
for_every_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def make_api(make_customers_api, make_orders_api):
    """`make_api(service, …)` returns a client without a token of a service with these settings."""
    makers = {"customers": make_customers_api, "orders": make_orders_api}
    return lambda service, **options: makers[service](**options)


@pytest.fixture
def api(service, make_api):
    return make_api(service)


# --- the document ----------------------------------------------------------------------


@for_every_service
def test_document_is_the_contract_with_the_address_it_is_read_from(api, service):
    response = api.get("/openapi.json", token=None)

    assert response.json == {**load(service), "servers": [{"url": "/"}]}
    assert response.headers["Content-Type"] == "application/json"


@for_every_service
@for_every_path
def test_content_that_is_still_the_same_is_304_and_has_no_body(api, path):
    first = api.get(path, token=None)

    again = api.get(path, token=None, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, again.status_code) == (200, 304)
    assert again.content == b""
    for name in ("ETag", "Cache-Control"):
        assert again.headers[name] == first.headers[name]


@for_every_service
@for_every_path
def test_content_of_another_version_is_sent_again(api, path):
    response = api.get(path, token=None, headers={"If-None-Match": '"an-older-version"'})

    assert response.status_code == 200
    assert response.content


def test_entity_tags_are_of_the_content(make_api):
    tags = {(service, path): make_api(service).get(path).headers["ETag"] for service in SERVICES for path in PATHS}

    assert tags["customers", "/openapi.json"] != tags["orders", "/openapi.json"]
    assert tags["customers", "/docs"] != tags["orders", "/docs"]
    assert tags["customers", "/docs/docs.js"] == tags["orders", "/docs/docs.js"]
    assert len({tags["orders", path] for path in PATHS}) == len(PATHS)


# --- the page --------------------------------------------------------------------------


@for_every_service
def test_page_may_run_and_load_nothing_but_its_own_files(api):
    response = api.get("/docs", token=None)

    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy.keys() == {
        "script-src", "style-src", "connect-src", "base-uri", "form-action", "frame-ancestors",
    }  # fmt: skip
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


@for_every_service
@for_every_path
def test_browser_takes_the_content_for_nothing_else(api, path):
    assert api.get(path, token=None).headers["X-Content-Type-Options"] == "nosniff"


@for_every_service
@pytest.mark.parametrize(("name", "source"), FILES.items())
def test_files_are_served_byte_for_byte(api, name, source):
    response = api.get(f"/docs/{name}", token=None)

    assert response.content == (ROOT / source).read_bytes()


@for_every_service
def test_page_names_the_demo_operator_in_development(api):
    text = api.get("/docs", token=None).text

    assert 'value="demo-password"' in text
    assert "<code>demo-password</code>" in text


@for_every_service
def test_page_names_no_operator_in_production(make_api, service, settings):
    production = dataclasses.replace(settings, app_env="production")

    text = make_api(service, settings=production).get("/docs", token=None).text

    assert "demo" not in text
    assert 'name="username" autocomplete="username" required maxlength="64" value=""' in text


@for_every_service
def test_no_request_reads_a_file(api, monkeypatch, tmp_path):
    monkeypatch.setattr(documentation, "FOLDER", tmp_path)

    assert [api.get(path).status_code for path in PATHS] == [200] * len(PATHS)


# --- what is refused -------------------------------------------------------------------


@for_every_service
@pytest.mark.reaches("not_found")
@pytest.mark.parametrize(
    "path",
    [
        "/docs/",
        "/docs/index.html",
        "/docs/LICENSE",
        "/docs/swagger-ui",
        "/docs/swagger-ui/swagger-ui.css",
        "/docs/docs.css/",
        "/docs/DOCS.CSS",
        "/docs/../documentation.py",
        "/docs/..",
        "/docs/..%2fdocumentation.py",
        "/docs/%2e%2e/documentation.py",
        "/docs/%2fetc%2fpasswd",
        "/docs/docs.css%00",
        "/openapi.yaml",
    ],
)
def test_path_that_is_no_file_of_the_page_is_404(api, path):
    assert refusal(api.get(path, token=None)) == (404, "not_found")


@for_every_service
@for_every_path
@pytest.mark.reaches("invalid_request")
def test_unknown_parameter_is_400(api, path):
    assert refusal(api.get(path, token=None, query_string="url=https://elsewhere.example")) == (400, "invalid_request")


@for_every_service
@for_every_path
@pytest.mark.reaches("method_not_allowed")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_405(api, path, method):
    response = api.request(method, path, token=None)

    assert refusal(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, OPTIONS"


@for_every_service
@for_every_path
@pytest.mark.reaches("not_found")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page_that_is_off_is_404_as_any_unknown_path(make_api, settings, service, path, method):
    off = make_api(service, settings=dataclasses.replace(settings, api_docs=False))

    response = off.request(method, path, token=None)
    unknown = off.request(method, "/nowhere", token=None)

    assert refusal(response) == refusal(unknown) == (404, "not_found")
    assert response.headers.keys() == unknown.headers.keys()


@for_every_service
def test_service_whose_page_is_off_works_without_its_files(make_api, settings, service, monkeypatch):
    monkeypatch.setattr(documentation, "FILES", [ROOT / "nowhere"])
    own = dataclasses.replace(settings, api_docs=False, order_ttl_seconds=12_345)  # no app that was kept has it

    assert make_api(service, settings=own).get("/health").status_code == 200


# --- the log-in of the page of Orders --------------------------------------------------


def test_log_in_is_passed_on_with_the_request_id_and_without_the_service_token(orders_api, stub_customers):
    response = orders_api.post("/docs/token", json=DEMO_CREDENTIALS, token=None, headers={"X-Request-ID": "abc"})

    assert response.json == {"token": "a.b.c", "token_type": "Bearer", "expires_in": 7200}
    assert response.headers["Cache-Control"] == "no-store"
    assert stub_customers.credentials == DEMO_CREDENTIALS
    assert stub_customers.headers == {"X-Request-ID": "abc"}


@pytest.mark.reaches("invalid_credentials")
def test_wrong_password_is_401(orders_api, stub_customers):
    stub_customers.problem = InvalidCredentials()

    response = orders_api.post("/docs/token", json=DEMO_CREDENTIALS, token=None)

    assert refusal(response) == (401, "invalid_credentials")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="b2b"'


@pytest.mark.reaches("customers_unavailable")
def test_log_in_while_customers_is_away_is_503(orders_api, stub_customers):
    stub_customers.problem = CustomersUnavailable()

    response = orders_api.post("/docs/token", json=DEMO_CREDENTIALS, token=None)

    assert refusal(response) == (503, "customers_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.reaches("invalid_request")
@pytest.mark.parametrize(
    "body", [{}, {"username": "demo"}, {**DEMO_CREDENTIALS, "role": "admin"}, {**DEMO_CREDENTIALS, "username": "a b"}]
)
def test_body_against_the_contract_is_400_and_asks_nobody(orders_api, stub_customers, body):
    response = orders_api.post("/docs/token", json=body, token=None)

    assert refusal(response) == (400, "invalid_request")
    assert "demo" not in response.text
    assert stub_customers.calls == 0


@pytest.mark.reaches("not_found")
def test_log_in_of_a_page_that_is_off_is_404_and_asks_nobody(make_orders_api, settings, stub_customers):
    off = make_orders_api(settings=dataclasses.replace(settings, api_docs=False))

    response = off.post("/docs/token", json=DEMO_CREDENTIALS, token=None)

    assert refusal(response) == (404, "not_found")
    assert stub_customers.calls == 0
