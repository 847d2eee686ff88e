"""Settings: each wrong one is named and never quoted; production refuses development values."""

import certifi
import pytest

from common import config
from common.config import ConfigError, load_database_settings, load_settings

JWT_SECRET = "jwt-secret-0123456789-0123456789"
SERVICE_TOKEN = "service-token-0123456789-0123456"
PRODUCTION = {"APP_ENV": "production", "JWT_SECRET": JWT_SECRET, "SERVICE_TOKEN": SERVICE_TOKEN}
PRODUCTION_DATABASE = {
    "APP_ENV": "production", "DB_HOST": "db", "DB_USER": "app", "DB_PASSWORD": "12-of-our-own", "DB_TLS": "off",
}  # fmt: skip


def message_of(load, environ):
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return str(caught.value)


def test_development_needs_no_setting():
    settings = load_settings({})

    assert (settings.customers_port, settings.orders_port, settings.orchestrator_port) == (3001, 3002, 3003)
    assert (settings.cancel_window_seconds, settings.order_ttl_seconds) == (600, 86400)
    assert settings.api_docs is True
    assert settings.customers_api_base == "http://127.0.0.1:3001"
    assert settings.orders_api_base == "http://127.0.0.1:3002"


def test_empty_setting_counts_as_not_set():
    assert load_settings({"CUSTOMERS_PORT": "", "JWT_SECRET": ""}) == load_settings({})
    assert load_settings({"API_DOCS": "off"}).api_docs is False


@pytest.mark.parametrize("load", [load_settings, load_database_settings])
def test_development_beside_a_server_of_ones_own_is_written_down(load):
    environ = {"DB_HOST": "127.0.0.1", "DB_USER": "app"}

    message = message_of(load, environ)
    load(environ | {"APP_ENV": "development"})

    assert message == "APP_ENV is not set, and DB_HOST is: set APP_ENV to development or production"


BAD = [
    ("APP_ENV", "staging"),
    ("CUSTOMERS_PORT", "0"),
    ("ORDERS_PORT", "٣٠٠٢"),
    ("ORCHESTRATOR_PORT", "65535"),
    ("CANCEL_WINDOW_SECONDS", "ten"),
    ("ORDER_TTL_SECONDS", "-7788"),
    ("ORDER_TTL_SECONDS", "31536001"),
    ("CUSTOMERS_API_BASE", "ftp://host"),
    ("ORDERS_API_BASE", "http://host?x=1"),
    ("JWT_SECRET", "x" * 31),
    ("JWT_SECRET", JWT_SECRET + ","),
    ("JWT_SECRET", ",".join([JWT_SECRET, "k" * 32, "l" * 32])),
    ("JWT_SECRET", "with spaces in it, and long enough to pass"),
    ("API_DOCS", "yes"),
    ("SERVICE_TOKEN", "é" * 32),
    ("SERVICE_TOKEN", "t" * 32 + "\n"),
]


BAD_OF_THE_DATABASE = [
    ("DB_PORT", "70000"),
    ("DB_NAME", "b2b; DROP"),
    ("DB_NAME", "x" * 65),
    ("DB_TLS", "on"),
    ("DB_TLS_CA", "/nowhere"),
    ("DB_TLS_CA", __file__),
]


@pytest.mark.parametrize(
    ("load", "name", "value"),
    [
        *((load_settings, *setting) for setting in BAD),
        *((load_database_settings, *setting) for setting in BAD_OF_THE_DATABASE),
    ],
)
def test_bad_setting_is_named_in_one_line_without_its_value(load, name, value):
    message = message_of(load, {name: value})

    assert name in message
    assert value not in message
    assert "\n" not in message


def test_the_two_secrets_must_differ():
    message = message_of(load_settings, {"JWT_SECRET": JWT_SECRET, "SERVICE_TOKEN": f"{SERVICE_TOKEN},{JWT_SECRET}"})

    assert "JWT_SECRET" in message
    assert "SERVICE_TOKEN" in message
    assert JWT_SECRET not in message


def test_current_and_previous_secret_are_kept_in_order():
    settings = load_settings({"JWT_SECRET": f"{JWT_SECRET},{'k' * 32}"})

    assert settings.jwt_secrets == (JWT_SECRET, "k" * 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", config.DEVELOPMENT_JWT_SECRET),
        ("JWT_SECRET", f"{JWT_SECRET},{config.DEVELOPMENT_JWT_SECRET}-2"),
        ("SERVICE_TOKEN", config.DEVELOPMENT_SERVICE_TOKEN),
        ("SERVICE_TOKEN", "changeme" * 5),
        ("DB_PASSWORD", config.DEVELOPMENT_DB_PASSWORD + "!"),
        ("DB_PASSWORD", "11-of-ours!"),
        ("DB_PASSWORD", "aaaabbbbccccdddd"),
    ],
)
def test_production_refuses_secrets_that_are_published_or_easily_guessed(name, value):
    load = load_database_settings if name == "DB_PASSWORD" else load_settings

    message = message_of(load, {**PRODUCTION, **PRODUCTION_DATABASE, name: value})

    assert message.startswith(name)
    assert value not in message


@pytest.mark.parametrize(
    ("load", "environ", "name"),
    [
        (load_settings, PRODUCTION, "JWT_SECRET"),
        (load_settings, PRODUCTION, "SERVICE_TOKEN"),
        (load_database_settings, PRODUCTION_DATABASE, "DB_HOST"),
        (load_database_settings, PRODUCTION_DATABASE, "DB_USER"),
        (load_database_settings, PRODUCTION_DATABASE, "DB_PASSWORD"),
        # Who names a host says who logs in, in development too.
        (load_database_settings, {**PRODUCTION_DATABASE, "APP_ENV": "development"}, "DB_USER"),
    ],
)
def test_setting_without_a_default_is_asked_for(load, environ, name):
    assert message_of(load, {**environ, name: ""}) == f"{name} is not set"


OWN = {"ORDERS_DB_USER": "shop", "ORDERS_DB_PASSWORD": "its-own-password"}


@pytest.mark.parametrize(
    ("environ", "login"),
    [
        ({}, ("b2b_orders_api", config.DEVELOPMENT_DB_PASSWORD, False)),
        (PRODUCTION_DATABASE, ("app", PRODUCTION_DATABASE["DB_PASSWORD"], True)),
        ({**PRODUCTION_DATABASE, **OWN}, ("shop", "its-own-password", False)),
        # It needs nobody else's.
        ({**PRODUCTION_DATABASE, **OWN, "DB_USER": "", "DB_PASSWORD": ""}, ("shop", "its-own-password", False)),
    ],
    ids=["private server", "no account of its own", "its own", "its own alone"],
)
def test_service_logs_in_with_its_own_account_if_it_has_one(environ, login):
    settings = load_database_settings(environ, "orders")

    assert (settings.user, settings.password, settings.is_shared) == login


@pytest.mark.parametrize(
    ("password", "said"), [("", "is not set"), (config.DEVELOPMENT_DB_PASSWORD, "begins like the development value")]
)
def test_service_with_an_account_needs_a_password_for_it(password, said):
    environ = {**PRODUCTION_DATABASE, **OWN, "ORDERS_DB_PASSWORD": password}

    message = message_of(lambda environ: load_database_settings(environ, "orders"), environ)

    assert message.startswith(f"ORDERS_DB_PASSWORD {said}")


@pytest.mark.parametrize(("environ", "port"), [({}, 23306), (PRODUCTION_DATABASE, 3306)])
def test_port_is_the_private_servers_only_without_a_host(environ, port):
    assert load_database_settings(environ).servers[0].port == port


def test_secrets_are_not_in_the_repr():
    text = repr(load_settings(PRODUCTION)) + repr(load_database_settings(PRODUCTION_DATABASE))

    assert JWT_SECRET not in text
    assert SERVICE_TOKEN not in text
    assert PRODUCTION_DATABASE["DB_PASSWORD"] not in text


# --- secrets in files ------------------------------------------------------------------


def test_secret_comes_from_its_file_without_newlines_at_the_end_and_an_empty_file_is_none(tmp_path):
    (tmp_path / "password").write_text(" the pässword \n\n")
    (tmp_path / "empty").write_text("")

    settings = load_database_settings({"DB_PASSWORD_FILE": str(tmp_path / "password")})

    assert settings.password == " the pässword "
    assert load_settings({"JWT_SECRET_FILE": str(tmp_path / "empty")}) == load_settings({})


@pytest.mark.parametrize(
    ("content", "name", "others", "said"),
    [
        (b"", "missing", {}, "SERVICE_TOKEN_FILE can't be read: No such file or directory"),
        (b"\xff" * 32, "secret", {}, "SERVICE_TOKEN_FILE is no text in UTF-8"),
        (b"s" * 32, "secret", PRODUCTION, "SERVICE_TOKEN and SERVICE_TOKEN_FILE are both set; one of them is enough"),
        (b"short", "secret", {}, "SERVICE_TOKEN must be at least 32 bytes long"),
    ],
)
def test_file_that_gives_no_secret_is_named(tmp_path, content, name, others, said):
    (tmp_path / "secret").write_bytes(content)

    assert message_of(load_settings, others | {"SERVICE_TOKEN_FILE": str(tmp_path / name)}) == said


# --- which MySQL -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "servers"),
    {
        "db": [("db", 3306)],
        "::1": [("::1", 3306)],
        "db:3307": [("db", 3307)],
        "db1,db2:3307, [::1]:3308,[::2]": [("db1", 3306), ("db2", 3307), ("::1", 3308), ("::2", 3306)],
    }.items(),
)
def test_members_of_a_group_are_listed_with_their_ports(text, servers):
    settings = load_database_settings(PRODUCTION_DATABASE | {"DB_HOST": text})

    assert list(settings.servers) == servers
    assert [str(server) for server in settings.servers][-1] in ("db:3306", "[::1]:3306", "db:3307", "[::2]:3306")


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "db1,,db2": "DB_HOST must be hosts with commas between them",
        "db1,": "DB_HOST must be hosts with commas between them",
        ",": "DB_HOST must be hosts with commas between them",
        "db1:": "DB_HOST must be hosts with commas between them",
        "[::1": "DB_HOST must be hosts with commas between them",
        "mysql://db1": "DB_HOST must be hosts with commas between them",
        "db:3306:3307": "DB_HOST must be hosts with commas between them",
        "[db]": "DB_HOST must be hosts with commas between them",
        "user@db1": "DB_HOST must be hosts with commas between them",
        "db1:0": "DB_HOST must have ports from 1 to 65535",
        "db1:65536": "DB_HOST must have ports from 1 to 65535",
        "db1,db2,db1:3306": "DB_HOST names a server twice",
    }.items(),
)
def test_list_with_an_empty_a_doubled_or_a_bent_entry_is_refused(text, said):
    assert message_of(load_database_settings, PRODUCTION_DATABASE | {"DB_HOST": text}).startswith(said)


# --- TLS to MySQL ----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["db", "10.0.0.1", "127.0.0.1.example", "localhost.example", "127.0.0.1,db"])
def test_production_verifies_a_server_elsewhere_or_says_that_it_does_not(host):
    environ = PRODUCTION_DATABASE | {"DB_HOST": host, "DB_TLS": ""}

    message = message_of(load_database_settings, environ)
    verified = load_database_settings(environ | {"DB_TLS_CA": certifi.where()})
    unverified = load_database_settings(environ | {"DB_TLS": "off"})

    assert message == "DB_TLS_CA is not set: MySQL on another machine is verified with it, or DB_TLS is off"
    assert (verified.tls_ca, unverified.tls_ca) == (certifi.where(), None)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "127.0.0.1:3307,[::1]"])
def test_server_on_this_machine_needs_no_certificate(host):
    assert load_database_settings(PRODUCTION_DATABASE | {"DB_HOST": host, "DB_TLS": ""}).tls_ca is None


def test_certificate_beside_the_word_that_turns_it_off_is_refused():
    message = message_of(load_database_settings, PRODUCTION_DATABASE | {"DB_TLS_CA": certifi.where()})

    assert message.startswith("DB_TLS_CA and DB_TLS=off are both set")


def test_bad_setting_ends_the_process_with_one_line_and_status_78(capsys):
    with pytest.raises(SystemExit) as caught, config.exit_on_error():
        load_settings({"ORDERS_PORT": "x"})

    assert caught.value.code == 78
    assert capsys.readouterr().err == "configuration: ORDERS_PORT must be a whole number from 1 to 65535\n"
