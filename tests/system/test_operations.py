"""docs/operations.md: its commands, run against the running programs, and what it says of metrics, alerts and codes."""

import os
import re
import subprocess

import customers.gauges
import orders.gauges
from common import metrics, metrics_page, problems
from orders.invariants import INVARIANTS
from tests.system.conftest import ROOT
from tests.system.test_readme import examples

PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text()


def run(stack, folder, script):
    """Run shell commands of the page in the repository, with the stack's settings and log."""
    log = folder / "log"
    log.write_text("".join(stack.log))
    for port, base in {"3001": stack.customers, "3002": stack.orders}.items():
        script = script.replace(f"http://127.0.0.1:{port}", base)
    script = script.replace("backup.sql.gz", str(folder / "backup.sql.gz"))
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT,
        env={**os.environ, **stack.environ, "LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_commands_work(stack, operator, shop, tmp_path):
    operator.orchestrate({**shop.order(), "correlation_id": "erp-4711"})

    shell = run(stack, tmp_path, "\n".join(commands for commands, _ in examples(PAGE)))

    assert shell.returncode == 0, shell.stderr
    for said in (
        "b2b_database_up 1.0",
        '"correlation_id": "erp-4711"',
        "it adds up",
        "SHOW FULL PROCESSLIST",
        "is good",
    ):
        assert said in shell.stdout


def test_query_names_the_order_that_took_the_last_piece(stack, operator, shop, tmp_path):
    orders = [operator.create(stack.orders, "/orders", shop.order_request(qty))["id"] for qty in (20, 30)]
    prepare, query = examples(PAGE)[0][0], next(block for block, _ in examples(PAGE) if "SKU-001" in block)

    shell = run(stack, tmp_path, prepare + query.replace("SKU-001", shop.product["sku"]))

    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shell.stdout.splitlines() if "|" in line]
    assert [(row[1], row[4], row[5]) for row in rows[1:]] == [
        (str(orders[1]), "-30", "0"),
        (str(orders[0]), "-20", "30"),
        ("NULL", "50", "50"),
    ]


def test_page_has_every_metric_violation_and_code_that_is_there():
    counted = {family.name + "_total" * (family.type == "counter") for family in metrics.COUNTED.collect()}
    gauges = {*customers.gauges.GAUGES, *orders.gauges.GAUGES, *metrics_page.JOB_GAUGES}
    assert {name for name in counted | gauges if f"`{name}`" not in TEXT} == set()
    assert [name for name in INVARIANTS if f"| `{name}` |" not in TEXT] == []
    failures = {code for code, problem in problems.REGISTRY.items() if problem.status in (500, 503)}
    assert {code for code in failures if f"`{code}`" not in TEXT} == set()


def test_anchors_are_there():
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall("^#+ (.*)$", TEXT, re.MULTILINE)
    }
    rows = set(re.findall(r"^\| `(\w+)` ", TEXT, re.MULTILINE))

    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for anchor in re.findall(r"operations\.md#([\w-]+)", page.read_text()):
            assert anchor in anchors, (page.name, anchor)
    alerts = (ROOT / "ops" / "alerts.yml").read_text()
    assert set(re.findall(r"alert: (\w+)", alerts)) <= rows
