"""The README's examples, run in order against the running programs: commands by one shell, Python by one Python."""

import json
import os
import re
import subprocess
import sys
import uuid

import pytest

from tests.system.conftest import ROOT
from tests.system.proxy import ScriptedProxy, answer_500, drop, drop_after

MARK = "=== next block ==="


def examples(title, language):
    """Return [(code, expected output or "")] of one section."""
    section = (ROOT / "README.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```\n(?:```\n(.*?)```)?", section, re.DOTALL)


def matches(expected, output):
    """Return whether the output is the expected one, where `…` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def run_shell(blocks, stack, directory, **bases):
    """Run blocks by one shell, against the stack or what is named in its place, and return the process."""
    addresses = {"3001": stack.customers, "3002": stack.orders, "3003": bases.get("orchestrator", stack.orchestrator)}
    script = "shopt -s expand_aliases\nset -eu\n" + f"\necho; echo '{MARK}'\n".join(blocks)
    for port, base in addresses.items():
        script = script.replace(f"http://127.0.0.1:{port}", base)
    return subprocess.run(
        ["bash", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def outputs_of(shell):
    """Return what each block printed."""
    assert shell.returncode == 0, shell.stderr
    return [output.replace("\r", "").strip() for output in shell.stdout.split(MARK)]


def test_each_command_gives_the_answer_that_stands_below_it(stack, tmp_path):
    blocks = examples("Try it", "sh") + examples("For callers", "sh")

    shell = run_shell([commands for commands, _ in blocks], stack, tmp_path)

    outputs = outputs_of(shell)
    assert len(outputs) == len(blocks) > 13
    wrong = [
        (expected, output)
        for (_, expected), output in zip(blocks, outputs, strict=True)
        if not matches(expected, output)
    ]
    assert wrong == []


# --- for callers -----------------------------------------------------------------------


@pytest.fixture
def log_in_and_order():
    """The block of "Try it" that logs in, and the one for callers that orders once with curl."""
    return [examples("Try it", "sh")[0][0], examples("For callers", "sh")[1][0]]


@pytest.mark.parametrize("loss", [drop, drop_after, answer_500])
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


def test_curl_decides_on_the_code_of_a_refusal(stack, tmp_path, log_in_and_order):
    log_in, order = log_in_and_order

    shell = run_shell([log_in, order.replace('qty\\": 1', 'qty\\": 99999')], stack, tmp_path)

    verdict, problem = outputs_of(shell)[-1].split("\n")
    assert verdict == "order less, with a new key:"
    assert json.loads(problem)["items"][0]["requested"] == 99999


def test_curl_with_an_ended_token_asks_for_another(stack, tmp_path, log_in_and_order):
    log_in, order = log_in_and_order

    shell = run_shell([log_in, "TOKEN=ended\n" + order], stack, tmp_path)

    assert outputs_of(shell)[-1] == "log in again, then run this again"


def test_curl_that_reaches_nobody_says_so_whatever_an_earlier_answer_was(stack, tmp_path, log_in_and_order):
    log_in, order = log_in_and_order
    (tmp_path / "answer.json").write_text('{"success": true}')
    nobody = "http://127.0.0.1:1"

    shell = run_shell([log_in, order.replace("--retry 5", "--retry 0")], stack, tmp_path, orchestrator=nobody)

    assert outputs_of(shell)[-1] == "the outcome is unknown: run this again"


def test_python_for_callers_prints_what_stands_below_it(stack, tmp_path):
    _, (code, expected) = examples("For callers", "python")
    environ = {"B2B_CUSTOMERS": stack.customers, "B2B_ORDERS": stack.orders, "B2B_ORCHESTRATOR": stack.orchestrator}
    environ = {**os.environ, **environ, "PYTHONPATH": str(ROOT / "docs")}
    # The stack keeps the orders of other runs, and a reference is good for one.
    code = code.replace("PO-47", f"{uuid.uuid4()}-")

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert matches(expected, run.stdout), run.stdout


def test_python_that_is_shown_of_the_client_is_the_clients():
    (shown, _), _ = examples("For callers", "python")

    functions = shown.strip().split("\n\n\n")
    client = (ROOT / "docs" / "client.py").read_text()
    assert [function for function in functions if function not in client] == []
    assert len(functions) == 2
