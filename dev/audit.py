"""Asks which pinned packages have a known weakness: `python -m dev.audit`.

Ends with 1 for a finding. Where no source of advisories answers, it says so and ends with 0: that is no fault of ours.
"""

import json
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
# The first has the runtime's packages, too.
LOCKS = ("requirements-dev.txt", "aws/requirements.txt", "dev/requirements-node.txt")


def read_python(answer: dict[str, Any]) -> tuple[list[str], bool]:
    """Return (findings, whether all packages are known to the source) of pip-audit, which ends with 0 if none is."""
    packages = answer["dependencies"]
    found = [f"{each['name']} {each['version']}: {weak['id']}" for each in packages for weak in each.get("vulns", [])]
    return found, not any("skip_reason" in each for each in packages)


def read_node(answer: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the same of npm audit, which says `error` where it got no answer."""
    weak = answer.get("vulnerabilities", {})
    return [f"{name} {each['range']}: {each['severity']}" for name, each in weak.items()], "vulnerabilities" in answer


AUDITS = {
    "pip-audit": (
        [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner=off", "--format=json"]
        + [f"--requirement={path}" for path in LOCKS],
        read_python,
    ),
    "npm audit": (["npm", "audit", "--json"], read_node),
}


def report(name: str, output: str) -> bool:
    """Print what an audit says; return whether that is a finding. What is no JSON is no answer."""
    try:
        found, is_whole = AUDITS[name][1](json.loads(output))
    except ValueError:
        found, is_whole = [], False
    for line in found:
        print(f"{name}: {line}")
    if not is_whole:
        print(f"{name}: WARNING: not every package was audited, for no source of advisories answered")
    elif not found:
        print(f"{name}: nothing known")
    return bool(found)


def main() -> bool:
    """Run both audits and report; return whether either has a finding."""
    # Their own status is 1 for a finding, and also where no source answers.
    runs = {
        name: subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        for name, (command, _) in AUDITS.items()
    }
    return any([report(name, run.stdout) for name, run in runs.items()])  # noqa: C419 - both are reported


if __name__ == "__main__":
    sys.exit(main())
