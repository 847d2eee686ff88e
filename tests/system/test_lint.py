"""`make lint` finds nothing, and finds each fault that is planted in a copy of the repository."""

import shutil
import subprocess

import pytest

from tests.system.conftest import ROOT

pytestmark = pytest.mark.timeout(600)  # a minute, and several on a busy machine

# What `make lint` needs to run, and what is made here and is nobody's source.
INSTALLED = (".venv", "node_modules")
MADE = (".git", ".local", ".serverless", ".hypothesis", ".*_cache", "dist", "__pycache__")

SPARE = "  schemas:\n    UnusedAnywhere: {type: string}\n"
# (file, what stands there, what is planted, what the check says): of each check but the types', which takes half a
# minute, what is a rule of ours.
FAULTS = [
    ("openapi/orders.yaml", "qty: 2\n", "qty: two\n", "no-invalid-media-type-examples"),
    ("openapi/common.yaml", "example: '\"5a6f", "example: '5a6f", "ContentETag"),
    ("openapi/common.yaml", "format: int64\n", "\n", "has more than 32 bits"),
    ("openapi/common.yaml", "maxLength: 64\n", "\n", "string-is-bounded"),
    ("openapi/common.yaml", "pattern: '^", "pattern: '", "pattern-is-anchored"),
    ("openapi/orders.yaml", "maxItems: 100\n", "\n", "array-is-bounded"),
    ("openapi/orders.yaml", "additionalProperties: false\n", "\n", "object-is-closed"),
    ("openapi/common.yaml", "  schemas:\n", SPARE, "UnusedAnywhere"),
    ("common/tracing.py", "import re\n", "import re\nimport sys\n", "F401"),
    ("common/idempotency.py", "FOR SHARE\n", "\n", "`replace` is 0 times in common/idempotency.py"),
    ("sql/mysql-server", "set -euo pipefail\n", "set -euo pipefail\ncd $1\n", "SC2086"),
    ("docker-compose.yml", '"127.0.0.1:${', '"${', "no-unbound-port-interfaces"),
]


def lint(command, folder):
    """Return (exit status, {check: "ok" or "faults"}, all that it prints)."""
    run = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    results = [line.split(": ") for line in run.stdout.splitlines() if line.endswith((": ok", ": faults"))]
    return run.returncode, dict(results), run.stdout


def test_lint_finds_nothing():
    status, results, printed = lint(["make", "lint"], ROOT)

    checks = ["openapi", "python", "types", "scripts", "containers"]
    assert (status, results) == (0, dict.fromkeys(checks, "ok")), printed


def test_every_planted_fault_is_found(tmp_path):
    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(*INSTALLED, *MADE))
    for name in INSTALLED:
        (copy / name).symlink_to(ROOT / name)
    for path, old, new, _ in FAULTS:
        text = (copy / path).read_text()
        assert old in text, (path, old)
        (copy / path).write_text(text.replace(old, new, 1))
    checks = ["openapi", "python", "scripts", "containers"]

    status, results, printed = lint(["python", "-m", "dev.lint", *checks], copy)

    assert (status, results) == (1, dict.fromkeys(checks, "faults")), printed
    assert [found for *_, found in FAULTS if found not in printed] == [], printed
