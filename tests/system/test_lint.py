"""`make lint` finds nothing, and finds each fault that is planted in a copy of the repository."""

import shutil
import subprocess

import pytest

from tests.system.conftest import ROOT

# What `make lint` needs to run, and what is made here and is nobody's source.
INSTALLED = (".venv", "node_modules")
MADE = (".git", ".local", ".serverless", "dist")


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(*INSTALLED, *MADE))
    for name in INSTALLED:
        (tmp_path / "copy" / name).symlink_to(ROOT / name)
    return tmp_path / "copy"


def lint(command, folder):
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_lint_finds_nothing():
    run = lint(["make", "lint"], ROOT)

    assert run.returncode == 0, run.stdout
    assert run.stdout.splitlines() == ["openapi: ok", "python: ok", "types: ok", "scripts: ok", "containers: ok"]


@pytest.mark.parametrize(
    ("check", "path", "old", "new", "found"),
    [
        ("openapi", "openapi/orders.yaml", "operationId:", "operationID:", "operationID"),
        ("openapi", "openapi/orders.yaml", "operationId: create_order", "operationId: get_order", "get_order"),
        ("openapi", "openapi/orders.yaml", "qty: 2\n", "qty: two\n", "no-invalid-media-type-examples"),
        ("openapi", "openapi/common.yaml", "example: '\"5a6f", "example: '5a6f", "ContentETag"),
        ("openapi", "openapi/common.yaml", "maxLength: 64\n", "\n", "string-is-bounded"),
        ("openapi", "openapi/common.yaml", "pattern: '^", "pattern: '", "pattern-is-anchored"),
        ("openapi", "openapi/orders.yaml", "maxItems: 100\n", "\n", "array-is-bounded"),
        ("openapi", "openapi/orders.yaml", "additionalProperties: false\n", "\n", "object-is-closed"),
        ("openapi", "openapi/orders.yaml", "  schemas:\n", "  schemas:\n    Spare: {type: string}\n", "Spare"),
        ("openapi", "openapi/common.yaml", "  schemas:\n", "  schemas:\n    Spare: {type: string}\n", "Spare"),
        ("openapi", "openapi/customers.yaml", "openapi: 3.1.0", "openapi: 3.1.0\nx: 1", "'x' was unexpected"),
        ("python", "common/times.py", "import re\n", "import re\nimport sys\n", "F401"),
        ("python", "common/times.py", "_EPOCH = ", "_EPOCH =  ", "-_EPOCH =  "),
        (
            "types",
            "customers/customer_resources.py",
            "req.context.body, now\n",
            "now, req.context.body\n",
            "reportArgumentType",
        ),
        ("types", "tests/factories.py", "def ", 'count = 1 + "1"\n\n\ndef ', "reportOperatorIssue"),
        ("scripts", "sql/mysql-server", "set -euo pipefail\n", "set -euo pipefail\ncd $1\n", "SC2086"),
        ("containers", "Dockerfile", "python:3.13.18-slim-trixie", "python", "DL3006"),
        ("containers", "docker-compose.yml", "restart:", "restrat:", "invalid-schema"),
        ("containers", "docker-compose.yml", '"127.0.0.1:${', '"${', "no-unbound-port-interfaces"),
        ("containers", "docker-compose.yml", "mysql:8.4", "mysql", "service-image-require-explicit-tag"),
    ],
    ids=[
        "misspelt key",
        "two operations of one name",
        "example that breaks its schema",
        "example of a header that breaks its schema",
        "string of any length",
        "pattern that a part may match",
        "array of any length",
        "object that takes unknown fields",
        "component that its document does not use",
        "component that no document uses",
        "key that the specification does not know",
        "unused import",
        "other format",
        "arguments of a transaction in the wrong order",
        "wrong type in the tests",
        "unquoted variable",
        "base image without a version",
        "misspelt key of the compose file",
        "port open to all",
        "image without a version",
    ],
)
def test_planted_fault_is_found(copy, check, path, old, new, found):
    replace(copy / path, old, new)

    run = lint(["python", "-m", "dev.lint", check], copy)

    assert run.returncode != 0
    assert found in run.stdout


def test_every_check_is_made_though_the_first_finds_something(copy):
    replace(copy / "openapi/orders.yaml", "operationId:", "operationID:")
    replace(copy / "sql/mysql-server", "set -euo pipefail\n", "set -euo pipefail\ncd $1\n")

    run = lint(["python", "-m", "dev.lint", "openapi", "scripts", "containers"], copy)

    assert run.returncode != 0
    assert [line for line in run.stdout.splitlines() if line.endswith((": ok", ": faults"))] == [
        "openapi: faults",
        "scripts: faults",
        "containers: ok",
    ]
