"""One zip for each Lambda function, with what it needs: `python -m aws.package`.

The zips go to `dist/`; those of the services have the file in them that DB_TLS_CA names. They
are compiled by the interpreter in `.venv/lambda`, whose version has to be the runtime of
serverless.yml. Equal sources give equal bytes.
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

from common import documentation

ROOT = pathlib.Path(__file__).parent.parent
DIST = ROOT / "dist"
PYTHON = ROOT / ".venv" / "lambda" / "bin" / "python"


class Function(NamedTuple):
    """What goes into a zip: `common`, the handler's folder, these packages of others, and the page."""

    folder: str
    packages: tuple[str, ...]
    page: Sequence[pathlib.Path] = documentation.FILES

    @property
    def handler(self) -> str:
        """As serverless.yml names it."""
        return f"{self.folder}/handler.handle"


_SERVICE = (
    *("falcon", "jsonschema", "mysql-connector-python", "prometheus-client", "PyJWT", "python-json-logger"),
    "serverless-wsgi",
)
FUNCTIONS = {
    "orchestrator": Function("lambda_orchestrator", ("jsonschema", "PyJWT", "python-json-logger", "requests"), page=()),
    "customers": Function("customers", (*_SERVICE, "argon2-cffi", "zxcvbn")),
    "orders": Function("orders", (*_SERVICE, "urllib3", "certifi")),
}
AUTHORITY = "database-ca.pem"  # what DB_TLS_CA names, in the zips
MACHINE = "x86_64"  # serverless.yml's architecture

# What packages bring along and nothing in a function imports. Of what describes them, METADATA stays: scanners for
# known weaknesses look for it. cffi and pycparser compile bindings; the compiled ones need `_cffi_backend` alone.
_NOT_SHIPPED = (
    *("bin", "*.dist-info/[!M]*", "**/tests", "**/testing", "**/bench", "**/benchmarks", "cffi*", "pycparser*"),
    *("**/*.c", "**/*.pyi", "**/*.pyx", "**/*.pxd", "falcon/cmd", "mysql/connector/django", "mysql/connector/aio"),
    *("mysql/ai", "mysql/vendor/plugin", "mysql/vendor/private"),  # the last two: 28 MB for logins by Kerberos and such
)


def build(name: str, directory: pathlib.Path, machine: str = MACHINE, authority: str | None = None) -> pathlib.Path:
    """Make `directory/NAME.zip` for whatever version PYTHON is of; return its path.

    `authority` is the file of the authority that MySQL's certificate is checked by, in a service's zip.
    """
    function = FUNCTIONS[name]
    with tempfile.TemporaryDirectory() as scratch:
        tree = pathlib.Path(scratch) / "tree"
        _install(function.packages, tree, machine)
        for path in own_files(name):
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        if authority and "mysql-connector-python" in function.packages:
            shutil.copyfile(authority, tree / AUTHORITY)
        # Else each cold start compiles: Lambda can't write there. By hash, which is loaded without a look at the
        # source and is the same each time.
        options = ("-q", "-j1", "--invalidation-mode=unchecked-hash", "-s", tree, "-p", "/var/task", tree)
        _run(PYTHON, "-I", "-m", "compileall", *options, PYTHONHASHSEED="0")
        if machine == platform.machine():
            # pip's settings in the environment or its files can leave packages out.
            script = f"import sys; sys.path.insert(0, sys.argv[1]); import {function.folder}.handler"
            _run(PYTHON, "-I", "-B", "-c", script, tree)
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = directory / f".{name}.{os.getpid()}.zip"
        _zip(tree, unfinished)
        return unfinished.replace(directory / f"{name}.zip")


def own_files(name: str) -> list[pathlib.Path]:
    """Return the paths, from the root, of our modules, the contract and the page."""
    modules = [path for folder in ("common", FUNCTIONS[name].folder) for path in (ROOT / folder).glob("*.py")]
    contract = ROOT / "openapi" / f"{name}.json"
    return sorted(path.relative_to(ROOT) for path in (*modules, contract, *FUNCTIONS[name].page))


def have_authority(directory: pathlib.Path) -> bool:
    """Tell whether the services' zips there have the certificates by which they know MySQL."""
    return all(AUTHORITY in zipfile.ZipFile(directory / f"{name}.zip").namelist() for name in ("customers", "orders"))


def runtime() -> str:
    """Return the runtime that serverless.yml names: "3.13"."""
    (version,) = re.findall(r"^  runtime: python(\S+)$", (ROOT / "serverless.yml").read_text(), re.MULTILINE)
    return version


def _install(packages, tree, machine):
    """Unpack wheels for Lambda's platform, in the versions of requirements.txt and with its hashes."""
    requirements = tree.with_name("requirements.txt")
    requirements.write_text(_pins(packages))
    # For a platform that need not be this one (glibc 2.34); wheels only, so that no code of theirs runs. By the pip
    # of that interpreter: pip judges by its own version what a package needs.
    options = ["--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--platform={platform}_{machine}" for platform in ("manylinux_2_28", "manylinux2014")]
    _run(PYTHON, "-m", "pip", "install", *options, f"--target={tree}", "--require-hashes", f"-r{requirements}")
    for pattern in _NOT_SHIPPED:
        for path in list(tree.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _pins(packages):
    """Return what requirements.txt has of the packages and of all that they need; pip refuses what is missing."""
    found = re.findall(r"^(([\w.-]+)==.*(?:\n .*)*)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    # uv writes who needs a package behind it: "# via jsonschema, referencing".
    needed_by = {name: set(re.findall(r"[\w.-]+", pin.partition("# via ")[2])) for pin, name in found}
    needed = {name.lower() for name in packages}
    while more := {name for name, others in needed_by.items() if others & needed} - needed:
        needed |= more
    return "\n".join(pin for pin, name in found if name in needed)


def _zip(tree, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for source in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(source.relative_to(tree)))  # of 1980, whenever it was made
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16  # Lambda runs as a user of its own, which must read them
            archive.writestr(entry, source.read_bytes())


def _run(*command, **environ):
    environ = os.environ | environ
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"package: {' '.join(map(str, command))} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main():
    """Build all functions and print a line for each."""
    found = _run(PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    if found != runtime():
        text = f"package: .venv/lambda has Python {found}, and the functions run on Python {runtime()} (serverless.yml)"
        raise SystemExit(f"{text}; remove .venv/lambda, and install that Python or name one in LAMBDA_PYTHON")
    for name in FUNCTIONS:
        path = build(name, DIST, authority=os.environ.get("DB_TLS_CA"))
        print(f"{path.name:18} {path.stat().st_size / 1e6:6.2f} MB", flush=True)


if __name__ == "__main__":
    main()
