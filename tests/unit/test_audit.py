"""What `make audit` makes of the answers of pip-audit and npm audit."""

import pytest

from dev import audit


@pytest.mark.parametrize(
    ("name", "output", "is_finding", "said"),
    [
        ("pip-audit", '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', False, "nothing known"),
        ("pip-audit", '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1"}]}]}', True, "a 1: X-1"),
        # As it ends with 0 where its source has no such package.
        ("pip-audit", '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', False, "WARNING"),
        ("pip-audit", "", False, "WARNING"),
        ("npm audit", '{"vulnerabilities": {}}', False, "nothing known"),
        ("npm audit", '{"vulnerabilities": {"a": {"range": "<2", "severity": "high"}}}', True, "a <2: high"),
        ("npm audit", '{"message": "405", "error": {}}', False, "WARNING"),
    ],
)
def test_finding_fails_and_a_source_that_does_not_answer_is_a_warning(capsys, name, output, is_finding, said):
    assert audit.report(name, output) is is_finding
    assert said in capsys.readouterr().out
