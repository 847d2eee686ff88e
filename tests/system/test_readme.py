"""The README's commands, run in order by one shell against the running programs."""

import re
import subprocess

from tests.system.conftest import ROOT

MARK = "=== next block ==="


def examples():
    """Return [(commands, expected output or "")] of the section "Try it"."""
    section = (ROOT / "README.md").read_text().split("\n## Try it\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```\n(?:```\n(.*?)```)?", section, re.DOTALL)


def matches(expected, output):
    """Return whether the output is the expected one, where `…` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def test_each_command_gives_the_answer_that_stands_below_it(stack, tmp_path):
    blocks = examples()
    script = "shopt -s expand_aliases\nset -eu\n" + f"\necho; echo '{MARK}'\n".join(commands for commands, _ in blocks)
    for port, base in {"3001": stack.customers, "3002": stack.orders, "3003": stack.orchestrator}.items():
        script = script.replace(f"http://127.0.0.1:{port}", base)

    shell = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    outputs = [output.replace("\r", "") for output in shell.stdout.split(MARK)]
    assert shell.returncode == 0, shell.stderr
    assert len(outputs) == len(blocks) > 10
    wrong = [(expected, output) for (_, expected), output in zip(blocks, outputs) if not matches(expected, output)]
    assert wrong == []
