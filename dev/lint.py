"""Looks for faults in all that can be checked without running it: `python -m dev.lint [CHECK…]`.

Makes every check, so that one run says all; `make lint` installs what they need.
"""

import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE, STDOUT

ROOT = pathlib.Path(__file__).parent.parent

# What is checked -> the commands, in bash, that do it. Each says nothing of importance unless it fails.
CHECKS = {
    "openapi": [
        "redocly lint --config openapi/redocly.yaml openapi/{customers,orders,orchestrator}.yaml",
        "python -m dev.documents openapi",
    ],
    "python": [
        "ruff check --quiet",
        "ruff format --quiet --diff",
        "python -c 'from tests import mutants; mutants.read_list()'",
    ],
    "types": ["pyright --warnings"],
    # By their first lines, so that a new script can't be forgotten.
    "scripts": [
        "shellcheck --external-sources $(grep -rl '^#!/usr/bin/env bash' .ci aws bench dev docs sql)",
    ],
    "containers": [
        "hadolint Dockerfile",
        "dclint --config dev/dclint.yml --max-warnings 0 docker-compose.yml",
        "if docker compose version >/dev/null 2>&1; then docker compose config --quiet; fi",
    ],
}

ENVIRON = {
    **os.environ,
    "PATH": f"{sys.prefix}/bin:{ROOT}/node_modules/.bin:{os.environ.get('PATH', os.defpath)}",
    # Else it tells its makers that it ran, and asks for its newest version.
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}


def find(check):
    """Return what the commands of a check say that fail, "" if all is well."""
    found = ""
    for command in CHECKS[check]:
        run = subprocess.run(
            ["/bin/bash", "-c", command], cwd=ROOT, env=ENVIRON, stdout=PIPE, stderr=STDOUT, text=True, check=False
        )
        if run.returncode != 0:
            found += f"$ {command}\n{run.stdout}\n"
    return found


def main(checks):
    """Make the checks named, or all, and print what they find; return whether that is anything."""
    # Two at once: the types take as long as all the others.
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(find, checks))
    for check, lines in zip(checks, found, strict=True):
        print(f"{check}: {'faults' if lines else 'ok'}\n{lines}", end="")
    return any(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(CHECKS)))
