"""`make lint` passes, and would not on a fault."""

import subprocess

import pytest

from tests.system.conftest import ROOT


def lint(*arguments, **options):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, **options, check=False)


def test_lint_finds_nothing():
    run = lint("make", "lint", stdin=subprocess.DEVNULL)

    assert run.returncode == 0, run.stdout + run.stderr


def test_fault_in_the_dockerfile_is_found():
    run = lint("hadolint", "-", input="FROM debian\nRUN apt-get install gcc\n")

    assert run.returncode != 0
    assert "DL3006" in run.stdout


@pytest.mark.parametrize(
    "fault",
    [("restart:", "restrat:"), ('"127.0.0.1:${', '"${'), ("mysql:8.4", "mysql")],
    ids=["misspelt key", "port open to all", "image without a version"],
)
def test_fault_in_the_compose_file_is_found(fault, tmp_path):
    faulty = tmp_path / "docker-compose.yml"
    faulty.write_text((ROOT / "docker-compose.yml").read_text().replace(*fault))

    run = lint("node_modules/.bin/dclint", "--config", "dev/dclint.yml", "--max-warnings", "0", faulty)

    assert run.returncode != 0
