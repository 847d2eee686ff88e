"""What Postman makes of the documents and the stack: the flow and the collections."""

import json
import os
import subprocess

from tests.system.conftest import PROGRAMS, ROOT

FLOW = ROOT / "postman" / "flow.postman_collection.json"


def run_flow(stack, report):
    """Run newman to its end; return its status and its report."""
    command = [ROOT / "node_modules" / ".bin" / "newman", "run", FLOW, "--reporters", "json"]
    command += ["--reporter-json-export", report, "--timeout-request", "30000"]
    for name in PROGRAMS:
        command += ["--env-var", f"{name}Url={getattr(stack, name)}"]
    environ = {**os.environ, "NO_PROXY": "127.0.0.1"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
    return run.returncode, json.loads(report.read_text())["run"]


def test_flow_succeeds_twice_in_a_row(stack, tmp_path):
    names = [item["name"] for item in json.loads(FLOW.read_text())["item"]]

    runs = [run_flow(stack, tmp_path / f"{number}.json") for number in range(2)]

    for status, run in runs:
        assert (status, run["failures"]) == (0, [])
        assert [execution["item"]["name"] for execution in run["executions"]] == names
        assert run["stats"]["assertions"]["total"] > len(names)


def test_each_program_has_its_collection():
    subprocess.run(["make", "postman"], cwd=ROOT, capture_output=True, timeout=100, check=True)

    for name in PROGRAMS:
        collection = json.loads((ROOT / "postman" / f"{name}.postman_collection.json").read_text())
        assert collection["item"]
