"""Puts a deliberate fault into the code and asks the tests that should notice: `python -m tests.mutants [PART…]`.

tests/mutants.toml lists the faults, each with its tests; PART is a part of a fault's name. One that can't be put
where the list says, or whose tests can't be run, is an error of the list and ends the run.
"""

import ast
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

from common import config
from common.contract import bundle

ROOT = pathlib.Path(__file__).parent.parent
LIST = ROOT / "tests" / "mutants.toml"
NOT_COPIED = shutil.ignore_patterns(".*_cache", ".git", ".local", ".venv", "__pycache__", "dist", "node_modules")

TEST_SECONDS = 120  # under a fault, a test may wait for what never comes; a group takes half a minute to start
RUN_SECONDS = 600  # for the case that pytest itself hangs

PASSED, FAILED = 0, 1  # pytest's exit statuses; any other means that it didn't come to the tests


def main(parts):
    """Try the faults whose names have one of the parts, or all; return whether one was not noticed."""
    mutants = [mutant for mutant in read_list() if any(part in mutant["name"] for part in parts or [""])]
    if not mutants:
        raise SystemExit(f"mutants: no fault's name has {' or '.join(parts)} in it")
    tests = sorted({test for mutant in mutants for test in mutant["noticed_by"]})
    status, report = run(tests)
    if status != PASSED:
        raise SystemExit(f"{report}\nmutants: the tests fail without any fault")
    noticed = [is_noticed(mutant) for mutant in mutants]
    print(f"{sum(noticed)} of {len(mutants)} faults were noticed by {len(tests)} tests.")
    return not all(noticed)


def read_list():
    """Return the faults; raise SystemExit if one has no place, or more than one, or isn't Python where it is."""
    files = tomllib.loads(LIST.read_text())
    mutants = [
        {"name": name, "file": file, "with": "", **mutant}
        for file, faults in files.items()
        for name, mutant in faults.items()
    ]
    for mutant in mutants:
        text = (ROOT / mutant["file"]).read_text()
        count = text.count(mutant["replace"])
        if count != 1:
            raise SystemExit(f"mutants: {mutant['name']}: `replace` is {count} times in {mutant['file']}, not once")
        if mutant["file"].endswith(".py"):
            try:
                ast.parse(text.replace(mutant["replace"], mutant["with"]))
            except SyntaxError as ex:
                raise SystemExit(f"mutants: {mutant['name']}: {ex}") from ex
    return mutants


def is_noticed(mutant):
    """Return whether each of the fault's tests fails; print a line that says so."""
    started = time.monotonic()
    status, report = run(mutant["noticed_by"], mutant)
    if status not in (PASSED, FAILED):
        raise SystemExit(f"{report}\nmutants: {mutant['name']}: its tests can't be run")
    # FAILED, not ERROR: a fixture that breaks has noticed nothing. A test without its cases' names stands for any.
    blind = [
        test
        for test in mutant["noticed_by"]
        if not re.search(rf"^FAILED {re.escape(test)}(\[| - |$)", report, re.MULTILINE)
    ]
    result = f"NOT NOTICED by {', '.join(blind)}" if blind else "noticed"
    print(f"{time.monotonic() - started:5.1f} s  {mutant['name']}: {result}", flush=True)
    return not blind


def run(tests, mutant=None):
    """Return pytest's (exit status, output) of the tests on a copy of the tree, with the fault if there is one."""
    environ = config.read_environment()
    # A schema of its own: the tests of the tree itself may run meanwhile.
    environ["DB_NAME"] = config.load_database_settings(environ).name + "_mutants"
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
        (tree / "node_modules").symlink_to(ROOT / "node_modules")
        if mutant:
            put_in(mutant, tree)
        pytest = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=no", f"--timeout={TEST_SECONDS}", *tests],
            cwd=tree,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    return pytest.returncode, pytest.stdout


def put_in(mutant, tree):
    """Change the file, and bundle the documents again, since programs read them so."""
    path = tree / mutant["file"]
    path.write_text(path.read_text().replace(mutant["replace"], mutant["with"]))
    if path.suffix == ".yaml":
        for bundled in path.parent.glob("*.json"):
            bundled.write_text(json.dumps(bundle(bundled.with_suffix(".yaml"))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
