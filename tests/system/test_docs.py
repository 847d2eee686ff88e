"""The page `/docs` of both services in a real browser: what it shows, its log-in, calls, and what it must not do."""

import json
import re
import uuid

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.system.conftest import ROOT

CHROMIUM = ROOT / ".local" / "chromium" / "chromium"  # made by dev/install
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # Nothing but this machine, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
WAIT_MILLISECONDS = 60_000
expect.set_options(timeout=WAIT_MILLISECONDS)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    # For this module alone: while it runs, its event loop is this thread's.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Docs:
    """The page as a reader has it open."""

    def __init__(self, page, base):
        self.page, self.base = page, base
        self.foreign = []  # requests to any other address
        self.errors = []  # in the console, and those that no one caught
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("request", self._note)
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{base}/docs")
        expect(page.locator(".opblock").first).to_be_visible()
        expect(self.button("Log in")).to_be_enabled()

    def _note(self, request):
        if not request.url.startswith((f"{self.base}/", "data:")):
            self.foreign.append(request.url)

    def button(self, name):
        return self.page.locator("header").get_by_role("button", name=name)

    def call(self, operation_id, parameters):
        """Open an operation, fill it in, send it, and return (status, parsed body)."""
        box = self.page.locator(f".opblock[id$='-{operation_id}']")
        box.locator(".opblock-summary-control").click()
        box.get_by_role("button", name="Try it out").click()
        for name, value in parameters.items():
            box.locator(f"[data-param-name='{name}'] input[type=text]").fill(value)
        box.get_by_role("button", name="Execute").click()
        row = box.locator(".live-responses-table tr.response")
        status = row.locator(".response-col_status").inner_text()
        return int(status.split()[0]), json.loads(row.locator("pre code").first.text_content())


@pytest.fixture
def open_docs(browser, stack):
    """`open_docs(service)` opens the page; at the end it has asked no other address and met no error but refusals."""
    contexts, opened = [], []

    def open_docs(service):
        contexts.append(browser.new_context(viewport=DESKTOP))
        opened.append(Docs(contexts[-1].new_page(), getattr(stack, service)))
        return opened[-1]

    yield open_docs
    for context in contexts:
        context.close()
    for docs in opened:
        assert docs.foreign == []
        assert [text for text in docs.errors if "the server responded with a status of" not in text] == []


def test_page_never_scrolls_sideways(open_docs):
    # In these is every kind of what operations have: bodies and their examples, parameters of each
    # place, fields that exclude each other, links.
    operation_ids = ["update_product", "list_orders", "health_ready"]
    docs = open_docs("orders")
    for operation_id in operation_ids:
        docs.page.locator(f".opblock[id$='-{operation_id}'] .opblock-summary-control").click()
    expect(docs.page.locator(".opblock .responses-table")).to_have_count(len(operation_ids))

    for viewport in (DESKTOP, PHONE):
        docs.page.set_viewport_size(viewport)
        assert docs.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_wrong_password_is_refused_in_words_and_is_in_no_log(open_docs, stack):
    password = uuid.uuid4().hex
    docs = open_docs("orders")  # which asks Customers

    docs.page.get_by_label("Password").fill(password)
    docs.button("Log in").click()

    expect(docs.page.get_by_role("status")).to_have_text("The username or the password is wrong.")
    expect(docs.page.locator("#log-in")).to_be_visible()
    assert password not in "".join(stack.log)


def test_calls_have_the_token_until_the_operator_logs_out_and_nothing_keeps_it(open_docs, stack, operator):
    docs = open_docs("orders")
    docs.button("Log in").click()
    expect(docs.page.locator("#who")).to_have_text(re.compile(r"^Logged in as demo until [0-9]{2}:[0-9]{2}( [AP]M)?$"))

    answer = docs.call("list_products", {"limit": "2"})
    kept = docs.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    docs.button("Log out").click()
    expect(docs.button("Log in")).to_be_enabled()
    left = docs.page.content()
    status, problem = docs.call("list_products", {"limit": "2"})

    assert answer == (200, operator.get(stack.orders, "/products", limit=2))
    assert (kept, "Bearer ey" in left) == ([0, 0, ""], False)
    assert (status, problem["code"]) == (401, "authentication_required")
