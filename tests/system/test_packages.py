"""The zips of `make package`: what is in them, and that they can be made again."""

import platform
import re
import zipfile

import pytest

from aws import package
from tests.conftest import ROOT

for_every_function = pytest.mark.parametrize("name", package.FUNCTIONS)

OUR_FOLDERS = {
    "orchestrator": {"common", "lambda_orchestrator", "openapi"},
    "customers": {"common", "customers", "openapi"},
    "orders": {"common", "orders", "openapi"},
}


def requirements(path):
    """Return {name: version} of what a requirements file pins itself."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==(\S+)", (ROOT / path).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


@for_every_function
def test_zip_holds_our_code_that_it_needs_and_pinned_packages(zips, name):
    files = zipfile.ZipFile(zips[name]).namelist()

    metadata = [re.fullmatch(r"(.+)-([^-]+)\.dist-info/METADATA", path) for path in files]
    shipped = {match[1].lower().replace("_", "-"): match[2] for match in metadata if match}
    assert {folder for path in files if (ROOT / (folder := path.split("/")[0])).is_dir()} == OUR_FOLDERS[name]
    assert [path for path in files if path.startswith("openapi/")] == [f"openapi/{name}.json"]
    assert shipped.items() <= requirements("requirements.txt").items()
    assert {package_name.lower() for package_name in package.FUNCTIONS[name].packages} <= shipped.keys()


@pytest.mark.parametrize(("name", "count"), [("orchestrator", 0), ("customers", 5), ("orders", 5)])
def test_zip_of_a_service_has_its_page_and_no_other_has(zips, name, count):
    archive = zipfile.ZipFile(zips[name])

    page = [path for path in archive.namelist() if path.startswith(("common/docs/", "common/documentation.html"))]

    assert len(page) == count
    assert [path for path in page if archive.read(path) != (ROOT / path).read_bytes()] == []


@for_every_function
def test_zip_has_no_test_no_secret_and_no_tool(zips, name):
    archive = zipfile.ZipFile(zips[name])
    wrong = (
        r"(^|/)(tests?|testing|bench|docs|\.env.*|\.git.*|bin|requirements.*|conftest\.py|.*\.(c|pyi|pem\.key))($|/)"
    )
    tools = [
        "dotenv",
        "gunicorn",
        "honcho",
        "pip",
        "pytest",
        "yaml",
        "awslambdaric",
        "boto3",
        *requirements("requirements-dev.txt"),
    ]

    files = archive.namelist()

    # common/docs is the page, and no documentation of ours.
    assert [path for path in files if re.search(wrong, path.removeprefix("common/docs/"))] == []
    assert [path for path in files if path.split("/")[0].partition("-")[0].lower() in tools] == []
    # Nothing of this machine: neither a path nor a user.
    assert [path for path in files if str(ROOT).encode() in archive.read(path)] == []


@for_every_function
def test_zip_is_below_the_limits_of_lambda(zips, name):
    entries = zipfile.ZipFile(zips[name]).infolist()

    assert zips[name].stat().st_size < 50e6
    assert sum(entry.file_size for entry in entries) < 250e6


@for_every_function
def test_same_sources_give_the_same_bytes(zips, tmp_path, name):
    assert package.build(name, tmp_path, platform.machine()).read_bytes() == zips[name].read_bytes()


@for_every_function
def test_zip_can_be_read_by_the_user_that_lambda_runs_it_as(zips, name):
    modes = {entry.external_attr >> 16 for entry in zipfile.ZipFile(zips[name]).infolist()}

    assert modes == {0o100644}


def test_another_python_than_the_runtime_is_refused(monkeypatch):
    monkeypatch.setattr(package, "runtime", lambda: "3.99")

    with pytest.raises(SystemExit, match=r"Python 3\.99 .* LAMBDA_PYTHON"):
        package.main()


@pytest.mark.parametrize("setting", ["PIP_NO_DEPS", "PIP_DRY_RUN"])
def test_package_that_pip_left_incomplete_is_refused(monkeypatch, tmp_path, setting):
    monkeypatch.setenv(setting, "1")

    with pytest.raises(SystemExit, match="failed"):
        package.build("orchestrator", tmp_path, platform.machine())
    assert list(tmp_path.iterdir()) == []


def test_package_that_is_not_pinned_is_refused(monkeypatch, tmp_path):
    pins = (ROOT / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(re.sub(r"^urllib3==.*\n", "", pins, flags=re.MULTILINE))
    monkeypatch.setattr(package, "ROOT", tmp_path)

    with pytest.raises(SystemExit, match=r"urllib3 .* is not pinned"):
        package.build("orchestrator", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
