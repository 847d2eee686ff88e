"""The examples of the README and docs/calling.md, run against the running programs: a page's commands by one shell."""

import os
import re
import subprocess
import sys
import uuid

import pytest

from tests.system.conftest import ROOT
from tests.system.proxy import ScriptedProxy, answer_500, drop_after

MARK = "=== next block ==="

README = ROOT / "README.md"
CALLING = ROOT / "docs" / "calling.md"


def examples(page, language="sh"):
    """Return [(code, expected output or "")] of a page, in order."""
    return re.findall(rf"```{language}\n(.*?)```\n(?:```\n(.*?)```)?", page.read_text(), re.DOTALL)


def matches(expected, output):
    """Return whether the output is the expected one, where `…` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def run_shell(blocks, stack, directory, **bases):
    """Run blocks by one shell, against the stack or what is named in its place, and return the process."""
    addresses = {"3001": stack.customers, "3002": stack.orders, "3003": bases.get("orchestrator", stack.orchestrator)}
    script = "set -eu\n" + f"\necho; echo '{MARK}'\n".join(blocks)
    for port, base in addresses.items():
        script = script.replace(f"http://127.0.0.1:{port}", base)
    return subprocess.run(
        ["bash", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def outputs_of(shell):
    assert shell.returncode == 0, shell.stderr
    return [output.replace("\r", "").strip() for output in shell.stdout.split(MARK)]


LOG_IN = examples(README)[0]


@pytest.mark.parametrize("blocks", [examples(README), [LOG_IN, *examples(CALLING)]], ids=["README", "calling"])
def test_each_command_gives_the_answer_that_stands_below_it(stack, tmp_path, blocks):
    shell = run_shell([commands for commands, _ in blocks], stack, tmp_path)

    outputs = outputs_of(shell)
    assert len(outputs) == len(blocks) > 5
    wrong = [
        (expected, output)
        for (_, expected), output in zip(blocks, outputs, strict=True)
        if not matches(expected, output)
    ]
    assert wrong == []


def test_table_of_codes_is_the_documents():
    documents = "".join(path.read_text() for path in ROOT.glob("openapi/*.yaml"))
    documented = set(re.findall(r"^ +\| `([a-z_]+)` \| ([0-9]{3}) \|", documents, re.MULTILINE))
    rows = re.findall(r"^\| ([0-9]{3}) \| (.*) \|$", CALLING.read_text(), re.MULTILINE)

    assert {(code, status) for status, codes in rows for code in re.findall("[a-z_]+", codes)} == documented


def test_pages_name_files_that_are_there():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md"]
    folders = "aws|bench|common|customers|dev|docs|lambda_orchestrator|openapi|orders|postman|sql|tests"
    missing = [
        (page.name, target)
        for page in pages
        for text in [page.read_text()]
        for base, pattern in [(page.parent, r"\]\(([^):#]+)(?:#[^)]*)?\)"), (ROOT, rf"`((?:{folders})/[\w./-]+)`")]
        for target in re.findall(pattern, text)
        if not (base / target).exists()
    ]

    assert missing == []
    assert len(pages) > 7


# --- for callers -----------------------------------------------------------------------


@pytest.fixture
def log_in_and_order():
    """The commands that log in, and those that order once with curl."""
    (order,) = [commands for commands, _ in examples(CALLING) if "--retry-all-errors" in commands]
    return [LOG_IN[0], order]


@pytest.mark.parametrize("loss", [drop_after, answer_500])
def test_curl_orders_once_though_an_answer_is_lost_and_it_is_run_again(
    stack, operator, tmp_path, log_in_and_order, loss
):
    (newest,) = operator.get(stack.orders, "/orders", limit=1)["data"] or [{"id": 0}]
    with ScriptedProxy(stack.orchestrator) as orchestrator:
        orchestrator.script("POST", "/orchestrator/.*", loss, times=1)
        runs = [run_shell(log_in_and_order, stack, tmp_path, orchestrator=orchestrator.base) for _ in range(2)]
        tries = orchestrator.count("POST", "/orchestrator/.*")

    orders = operator.get(stack.orders, "/orders", customer_id=1)["data"]
    assert [outputs_of(run)[-1] for run in runs] == ["ordered", "ordered"]
    assert tries == 3
    assert len([order for order in orders if order["id"] > newest["id"]]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda order: order.replace('qty\\": 1', 'qty\\": 99999'),
            'order less, which may have the same key:\n{…"requested"…}',
        ),
        (lambda order: f"TOKEN=ended\n{order}", "log in again, then run this again"),
        (
            lambda order: order.replace(":3003", ":1").replace("--retry 5", "--retry 0"),
            "the outcome is unknown: run this again",
        ),
    ],
    ids=["refused", "ended token", "nobody there"],
)
def test_curl_decides_on_the_answer_and_on_no_earlier_one(stack, tmp_path, log_in_and_order, change, said):
    log_in, order = log_in_and_order
    (tmp_path / "answer.json").write_text('{"success": true}')

    shell = run_shell([log_in, change(order)], stack, tmp_path)

    assert matches(said, outputs_of(shell)[-1])


@pytest.mark.parametrize(("code", "expected"), examples(CALLING, "python"), ids=["ordering", "following"])
def test_python_for_callers_prints_what_stands_below_it(stack, tmp_path, code, expected):
    environ = {"B2B_CUSTOMERS": stack.customers, "B2B_ORDERS": stack.orders, "B2B_ORCHESTRATOR": stack.orchestrator}
    environ = {**os.environ, **environ, "PYTHONPATH": str(ROOT / "docs")}
    # The stack keeps the orders of other runs, and a reference is good for one.
    code = code.replace("PO-47", f"{uuid.uuid4()}-")

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert matches(expected, run.stdout), run.stdout
