"""Settings: each wrong one is named and never quoted; production refuses development values."""

import pytest

from common import config
from common.config import ConfigError, load_database_settings, load_settings

JWT_SECRET = "j" * 32
SERVICE_TOKEN = "s" * 32
PRODUCTION = {"APP_ENV": "production", "JWT_SECRET": JWT_SECRET, "SERVICE_TOKEN": SERVICE_TOKEN}
PRODUCTION_DATABASE = {"APP_ENV": "production", "DB_HOST": "db", "DB_USER": "app", "DB_PASSWORD": "of our own"}


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


BAD_OF_THE_DATABASE = [("DB_PORT", "70000"), ("DB_NAME", "b2b; DROP"), ("DB_NAME", "x" * 65)]


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
        ("JWT_SECRET", f"{JWT_SECRET},{config.DEVELOPMENT_JWT_SECRET}"),
        ("SERVICE_TOKEN", config.DEVELOPMENT_SERVICE_TOKEN),
        ("DB_PASSWORD", config.DEVELOPMENT_DB_PASSWORD),
    ],
)
def test_production_refuses_development_secrets(name, value):
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
        (load_database_settings, {**PRODUCTION_DATABASE, "APP_ENV": ""}, "DB_USER"),
        (load_database_settings, {**PRODUCTION_DATABASE, "APP_ENV": ""}, "DB_PASSWORD"),
    ],
)
def test_setting_without_a_default_is_asked_for(load, environ, name):
    assert message_of(load, {**environ, name: ""}) == f"{name} is not set"


OWN = {"ORDERS_DB_USER": "shop", "ORDERS_DB_PASSWORD": "its own"}


@pytest.mark.parametrize(
    ("environ", "login"),
    [
        ({}, ("b2b_orders_api", config.DEVELOPMENT_DB_PASSWORD, False)),
        (PRODUCTION_DATABASE, ("app", "of our own", True)),
        ({**PRODUCTION_DATABASE, **OWN}, ("shop", "its own", False)),
        # It needs nobody else's.
        ({**PRODUCTION_DATABASE, **OWN, "DB_USER": "", "DB_PASSWORD": ""}, ("shop", "its own", False)),
    ],
    ids=["private server", "no account of its own", "its own", "its own alone"],
)
def test_service_logs_in_with_its_own_account_if_it_has_one(environ, login):
    settings = load_database_settings(environ, "orders")

    assert (settings.user, settings.password, settings.is_shared) == login


@pytest.mark.parametrize(
    ("password", "said"), [("", "is not set"), (config.DEVELOPMENT_DB_PASSWORD, "is the development value")]
)
def test_service_with_an_account_needs_a_password_for_it(password, said):
    environ = {**PRODUCTION_DATABASE, **OWN, "ORDERS_DB_PASSWORD": password}

    message = message_of(lambda environ: load_database_settings(environ, "orders"), environ)

    assert message.startswith(f"ORDERS_DB_PASSWORD {said}")


@pytest.mark.parametrize(("environ", "port"), [({}, 33306), (PRODUCTION_DATABASE, 3306)])
def test_port_is_the_private_servers_only_without_a_host(environ, port):
    assert load_database_settings(environ).port == port


def test_secrets_are_not_in_the_repr():
    text = repr(load_settings(PRODUCTION)) + repr(load_database_settings(PRODUCTION_DATABASE))

    assert JWT_SECRET not in text
    assert SERVICE_TOKEN not in text
    assert "of our own" not in text


def test_bad_setting_ends_the_process_with_one_line_and_status_78(capsys):
    with pytest.raises(SystemExit) as caught, config.exit_on_error():
        load_settings({"ORDERS_PORT": "x"})

    assert caught.value.code == 78
    assert capsys.readouterr().err == "configuration: ORDERS_PORT must be a whole number from 1 to 65535\n"
