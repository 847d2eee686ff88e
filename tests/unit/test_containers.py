"""Dockerfile, docker-compose.yml, .env.example, README and the settings' code say the same."""

import os
import pathlib
import re
import subprocess
from ipaddress import ip_address, ip_network

import pytest
import yaml
from dotenv import dotenv_values

from aws.package import own_files, runtime
from common import config, documentation, gunicorn_conf
from common.config import load_database_settings, load_settings
from tests.conftest import ROOT, run_module

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ["settings", "migrate", "seed", "customers", "orders", "jobs", "orchestrator"]
LASTING = ["mysql", "customers", "orders", "jobs", "orchestrator", "nginx"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# The ports inside a container are fixed, and so is where the others are.
SET_BY_COMPOSE = {"DB_HOST", "DB_PORT", "DB_TLS", "DB_TLS_CA", "CUSTOMERS_API_BASE", "ORDERS_API_BASE"}
SET_BY_COMPOSE |= {"TRUSTED_PROXIES"}


class Asked(dict):
    """An environment that remembers what it was asked for."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return default


@pytest.fixture(scope="module")
def settings_of_the_code():
    environ = Asked()
    load_settings(environ)
    for service in ("", "customers", "orders"):
        load_database_settings(environ, service)
    return environ.names


def interpolated(value, environ):
    """Return a text of the compose file as compose makes it: `${NAME:-default}` where empty is not set."""
    return re.sub(r"\$\{([A-Z_]+):-([^}]*)\}", lambda found: environ.get(found[1]) or found[2], value)


def environment_of(service, **environ):
    """Return what compose gives to a service; a file that it mounts is named as on this machine."""
    mounted = {
        f"/run/secrets/{name}": interpolated(COMPOSE["secrets"][name]["file"], environ)
        for name in SERVICES[service].get("secrets", ())
    }
    values = {name: interpolated(value, environ) for name, value in SERVICES[service]["environment"].items()}
    return {name: mounted.get(value, value) for name, value in values.items()}


OWN_SECRETS = {name: f"{name}-of-a-test-0123456789abcdef" for name in config.SECRETS}


def secret_files(folder, **secrets):
    """Write secrets to files; return the settings that name them."""
    for name, value in secrets.items():
        (folder / name).write_text(f"{value}\n")
    return {f"{name}_FILE": str(folder / name) for name in secrets}


# --- settings --------------------------------------------------------------------------


def test_example_of_the_environment_has_every_setting(settings_of_the_code):
    assert dotenv_values(ROOT / ".env.example").keys() == settings_of_the_code


def test_values_of_the_example_are_the_development_values_of_the_code():
    values = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}

    assert load_settings(values) == load_settings({})
    assert load_database_settings(values) == load_database_settings({})


def test_table_of_the_readme_has_every_setting(settings_of_the_code):
    section = (ROOT / "README.md").read_text().split("\n## Configuration\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", section, re.MULTILINE)

    assert set(re.findall("[A-Z_]+", " ".join(rows))) == settings_of_the_code


def test_compose_takes_every_setting_from_the_environment_but_those_that_containers_fix(settings_of_the_code):
    taken = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))

    assert taken == settings_of_the_code - SET_BY_COMPOSE


# Which accounts a container knows: its own.
ACCOUNTS = {"": "b2b", "customers": "b2b_customers_api", "orders": "b2b_orders_api"}
KNOWN = {
    "customers": ["customers"],
    "orders": ["orders"],
    "jobs": ["customers", "orders"],
    "migrate": [""],
    "seed": [""],
    "orchestrator": [],
    "settings": [*ACCOUNTS],
    "accounts": [*ACCOUNTS],
}


@pytest.mark.parametrize(("container", "accounts"), KNOWN.items())
def test_programs_start_with_nothing_set_and_know_their_own_account_only(container, accounts):
    environ = environment_of(container)
    # `accounts` is no program of ours: it gets the development values written down.
    own = {"DB_HOST": "mysql", "APP_ENV": "development", "DB_TLS": "off", **environ}
    logins = [load_database_settings(own, account) for account in accounts]

    assert load_settings(own).jwt_secrets == load_settings({}).jwt_secrets
    assert [(login.user, login.password) for login in logins] == [
        (ACCOUNTS[account], config.DEVELOPMENT_DB_PASSWORD) for account in accounts
    ]
    assert len([name for name in environ if name.endswith("DB_PASSWORD")]) == len(accounts)


@pytest.mark.parametrize("missing", sorted({*config.SECRETS} - {"METRICS_TOKEN"}))
def test_production_starts_nothing_with_a_development_value(tmp_path, missing):
    files = secret_files(tmp_path, **OWN_SECRETS | {missing: ""})
    environ = environment_of("settings", APP_ENV="production", **files)

    check = run_module("sql.check_account", environ=os.environ | environ)

    assert check.returncode == 78
    assert check.stderr.startswith(f"configuration: {missing} is not set")
    # Everything else waits for the service that checks them, MySQL and its new data as well.
    assert SERVICES["settings"]["command"] == ["python", "-m", "sql.check_account"]
    assert SERVICES["mysql"]["depends_on"] == {"settings": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize(
    ("account", "status", "said"),
    [
        ({"DB_USER": "root"}, 78, "configuration: DB_USER "),
        ({"DB_USER": "o'hara"}, 78, "configuration: DB_USER "),
        ({"DB_PASSWORD": "it's"}, 78, "configuration: DB_PASSWORD "),
        ({"DB_PASSWORD": r"a\b"}, 78, "configuration: DB_PASSWORD "),
        ({"DB_PASSWORD": "a\nb"}, 78, "configuration: DB_PASSWORD "),
        ({"ORDERS_DB_USER": "b2b_orders"}, 78, "configuration: ORDERS_DB_USER "),
        ({"CUSTOMERS_DB_USER": "shop", "ORDERS_DB_USER": "shop"}, 78, "configuration: ORDERS_DB_USER "),
        ({"DB_USER": "b2b-1", "DB_PASSWORD": 'a"b`c;d/*$e #f--%é'}, 0, ""),
    ],
)
def test_account_that_could_not_be_made_is_refused(account, status, said):
    check = run_module("sql.check_account", environ=os.environ | environment_of("settings", **account))

    assert (check.returncode, check.stderr.partition("must")[0]) == (status, said)


@pytest.mark.parametrize("name", config.SECRETS)
def test_secret_in_the_environment_is_refused_in_production(tmp_path, name):
    given = secret_files(tmp_path, **OWN_SECRETS) | {f"{name}_FILE": "", name: OWN_SECRETS[name]}

    environ = environment_of("settings", APP_ENV="production", **given)
    check = run_module("sql.check_account", environ=os.environ | environ)

    assert check.returncode == 78
    assert check.stderr.startswith(f"configuration: {name} must come from a file in containers")


# (DB_PASSWORD, what its file has) -> the password of the account that the image makes
@pytest.mark.parametrize(
    ("password", "content", "expected"),
    [("", "", config.DEVELOPMENT_DB_PASSWORD), ("given", "", "given"), ("", "a '$b", "a '$b")],
)
def test_mysql_gets_the_password_that_the_programs_get(tmp_path, password, content, expected):
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\necho "$MYSQL_PASSWORD" "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    (tmp_path / "db_password").write_text(content)
    mysql = SERVICES["mysql"]
    given = interpolated(mysql["environment"]["MYSQL_PASSWORD"], {"DB_PASSWORD": password})
    words = [word.replace("/run/secrets", str(tmp_path)).replace("$$", "$") for word in mysql["entrypoint"]]

    run = subprocess.run(
        [*words, "--option"],
        env={"MYSQL_PASSWORD": given, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == f"{expected} --option\n"


# --- containers ------------------------------------------------------------------------


def test_only_nginx_is_published_and_on_this_machine_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published.keys() == {"nginx"}
    assert all(port.startswith("127.0.0.1:") for port in published["nginx"])


def test_mysql_is_reached_by_those_who_need_it_and_by_nothing_outside():
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if "database" in service.get("networks", [])} == {
        *("mysql", "settings", "migrate", "seed", "customers", "orders", "jobs")
    }


def test_nginx_alone_is_believed_for_whom_it_asks():
    (pool,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    address = SERVICES["nginx"]["networks"]["default"]["ipv4_address"]

    assert {SERVICES[name]["environment"]["TRUSTED_PROXIES"] for name in ("customers", "orders")} == {f"{address}/32"}
    # No other container can get it.
    assert ip_address(address) in ip_network(pool["subnet"])
    assert ip_address(address) not in ip_network(pool["ip_range"])


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_bounded(service):
    assert SERVICES[service]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert SERVICES[service]["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert "no-new-privileges:true" in SERVICES[service]["security_opt"]


@pytest.mark.parametrize("service", [*OURS, "nginx"])
def test_programs_can_change_nothing_but_data(service):
    assert (SERVICES[service]["read_only"], SERVICES[service]["cap_drop"]) == (True, ["ALL"])


def test_requests_that_run_have_the_time_to_end():
    graces = {name: int(SERVICES[name]["stop_grace_period"].removesuffix("s")) for name in LASTING}
    longest_call = int(re.search(r"^  timeout: (\d+)$", (ROOT / "serverless.yml").read_text(), re.MULTILINE)[1])

    assert min(graces["customers"], graces["orders"]) > gunicorn_conf.graceful_timeout
    assert min(graces["orchestrator"], graces["nginx"]) > longest_call
    assert int(re.search(r"proxy_read_timeout (\d+)s;", (ROOT / "docs" / "nginx.conf").read_text())[1]) > longest_call


# --- images ----------------------------------------------------------------------------


def copied():
    """Return {stage: [source in the repository, …]} of the Dockerfile."""
    stages, stage = {}, []
    for line in DOCKERFILE.splitlines():
        if found := re.fullmatch(r"FROM \S+ AS (\S+)", line):
            stage = stages.setdefault(found[1], [])
        elif found := re.fullmatch(r"COPY --chmod=\d+ (.+) \S+", line):
            stage += found[1].split()
    return stages


def test_python_is_the_one_of_the_functions():
    assert re.findall(r"^FROM python:(\d+\.\d+)\.\d+-slim-\w+ AS", DOCKERFILE, re.MULTILINE) == [runtime()]


def test_build_sees_what_it_copies_and_nothing_else():
    first, *allowed, made, last = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] != "#"]

    assert (first, made, last) == ("*", "common/docs/swagger-ui", "**/__pycache__")
    assert {line.removeprefix("!") for line in allowed} == {source for stage in copied().values() for source in stage}
    assert [source for stage in copied().values() for source in stage if not list(ROOT.glob(source))] == []


@pytest.mark.parametrize(("program", "stages"), [
    ("customers", ["contracts", "program"]),
    ("orders", ["contracts", "program"]),
    ("orchestrator", ["contracts", "orchestrator"]),
])  # fmt: skip
def test_image_has_every_module_of_ours_that_its_program_imports(program, stages):
    folders = {source.split("/")[0] for stage in stages for source in copied()[stage]}

    assert {path.parts[0] for path in own_files(program)} <= folders


def test_image_of_the_services_has_the_files_of_their_page():
    commands = re.findall(
        r"^COPY --from=node-packages ((?:.*\\\n)*.*) (\S+)/$", DOCKERFILE.split(" AS services\n")[1], re.MULTILINE
    )
    ((sources, folder),) = commands
    names = {source.rsplit("/", 1)[1] for source in sources.replace("\\\n", " ").split()}

    made = {path.relative_to(ROOT) for path in documentation.FILES if "swagger-ui" in path.parts}
    assert made == {pathlib.Path(folder) / name for name in names - {"LICENSE", "NOTICE"}}


def test_nothing_runs_as_root():
    users = re.findall(r"^FROM \S+ AS (\S+)(?:\n(?!FROM).*)*\nUSER (\d+):", DOCKERFILE, re.MULTILINE)

    assert users == [("orchestrator", "10001"), ("nginx", "101"), ("program", "10001")]
    assert re.findall(r"^FROM program AS (\S+)$", DOCKERFILE, re.MULTILINE) == ["migrations", "services"]
