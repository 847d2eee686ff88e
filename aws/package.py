"""One zip for each Lambda function, with what it needs and no more: `python -m aws.package`.

The zips go to `dist/`. They are compiled by the interpreter in `.venv/lambda`, whose
version has to be the runtime of serverless.yml. Equal sources give equal bytes.
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from modulefinder import ModuleFinder

from common import documentation

ROOT = pathlib.Path(__file__).parent.parent
DIST = ROOT / "dist"
PYTHON = ROOT / ".venv" / "lambda" / "bin" / "python"


@dataclass(frozen=True)
class Function:
    """What goes into a zip: the handler's imports among our modules, and these of others."""

    module: str
    packages: tuple[str, ...]

    @property
    def handler(self) -> str:
        """The handler as serverless.yml names it."""
        return self.module.replace(".", "/") + ".handle"


_SERVICE = ("falcon", "jsonschema", "mysql-connector-python", "PyJWT", "serverless-wsgi")
FUNCTIONS = {
    "orchestrator": Function("lambda_orchestrator.handler", ("jsonschema", "PyJWT", "requests")),
    "customers": Function("customers.handler", (*_SERVICE, "argon2-cffi")),
    "orders": Function("orders.handler", (*_SERVICE, "urllib3", "certifi")),
}

MACHINE = "x86_64"  # serverless.yml's architecture
# The runtimes from python3.12 on are Amazon Linux 2023: glibc 2.34.
_PLATFORMS = ("manylinux_2_28", "manylinux2014")

# What packages bring along and nothing in a function imports.
_NOT_SHIPPED = (
    "bin",  # their commands
    "**/tests",
    "**/testing",
    "**/bench",
    "**/benchmarks",
    "**/*.c",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/py.typed",
    "cffi*",  # compiles bindings; the compiled ones need `_cffi_backend` alone
    "pycparser*",  # cffi's
    "falcon/cmd",
    "mysql/vendor/plugin",  # logins by Kerberos, LDAP, WebAuthn, OCI: 28 MB
    "mysql/vendor/private",  # libraries of those
    "mysql/connector/django",
    "mysql/connector/aio",
    "mysql/ai",
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold


class PackageError(Exception):
    """The packages can't be made; the message is one line for whoever asked."""


def build(name: str, directory: pathlib.Path, machine: str = MACHINE) -> pathlib.Path:
    """Make `directory/NAME.zip` for whatever version PYTHON is of; return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = pathlib.Path(scratch) / "tree"
        _install(FUNCTIONS[name].packages, tree, pathlib.Path(scratch), machine)
        # Without their sources: the orchestrator's zip is a fifth smaller, and a traceback still has line numbers.
        _compile(tree, "-b")
        for path in list(tree.rglob("*.py")):
            path.unlink()
        for path in own_files(name):
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        _compile(tree)
        if machine == platform.machine():
            _try(name, tree)
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = directory / f".{name}.{os.getpid()}.zip"
        _zip(tree, unfinished)
        return unfinished.replace(directory / f"{name}.zip")


def own_files(name: str) -> list[pathlib.Path]:
    """Return the paths, from the root, of our modules that the handler imports, of its contract and its page."""
    finder = ModuleFinder(path=[str(ROOT)])
    finder.run_script(str(ROOT / FUNCTIONS[name].module.replace(".", "/")) + ".py")
    # Not "module.__file__", which type checkers don't know of.
    files = [vars(module)["__file__"] for module in finder.modules.values()]
    modules = {pathlib.Path(file).relative_to(ROOT) for file in files if file}
    packages = {path.parent / "__init__.py" for path in modules}
    has_page = documentation.__name__ in finder.modules
    page = {path.relative_to(ROOT) for path in documentation.FILES} if has_page else set()
    return sorted(modules | packages | page | {pathlib.Path("openapi") / f"{name}.json"})


def runtime() -> str:
    """Return the runtime that serverless.yml names: "3.13"."""
    (version,) = re.findall(r"^  runtime: python(\S+)$", (ROOT / "serverless.yml").read_text(), re.MULTILINE)
    return version


def version_of(python: pathlib.Path | str) -> str:
    """Return the version of an interpreter as runtimes are named: "3.13"."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    return _run([python, "-I", "-c", script]).strip()


def _install(packages, tree, scratch, machine):
    """Unpack wheels for Lambda's platform, in the versions of requirements.txt."""
    pins = _pins()
    constraints = scratch / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    # For a platform that need not be this one; wheels only, so that no code of theirs runs.
    options = ["--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--platform={platform}_{machine}" for platform in _PLATFORMS]
    options += [f"--target={tree}", f"--constraint={constraints}"]
    # By the pip of that interpreter: pip judges by its own version what a package needs.
    _run([PYTHON, "-m", "pip", "install", *options, *packages])
    for directory in tree.glob("*.dist-info"):
        name, version = directory.name.removesuffix(".dist-info").rsplit("-", 1)
        if pins.get(_normalised(name)) != version:
            raise PackageError(f"{name} {version} is not pinned in requirements.txt")
        # Scanners for known weaknesses look for the metadata; nobody looks for the rest.
        for path in directory.iterdir():
            if path.name != "METADATA":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for pattern in _NOT_SHIPPED:
        for path in list(tree.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _pins():
    """Return {name: version} of requirements.txt, extras left out."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line) for line in lines]
    return {_normalised(pin[1]): pin[2] for pin in pins if pin}


def _normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _compile(tree, *options):
    """Compile all sources, else each cold start does: Lambda can't write to a function's folder."""
    # Loaded without a look at the source; and the same source gives the same bytes.
    options += ("--invalidation-mode=unchecked-hash", "-s", str(tree), "-p", "/var/task")
    _run([PYTHON, "-I", "-m", "compileall", "-q", "-j1", *options, str(tree)], PYTHONHASHSEED="0")


def _try(name, tree):
    """Import the handler: settings of pip in the environment or its files can leave packages out."""
    script = f"import sys; sys.path.insert(0, sys.argv[1]); import {FUNCTIONS[name].module}"
    _run([PYTHON, "-I", "-B", "-c", script, str(tree)])


def _zip(tree, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for source in sorted(tree.rglob("*")):
            if source.is_file():
                entry = zipfile.ZipInfo(str(source.relative_to(tree)), _LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o100644 << 16  # Lambda runs as a user of its own, which must read them
                archive.writestr(entry, source.read_bytes())


def _run(command, **environ):
    done = subprocess.run(
        command, env={**os.environ, **environ}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PackageError(f"{' '.join(map(str, command))} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main():
    """Build all functions and print a line for each."""
    if version_of(PYTHON) != runtime():
        raise PackageError(
            f"the functions run on Python {runtime()} (serverless.yml) and are compiled by it, but .venv/lambda has"
            f" {version_of(PYTHON)}; name a {runtime()} in LAMBDA_PYTHON, or install it and remove .venv/lambda"
        )
    for name in FUNCTIONS:
        path = build(name, DIST)
        print(f"{path.name:18} {path.stat().st_size / 1e6:6.2f} MB", flush=True)


if __name__ == "__main__":
    try:
        main()
    except PackageError as ex:
        sys.exit(f"package: {ex}")
