"""The Postman collection: it is what the documents make it, and newman runs all of it against the stack."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.system.conftest import ROOT

COLLECTION = ROOT / "postman" / "b2b-orders.postman_collection.json"
ENVIRONMENT = ROOT / "postman" / "b2b-orders.postman_environment.json"
NAMES = ("customers", "orders", "orchestrator")
SERVICE_TOKEN = "development-only-service-token-0123456789"


def generate(directory, root=ROOT):
    """Run the generator to its end and return the process."""
    command = ["node", root / "postman" / "generate.mjs", directory]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def files_in(directory):
    """Return the bytes of the two files."""
    return [(directory / path.name).read_bytes() for path in (COLLECTION, ENVIRONMENT)]


@pytest.fixture
def copied(tmp_path):
    """A place with the generator and its documents, to change them."""
    for folder in ("openapi", "postman"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


def change_orders(root, change):
    """Let `change` alter the document of the Orders API in a copied place."""
    path = root / "openapi" / "orders.json"
    document = json.loads(path.read_text())
    change(document["paths"])
    path.write_text(json.dumps(document))


def requests_of(item):
    """Return the requests below a folder in order, as [(name, item)]."""
    return [found for child in item.get("item", []) for found in requests_of(child)] or [(item["name"], item)]


def documented_operations():
    """Return {(method, path)} of the three documents, but for those of the documentation page."""
    documents = [json.loads((ROOT / "openapi" / f"{name}.json").read_text()) for name in NAMES]
    return sorted(
        (name, method.upper(), path)
        for name, document in zip(NAMES, documents, strict=True)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and "Documentation" not in operation["tags"]
    )


class Newman:
    """One run of the collection."""

    def __init__(self, stack, directory, *options):
        report = directory / "report.json"
        variables = {
            "customersUrl": stack.customers,
            "ordersUrl": stack.orders,
            "orchestratorUrl": stack.orchestrator,
            "serviceToken": SERVICE_TOKEN,
        }
        command = [ROOT / "node_modules" / ".bin" / "newman", "run", COLLECTION, "--environment", ENVIRONMENT]
        command += ["--reporters", "json", "--reporter-json-export", report, "--timeout-request", "30000"]
        command += [option for name, value in variables.items() for option in ("--env-var", f"{name}={value}")]
        environ = {**os.environ, "NO_PROXY": "127.0.0.1"}
        self.process = subprocess.run(
            [*command, *options], env=environ, capture_output=True, text=True, timeout=100, check=False
        )
        self.run = json.loads(report.read_text())["run"]
        self.sent = [execution["item"]["name"] for execution in self.run["executions"]]
        self.statuses = [execution["response"]["code"] for execution in self.run["executions"]]
        self.hosts = {
            f"http://{'.'.join(url['host'])}:{url['port']}"
            for url in (execution["request"]["url"] for execution in self.run["executions"])
        }
        self.failures = [
            (failure["source"]["name"], failure["error"]["test"], failure["error"]["message"])
            for failure in self.run["failures"]
        ]
        self.assertions = self.run["stats"]["assertions"]


@pytest.fixture(scope="module")
def collection():
    return json.loads(COLLECTION.read_text())


# --- the two files ---------------------------------------------------------------------


def test_committed_files_are_what_the_documents_make_now(tmp_path):
    run = generate(tmp_path)

    assert (run.returncode, run.stderr) == (0, "")
    assert files_in(tmp_path) == files_in(COLLECTION.parent), "run `make postman`"


def rename_confirmation(paths):
    paths["/orders/{order_id}/confirm"]["post"]["operationId"] = "approve_order"


def rename_order_id(paths):
    paths["/orders/{order_id}"]["parameters"] = [
        {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    ]


def drop_bodies(paths):
    del paths["/products"]["post"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_confirmation, 'the flow\'s "Confirm the order": no operation orders.confirm_order in the documents'),
        (rename_order_id, "get_order: no value for number; add it to PARAMETERS"),
        (drop_bodies, "not in the documents any more: create_product"),
    ],
    ids=["operation of the flow", "parameter without a value", "operation of the tables"],
)
def test_document_that_no_longer_fits_stops_the_generator(copied, change, message):
    change_orders(copied, change)
    before = files_in(copied / "postman")

    run = generate(copied / "postman", root=copied)

    assert run.returncode == 1
    assert f"Error: {message}" in run.stderr
    assert files_in(copied / "postman") == before


def test_documentation_page_is_left_out(copied):
    page = {
        "operationId": "docs",
        "tags": ["Documentation"],
        "security": [],
        "responses": {"200": {"description": "."}},
    }
    change_orders(copied, lambda paths: paths.update({"/docs": {"get": page}}))

    run = generate(copied / "postman", root=copied)

    assert (run.returncode, run.stderr) == (0, "")
    assert files_in(copied / "postman") == files_in(COLLECTION.parent)


def test_every_operation_is_in_the_folder_of_its_document(collection):
    folders = dict(zip(NAMES, collection["item"][1:], strict=True))

    found = sorted(
        (name, item["request"]["method"], "/" + re.sub(r":(\w+)", r"{\1}", "/".join(item["request"]["url"]["path"])))
        for name, folder in folders.items()
        for _, item in requests_of(folder)
    )

    assert found == documented_operations()
    assert len(found) > 20


def test_every_variable_is_in_the_environment(collection):
    named = set(re.findall(r"{{(\w+)}}", COLLECTION.read_text()))
    stored = set(re.findall(r'pm\.environment\.[gs]et\(\\"(\w+)\\"', COLLECTION.read_text()))

    environment = {variable["key"] for variable in json.loads(ENVIRONMENT.read_text())["values"]}

    assert named | stored == environment


def test_environment_holds_no_token():
    variables = json.loads(ENVIRONMENT.read_text())["values"]

    secrets = {variable["key"]: variable["value"] for variable in variables if variable["type"] == "secret"}

    assert secrets == {"password": "demo-password", "token": "", "serviceToken": ""}


# --- newman ----------------------------------------------------------------------------


def test_every_request_succeeds_twice_in_a_row(stack, collection, tmp_path):
    items = requests_of(collection)
    written = [line for _, item in items for event in item["event"] for line in event["script"]["exec"]]

    runs = [Newman(stack, tmp_path), Newman(stack, tmp_path)]

    assert [run.failures for run in runs] == [[], []]
    assert [run.process.returncode for run in runs] == [0, 0]
    for run in runs:
        assert run.sent == [name for name, _ in items]
        assert run.assertions == {"total": sum("pm.test(" in line for line in written), "pending": 0, "failed": 0}
        assert run.hosts == {stack.customers, stack.orders, stack.orchestrator}
    assert len(items) > 50
    assert runs[0].assertions["total"] > 80


def test_refused_request_fails_the_run(stack, tmp_path):
    run = Newman(stack, tmp_path, "--folder", "Customers", "--env-var", "token=none")

    assert run.process.returncode == 1
    assert set(run.statuses) == {401}
    assert len(run.failures) == len(run.sent) == 5
