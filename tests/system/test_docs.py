"""The page `/docs` of both services in a real browser: what it shows, its log-in, calls, and what it must not do."""

import json
import re
import uuid
from contextlib import contextmanager

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from tests.system import proxy
from tests.system.conftest import ROOT

CHROMIUM = ROOT / ".local" / "chromium" / "chromium"  # made by dev/install-chromium
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # Nothing but this machine, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
METHODS = ("get", "put", "post", "patch", "delete")
SERVICE_TOKEN = "development-only-service-token-0123456789"

SERVICES = ("customers", "orders")
for_every_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def browser():
    # For this module alone: while it runs, its event loop is this thread's.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Docs:
    """The page as a reader has it open; `refused` are the statuses that its calls are expected to be refused with."""

    def __init__(self, page, base):
        self.page, self.base = page, base
        self.foreign = []  # requests to any other address
        self.messages = []  # of the console, and errors that no one caught
        page.on("request", self._note)
        page.on("console", lambda message: self.messages.append((message.type, message.text)))
        page.on("pageerror", lambda error: self.messages.append(("error", str(error))))

    def _note(self, request):
        if not request.url.startswith((f"{self.base}/", "data:")):
            self.foreign.append(request.url)

    def open(self, fragment=""):
        """Load the page and wait until all of it is there."""
        self.page.goto(f"{self.base}/docs{fragment}")
        expect(self.page.locator(".opblock").first).to_be_visible()
        expect(self.page.get_by_role("button", name="Log in")).to_be_enabled()
        return self

    def log_in(self, **fields):
        """Send the form, in which the demo operator is filled in, with other fields if told."""
        for label, value in fields.items():
            self.page.get_by_label(label).fill(value)
        self.page.get_by_role("button", name="Log in").click()

    def operation(self, operation_id):
        """Return an operation's box."""
        return self.page.locator(f".opblock[id$='-{operation_id}']")

    def call(self, operation_id, body=None, parameters=()):
        """Open an operation, fill it in, send it, and return (status, parsed body)."""
        box = self.operation(operation_id)
        box.locator(".opblock-summary-control").click()
        box.get_by_role("button", name="Try it out").click()
        for name, value in dict(parameters).items():
            box.locator(f"[data-param-name='{name}'] input[type=text]").fill(value)
        if body is not None:
            box.locator("textarea.body-param__text").fill(json.dumps(body))
        box.get_by_role("button", name="Execute").click()
        return self.answer(operation_id)

    def call_again(self, operation_id):
        """Send an operation that is filled in already once more."""
        box = self.operation(operation_id)
        box.get_by_role("button", name="Clear", exact=True).click()
        box.get_by_role("button", name="Execute").click()
        return self.answer(operation_id)

    def answer(self, operation_id):
        """Return (status, parsed body) of the answer that is shown."""
        row = self.operation(operation_id).locator(".live-responses-table tr.response")
        status = row.locator(".response-col_status").inner_text()
        return int(status.split()[0]), json.loads(row.locator("pre code").first.text_content())


@contextmanager
def visits(browser, stack):
    """Yield a function that opens the page; at the end there was no foreign request and no word in the console."""
    contexts, opened = [], []

    def open_docs(service, fragment="", before=lambda page: None, refused=()):
        contexts.append(browser.new_context(viewport=DESKTOP))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        before(page)
        docs = Docs(page, getattr(stack, service))
        opened.append((docs, refused))
        return docs.open(fragment)

    yield open_docs
    for context in contexts:
        context.close()
    for docs, refused in opened:
        assert docs.foreign == []
        # The browser itself says so of each call that is answered with such a status.
        told = [("error", f"Failed to load resource: the server responded with a status of {s}") for s in refused]
        said = [(kind, re.sub(r" \([^()]*\)$", "", text)) for kind, text in docs.messages]
        assert [message for message in said if message not in told] == []


@pytest.fixture
def open_docs(browser, stack):
    """`open_docs(service, …)` opens the page."""
    with visits(browser, stack) as open_docs:
        yield open_docs


# Each takes Swagger UI a moment to open. In these is every kind of what operations have: bodies and
# their examples, parameters of each place, fields that exclude each other, links, text that is no JSON.
OPENED = {
    "customers": ["issue_token", "create_customer", "delete_customer", "get_contract"],
    "orders": ["update_product", "create_order", "list_orders", "get_documentation_asset", "health_ready"],
}


@pytest.fixture(scope="module")
def pages(browser, stack):
    """{service: its page with the operations of OPENED open}, to look at."""
    with visits(browser, stack) as open_docs:
        pages = {service: open_docs(service) for service in SERVICES}
        for service, docs in pages.items():
            for operation_id in OPENED[service]:
                docs.operation(operation_id).locator(".opblock-summary-control").click()
        for service, docs in pages.items():
            expect(docs.page.locator(".opblock .responses-table")).to_have_count(len(OPENED[service]), timeout=60_000)
        yield {service: docs.page for service, docs in pages.items()}


def read_document(stack, service):
    return requests.get(f"{getattr(stack, service)}/openapi.json", timeout=30).json()


def operations_of(document):
    """Return [(method, path, summary)] as a reader expects them: tag by tag, as in the document."""
    return [
        (method.upper(), path, item[method]["summary"])
        for tag in document["tags"]
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS and tag["name"] in item[method]["tags"]
    ]


@for_every_service
def test_make_run_says_where_the_page_is(stack, service):
    assert f"   to read and try: {getattr(stack, service)}/docs\n" in "".join(stack.log)


# --- what it shows ---------------------------------------------------------------------


@for_every_service
def test_page_shows_every_operation_in_the_order_of_the_document(pages, stack, service):
    shown = (
        pages[service]
        .locator(".opblock")
        .evaluate_all(
            """boxes => boxes.map(box => [
          box.querySelector(".opblock-summary-method").textContent,
          box.querySelector("[data-path]").dataset.path,
          box.querySelector(".opblock-summary-description").textContent,
        ])"""
        )
    )

    assert [tuple(operation) for operation in shown] == operations_of(read_document(stack, service))


@for_every_service
def test_operation_that_is_opened_is_described(pages, stack, service):
    paths = read_document(stack, service)["paths"]
    operations = [item[method] for item in paths.values() for method in METHODS if method in item]
    descriptions = {operation["operationId"]: operation["description"].replace("`", "") for operation in operations}

    shown = pages[service].locator(".opblock-description").all_inner_texts()

    assert [text.strip() for text in shown] == [descriptions[operation_id] for operation_id in OPENED[service]]
    # What Swagger UI says of a part that it fails at.
    expect(pages[service].get_by_text("Could not render")).to_have_count(0)
    expect(pages[service].locator(".errors-wrapper")).to_have_count(0)


@for_every_service
def test_description_has_its_headings_tables_and_examples(pages, stack, service):
    description = read_document(stack, service)["info"]["description"]
    info = pages[service].locator(".info .description")

    headings = info.locator("h2").all_inner_texts()
    rows = info.locator("tr").count()
    examples = info.locator("pre").count()

    assert headings == re.findall("^## (.*)$", description, re.MULTILINE)
    assert rows == len(re.findall(r"^\| ", description, re.MULTILINE)) > 20
    assert examples == len(re.findall("^```http$", description, re.MULTILINE)) > 10
    assert info.locator("td").first.evaluate("cell => getComputedStyle(cell).borderTopWidth") == "1px"


@for_every_service
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_never_scrolls_sideways(pages, service, viewport):
    pages[service].set_viewport_size(viewport)

    assert pages[service].evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_address_of_an_operation_opens_it(open_docs):
    docs = open_docs("orders", fragment="#/Operation/health")

    expect(docs.operation("health").get_by_role("button", name="Try it out")).to_be_visible()


# --- log-in ----------------------------------------------------------------------------


@for_every_service
def test_demo_operator_is_filled_in_and_a_log_in_says_who_it_is_and_until_when(open_docs, service):
    docs = open_docs(service)
    expect(docs.page.get_by_text("In development the demo operator is demo / demo-password.")).to_be_visible()

    docs.page.get_by_role("button", name="Log in").click()

    expect(docs.page.locator("#who")).to_have_text(re.compile(r"^Logged in as demo until [0-9]{2}:[0-9]{2}( [AP]M)?$"))
    expect(docs.page.locator("#log-in")).to_be_hidden()


@for_every_service
def test_wrong_password_is_refused_in_words_and_is_in_no_log(open_docs, stack, service):
    password = uuid.uuid4().hex
    docs = open_docs(service, refused=[401])

    docs.log_in(Password=password)

    expect(docs.page.get_by_role("status")).to_have_text("The username or the password is wrong.")
    expect(docs.page.locator("#log-in")).to_be_visible()
    assert password not in "".join(stack.log)


def test_username_that_can_be_none_is_refused_in_words(open_docs):
    docs = open_docs("customers", refused=[400])

    docs.log_in(Username="de mo")

    expect(docs.page.get_by_role("status")).to_have_text("username does not have the required form")


def test_log_in_at_orders_while_customers_is_away_is_refused_in_words(open_docs, stack):
    stack.customers_proxy.script("POST", "/auth/token", proxy.drop)
    docs = open_docs("orders", refused=[503])

    docs.log_in()

    expect(docs.page.get_by_role("status")).to_have_text(
        "The Customers API does not answer as it should; nothing was written."
    )


def test_token_is_gone_with_the_page(open_docs):
    docs = open_docs("customers")
    docs.log_in()
    expect(docs.page.locator("#who")).to_be_visible()

    kept = docs.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    docs.open()

    assert kept == [0, 0, ""]
    expect(docs.page.locator("#log-in")).to_be_visible()


def test_page_logs_out_by_itself_when_the_token_expires(open_docs):
    docs = open_docs("customers", before=lambda page: page.clock.install())
    docs.log_in()
    expect(docs.page.locator("#who")).to_be_visible()

    docs.page.clock.fast_forward("02:00:01")

    expect(docs.page.get_by_role("status")).to_have_text("The token has expired. Log in again.")
    expect(docs.page.locator("#log-in")).to_be_visible()


# --- calls -----------------------------------------------------------------------------


def test_list_of_customers_is_the_real_one_and_401_after_logging_out(open_docs, stack, operator):
    docs = open_docs("customers", refused=[401])
    docs.log_in()
    expect(docs.page.locator("#who")).to_be_visible()

    status, body = docs.call("list_customers", parameters={"limit": "2"})
    docs.page.get_by_role("button", name="Log out").click()
    expect(docs.page.locator("#log-in")).to_be_visible()
    expect(docs.page.get_by_role("button", name="Log in")).to_be_enabled()
    left = docs.page.content()
    refused, problem = docs.open().call("list_customers", parameters={"limit": "2"})

    assert "Bearer ey" not in left
    assert (status, body) == (200, operator.get(stack.customers, "/customers", limit=2))
    assert (refused, problem["code"]) == (401, "authentication_required")


def test_button_leads_past_the_text_to_the_operations(open_docs):
    docs = open_docs("orders")

    docs.page.get_by_role("button", name="Operations").click()

    expect(docs.operation("create_product")).to_be_in_viewport()


def test_list_of_products_is_the_real_one(open_docs, stack, operator):
    docs = open_docs("orders")
    docs.log_in()
    expect(docs.page.locator("#who")).to_be_visible()

    answer = docs.call("list_products", parameters={"limit": "2"})

    assert answer == (200, operator.get(stack.orders, "/products", limit=2))


def test_order_is_made_and_a_repeat_with_its_key_is_a_replay(open_docs, shop):
    docs = open_docs("orders")
    docs.log_in()
    expect(docs.page.locator("#who")).to_be_visible()
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 2}]}

    status, body = docs.call("create_order", order, {"X-Idempotency-Key": uuid.uuid4().hex})
    again = docs.call_again("create_order")

    assert (status, body["customer"]) == (201, shop.customer_snapshot)
    assert again == (201, body)
    assert "idempotent-replayed: true" in docs.operation("create_order").locator(".live-responses-table").inner_text()
    assert [made["id"] for made in shop.orders()] == [body["id"]]


def test_service_token_can_be_typed_into_the_dialog(open_docs, shop):
    docs = open_docs("customers")
    docs.page.get_by_role("button", name="Authorize", exact=True).first.click()
    dialog = docs.page.locator(".auth-container", has_text="serviceToken")
    dialog.locator("input").fill(SERVICE_TOKEN)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close", exact=True).click()

    answer = docs.call("get_internal_customer", parameters={"customer_id": str(shop.customer["id"])})

    assert answer == (200, shop.customer_snapshot)
    expect(docs.page.locator("#who")).to_have_text("Where the service token is taken, that is sent")
    docs.page.get_by_role("button", name="Log out").click()
    expect(docs.page.locator("#log-in")).to_be_visible()


# --- what it must not do ---------------------------------------------------------------


@for_every_service
def test_policy_keeps_the_page_from_any_other_address(browser, stack, service):
    page = browser.new_page()
    docs = Docs(page, getattr(stack, service)).open()

    outcome = page.evaluate(f"fetch('{stack.orchestrator}/health').then(() => 'sent', () => 'kept back')")
    script = page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'})) || window.ran"
    )
    page.close()

    assert (outcome, script) == ("kept back", None)
    assert docs.foreign == []
    refusals = re.findall(r'Content Security Policy directive \W*([a-z-]+)|directive: "([a-z-]+)', str(docs.messages))
    assert {"".join(names) for names in refusals} == {"connect-src", "script-src"}
