"""The documentation page's files: a service that lacks one does not start, and says which."""

import pytest

from common import documentation, gunicorn_conf
from common.config import ConfigError


@pytest.fixture
def incomplete(monkeypatch, tmp_path):
    """A folder that lacks Swagger UI's script, as in a clone where make has not run."""
    there = [tmp_path / path.name for path in documentation.FILES if path.suffix != ".js"]
    for path in there:
        path.write_text("")
    monkeypatch.setattr(documentation, "FILES", [*there, tmp_path / "swagger-ui-bundle.js"])
    monkeypatch.setattr("common.config.read_environment", dict)


def test_all_files_are_there_once_make_has_run():
    documentation.require_files()


def test_missing_file_is_named_in_one_line_with_what_to_do(incomplete):
    with pytest.raises(ConfigError) as caught:
        documentation.require_files()

    message = str(caught.value)
    assert "swagger-ui-bundle.js" in message
    assert "API_DOCS=off" in message
    assert "docs.css" not in message
    assert "\n" not in message


def test_gunicorn_does_not_start_without_them(incomplete, capsys):
    with pytest.raises(SystemExit) as caught:
        gunicorn_conf.on_starting(None)

    assert caught.value.code == 78
    assert capsys.readouterr().err.startswith("configuration: the documentation page lacks swagger-ui-bundle.js in ")


def test_gunicorn_starts_without_them_where_the_page_is_off(incomplete, monkeypatch):
    monkeypatch.setattr("common.config.read_environment", lambda: {"API_DOCS": "off"})

    assert gunicorn_conf.on_starting(None) is None
