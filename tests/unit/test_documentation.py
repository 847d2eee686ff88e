"""The documentation page's files: a service that lacks one does not start, and says which."""

import os
import pathlib
from types import SimpleNamespace

import pytest

from common import documentation, gunicorn_conf, logs

# What gunicorn hands over.
ORDERS = SimpleNamespace(app=SimpleNamespace(app_uri="orders.app:get_app()"))


@pytest.fixture
def incomplete(monkeypatch, tmp_path):
    """Paths of which one is missing, as in a clone where make has not run."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # so that it is again afterwards what it was
    monkeypatch.setattr(logs.Formatter, "service", None)
    monkeypatch.setattr(documentation, "FILES", [documentation.PAGE, tmp_path / "swagger-ui-bundle.js"])
    monkeypatch.setattr("common.config.read_environment", dict)


def test_gunicorn_does_not_start_without_them_and_says_in_one_line_what_to_do(incomplete, capsys):
    with pytest.raises(SystemExit) as caught:
        gunicorn_conf.on_starting(ORDERS)

    assert caught.value.code == 78
    assert capsys.readouterr().err == (
        "configuration: the documentation page lacks swagger-ui-bundle.js:"
        " `make run` copies them, API_DOCS=off does without\n"
    )


def test_gunicorn_starts_without_them_where_the_page_is_off(incomplete, monkeypatch):
    monkeypatch.setattr("common.config.read_environment", lambda: {"API_DOCS": "off"})

    gunicorn_conf.on_starting(ORDERS)

    folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.is_dir()
    gunicorn_conf.on_exit(ORDERS)
    assert not folder.exists()
