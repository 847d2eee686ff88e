"""The zips of `make package`: what is in them, and that they can be made again."""

import json
import platform
import re
import zipfile

import pytest

from aws import package
from tests.conftest import ROOT

for_every_function = pytest.mark.parametrize("name", package.FUNCTIONS)


LOCKS = ["requirements", "requirements-dev", "aws/requirements", "dev/requirements-node"]


def requirements(path):
    """Return {name: version} of what a requirements file pins itself."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==(\S+)", (ROOT / path).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_locked_is_what_is_asked_for(name):
    assert requirements(f"{name}.in").items() <= requirements(f"{name}.txt").items()


def test_each_entry_of_the_lock_of_npm_has_its_hash():
    entries = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    # docs/containers.md: the registry that the lock was made from doesn't have them.
    unknown = {"darwin-arm64", "darwin-x64", "linux-arm", "linux-arm64", "linux-ia32", "win32-x64"}

    without = {path for path, entry in entries.items() if path and "integrity" not in entry}
    assert without <= {f"node_modules/@dbmate/{platform}" for platform in unknown}


@for_every_function
def test_zip_holds_our_code_that_it_needs_and_pinned_packages(zips, name):
    files = zipfile.ZipFile(zips[name]).namelist()

    metadata = [re.fullmatch(r"(.+)-([^-]+)\.dist-info/METADATA", path) for path in files]
    shipped = {match[1].lower().replace("_", "-"): match[2] for match in metadata if match}
    ours = {"common", "openapi", package.FUNCTIONS[name].folder}
    assert {folder for path in files if (ROOT / (folder := path.split("/")[0])).is_dir()} == ours
    assert [path for path in files if path.startswith("openapi/")] == [f"openapi/{name}.json"]
    assert shipped.items() <= requirements("requirements.txt").items()
    assert {package_name.lower() for package_name in package.FUNCTIONS[name].packages} <= shipped.keys()


@pytest.mark.parametrize(("name", "count"), [("orchestrator", 0), ("customers", 5), ("orders", 5)])
def test_zip_of_a_service_has_its_page_and_no_other_has(zips, name, count):
    archive = zipfile.ZipFile(zips[name])

    page = [path for path in archive.namelist() if path.startswith(("common/docs/", "common/documentation.html"))]

    assert len(page) == count
    assert [path for path in page if archive.read(path) != (ROOT / path).read_bytes()] == []


@pytest.mark.parametrize(("name", "has_it"), [("orchestrator", False), ("customers", True), ("orders", True)])
def test_zip_of_a_service_has_the_certificates_by_which_it_knows_mysql(zips, name, has_it):
    assert ("database-ca.pem" in zipfile.ZipFile(zips[name]).namelist()) == has_it


@for_every_function
def test_zip_has_no_test_no_secret_and_no_tool(zips, name):
    archive = zipfile.ZipFile(zips[name])
    wrong = (
        r"(^|/)(tests?|testing|bench|docs|\.env.*|\.git.*|bin|requirements.*|conftest\.py|.*\.(c|pyi|pem\.key))($|/)"
    )
    tools = requirements("requirements-dev.txt").keys() - requirements("requirements.txt").keys()
    tools |= {"dotenv", "gunicorn", "pip", "yaml", "awslambdaric", "boto3"}

    files = archive.namelist()

    # common/docs is the page, and no documentation of ours.
    assert [path for path in files if re.search(wrong, path.removeprefix("common/docs/"))] == []
    assert [path for path in files if path.split("/")[0].partition("-")[0].lower() in tools] == []
    # Nothing of this machine: neither a path nor a user.
    assert [path for path in files if str(ROOT).encode() in archive.read(path)] == []


@for_every_function
def test_lambda_can_unpack_the_zip_and_read_it(zips, name):
    entries = zipfile.ZipFile(zips[name]).infolist()

    assert zips[name].stat().st_size < 50e6
    assert sum(entry.file_size for entry in entries) < 250e6
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}  # by a user of its own


def test_same_sources_give_the_same_bytes(zips, tmp_path):
    again = package.build("orchestrator", tmp_path, platform.machine())

    assert again.read_bytes() == zips["orchestrator"].read_bytes()


def test_another_python_than_the_runtime_is_refused(monkeypatch):
    monkeypatch.setattr(package, "runtime", lambda: "3.99")

    with pytest.raises(SystemExit, match=r"Python 3\.99 .* LAMBDA_PYTHON"):
        package.main()


def test_package_that_is_not_pinned_is_refused(monkeypatch, tmp_path):
    pins = (ROOT / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(re.sub(r"^urllib3==.*\n( .*\n)*", "", pins, flags=re.MULTILINE))
    monkeypatch.setattr(package, "ROOT", tmp_path)

    with pytest.raises(SystemExit, match=r"--require-hashes mode.*\n *urllib3"):
        package.build("orchestrator", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
