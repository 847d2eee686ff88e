"""Settings: read once from the environment, checked whole, passed on as one frozen object.

Nothing else reads the environment. A wrong or missing setting raises `ConfigError`,
whose text is one line that names it; the value itself is never in the text.
"""

import ipaddress
import itertools
import os
import pathlib
import re
import ssl
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

DEVELOPMENT_JWT_SECRET = "development-only-jwt-secret-0123456789abcdef"
DEVELOPMENT_SERVICE_TOKEN = "development-only-service-token-0123456789"
DEVELOPMENT_DB_PASSWORD = "b2b-development"
PRIVATE_MYSQL_PORT = 23306  # where sql/mysql-server listens

# Each may come from a file instead, which NAME_FILE names: an environment is easier to see.
SECRETS = ("JWT_SECRET", "SERVICE_TOKEN", "METRICS_TOKEN", "DB_PASSWORD", "CUSTOMERS_DB_PASSWORD", "ORDERS_DB_PASSWORD")
# How all secrets in this repository begin. Production takes none that does.
PUBLISHED = ("development-only-", DEVELOPMENT_DB_PASSWORD)
# Characters. Random secrets have more: of those with 32 hexadecimal digits one in ten thousand hasn't.
MIN_DISTINCT = 10
MIN_PASSWORD_LENGTH = 12
MIN_DISTINCT_IN_PASSWORD = 6

# HS256 needs a key at least as long as its hash (RFC 7518, section 3.2).
MIN_SECRET_BYTES = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SERVER = re.compile(
    r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?|((?:[0-9A-Fa-f.]*:){2,7}[0-9A-Fa-f.]*)"
)

ONE_YEAR = 31_536_000  # seconds; longer windows are typing errors


class ConfigError(Exception):
    """A setting is missing or wrong; the message is one line for the operator."""


@dataclass(frozen=True)
class Settings:
    """What every program needs; secrets are left out of its repr."""

    app_env: str
    customers_port: int
    orders_port: int
    orchestrator_port: int
    customers_api_base: str
    orders_api_base: str
    # (current,) or (current, previous): the first signs and is sent, all are accepted.
    jwt_secrets: tuple[str, ...] = field(repr=False)
    service_tokens: tuple[str, ...] = field(repr=False)
    metrics_tokens: tuple[str, ...] = field(repr=False)  # who may scrape /metrics
    cancel_window_seconds: int
    order_ttl_seconds: int
    api_docs: bool  # whether the services show their contract at /docs
    trusted_proxies: tuple[Network, ...]  # whose X-Forwarded-For is believed

    @property
    def has_metrics(self) -> bool:
        """Whether the services have /metrics: without a token for it in development alone, where it is open."""
        return bool(self.metrics_tokens) or self.app_env == "development"


class Server(NamedTuple):
    """Where a MySQL server listens."""

    host: str
    port: int

    def __str__(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class DatabaseSettings:
    """How to reach MySQL; the Lambda orchestrator has no use for it."""

    servers: tuple[Server, ...]  # one, or the members of a replication group
    user: str
    password: str = field(repr=False)
    name: str
    tls_ca: str | None  # the file of the authorities by which MySQL is verified; None: it isn't
    is_shared: bool = False  # whether a service logs in as DB_USER, for want of an account of its own


def read_environment() -> dict[str, str]:
    """Return the process environment over the values of `.env` in the working directory, if it is there."""
    if not pathlib.Path(".env").exists():
        return dict(os.environ)
    from dotenv import dotenv_values  # noqa: PLC0415 - not in the Lambda functions, and neither is a .env

    # A name without "=" has no value.
    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(os.environ)


@contextmanager
def exit_on_error():
    """Turn a `ConfigError` into a line on stderr and exit status 78 (EX_CONFIG of sysexits.h)."""
    try:
        yield
    except ConfigError as ex:
        print(f"configuration: {ex}", file=sys.stderr, flush=True)
        raise SystemExit(78) from None


def load(service: str = "") -> tuple[Settings, DatabaseSettings]:
    """Return (settings, database settings) of this process; raise `ConfigError` on the first bad one."""
    environ = read_environment()
    return load_settings(environ), load_database_settings(environ, service)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Build `Settings` from a mapping; raise `ConfigError` on the first bad one."""
    development = _app_env(environ) == "development"
    customers_port = _integer(environ, "CUSTOMERS_PORT", 3001, 1, 65535)
    orders_port = _integer(environ, "ORDERS_PORT", 3002, 1, 65535)
    settings = Settings(
        app_env=_app_env(environ),
        customers_port=customers_port,
        orders_port=orders_port,
        # The offline Lambda API takes the port after it.
        orchestrator_port=_integer(environ, "ORCHESTRATOR_PORT", 3003, 1, 65534),
        customers_api_base=_base_url(environ, "CUSTOMERS_API_BASE", f"http://127.0.0.1:{customers_port}"),
        orders_api_base=_base_url(environ, "ORDERS_API_BASE", f"http://127.0.0.1:{orders_port}"),
        jwt_secrets=_secrets(environ, "JWT_SECRET", DEVELOPMENT_JWT_SECRET if development else None),
        service_tokens=_secrets(environ, "SERVICE_TOKEN", DEVELOPMENT_SERVICE_TOKEN if development else None),
        metrics_tokens=_secrets(environ, "METRICS_TOKEN", ""),
        cancel_window_seconds=_integer(environ, "CANCEL_WINDOW_SECONDS", 600, 0, ONE_YEAR),
        order_ttl_seconds=_integer(environ, "ORDER_TTL_SECONDS", 86400, 0, ONE_YEAR),
        api_docs=_matching(environ, "API_DOCS", "on", r"on|off", "on or off") == "on",
        trusted_proxies=_networks(environ, "TRUSTED_PROXIES"),
    )
    if len({customers_port, orders_port, settings.orchestrator_port, settings.orchestrator_port + 1}) < 4:
        raise ConfigError("CUSTOMERS_PORT, ORDERS_PORT, ORCHESTRATOR_PORT and the port after it must differ")
    secrets = {
        "JWT_SECRET": settings.jwt_secrets,
        "SERVICE_TOKEN": settings.service_tokens,
        "METRICS_TOKEN": settings.metrics_tokens,
    }
    for (name, values), (other, others) in itertools.combinations(secrets.items(), 2):
        if set(values) & set(others):
            raise ConfigError(f"{name} and {other} must differ")
    if not development:
        for name, values in secrets.items():
            _require_strong(name, values)
    return settings


def load_database_settings(environ: Mapping[str, str], service: str = "") -> DatabaseSettings:
    """Build `DatabaseSettings` from a mapping; raise `ConfigError` on the first bad one.

    A service, "customers" or "orders", has an account of its own (CUSTOMERS_DB_USER), which may do what the service
    needs and no more. Who migrates logs in as DB_USER, and so does a service that has none.
    """
    development = _app_env(environ) == "development"
    # The private server's port and user stand only for it: whoever names a host has to say who logs in there.
    private = development and not environ.get("DB_HOST")
    port = _integer(environ, "DB_PORT", PRIVATE_MYSQL_PORT if private else 3306, 1, 65535)
    servers = _servers(environ, "DB_HOST", "127.0.0.1" if private else None, port)
    account = f"{service.upper()}_DB" if service else "DB"
    is_shared = service != "" and not private and not environ.get(f"{account}_USER")
    if is_shared:
        account = "DB"
    settings = DatabaseSettings(
        servers=servers,
        user=_text(environ, f"{account}_USER", (f"b2b_{service}_api" if service else "b2b") if private else None),
        password=_text(environ, f"{account}_PASSWORD", DEVELOPMENT_DB_PASSWORD if development else None),
        name=_matching(environ, "DB_NAME", "b2b", r"[A-Za-z0-9_]{1,64}", "1 to 64 letters, digits or _"),
        tls_ca=_tls_ca(environ, servers, development),
        is_shared=is_shared,
    )
    if not development:
        _refuse_published(f"{account}_PASSWORD", settings.password)
        if len(set(settings.password)) < MIN_DISTINCT_IN_PASSWORD or len(settings.password) < MIN_PASSWORD_LENGTH:
            form = f"{MIN_PASSWORD_LENGTH} characters at least, {MIN_DISTINCT_IN_PASSWORD} different ones"
            raise ConfigError(f"{account}_PASSWORD must have {form}, in production")
    return settings


def _app_env(environ):
    # The secrets of development are known to everybody. They guard the private server only, unless it is written down.
    if environ.get("DB_HOST") and not environ.get("APP_ENV"):
        raise ConfigError("APP_ENV is not set, and DB_HOST is: set APP_ENV to development or production")
    return _matching(environ, "APP_ENV", "development", r"development|production", "development or production")


def _tls_ca(environ, servers, development):
    """Return the path in DB_TLS_CA, or None; in production a host elsewhere needs it, or an explicit DB_TLS=off."""
    path = environ.get("DB_TLS_CA")
    is_off = _matching(environ, "DB_TLS", "", r"(off)?", "off, or not set") == "off"
    is_loopback = all(re.fullmatch(r"localhost|127(\.[0-9]{1,3}){3}|::1", server.host) for server in servers)
    if path and is_off:
        raise ConfigError("DB_TLS_CA and DB_TLS=off are both set; one of them says how MySQL is reached")
    if not (path or is_off or is_loopback or development):
        raise ConfigError("DB_TLS_CA is not set: MySQL on another machine is verified with it, or DB_TLS is off")
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except OSError:  # SSLError, for what is no certificate, is one
            raise ConfigError("DB_TLS_CA must be a readable file with certificates (PEM)") from None
    return path or None


def _require_strong(name, values):
    """Refuse what is published, and what nobody drew at random."""
    for value in values:
        _refuse_published(name, value)
        if len(set(value)) < MIN_DISTINCT:
            raise ConfigError(f"{name} must have at least {MIN_DISTINCT} different characters in production")


def _refuse_published(name, value):
    if value.startswith(PUBLISHED):
        raise ConfigError(f"{name} begins like the development value; set your own in production")


def _secret_in_file(environ, name):
    """Return what is in the file that NAME_FILE names, without newlines at its end; None without such a setting."""
    path = environ.get(f"{name}_FILE")
    if not path:
        return None
    try:
        value = pathlib.Path(path).read_text(encoding="utf-8").rstrip("\n")
    except OSError as ex:
        raise ConfigError(f"{name}_FILE can't be read: {ex.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}_FILE is no text in UTF-8") from None
    if value and environ.get(name):
        raise ConfigError(f"{name} and {name}_FILE are both set; one of them is enough")
    return value


def _text(environ, name, default):
    """Return the setting or its default; empty counts as not set, as an empty file does; None means required."""
    value = (name in SECRETS and _secret_in_file(environ, name)) or environ.get(name) or default
    if value is None:
        raise ConfigError(f"{name} is not set")
    if value.startswith("{{resolve:"):
        # The placeholder of the public template. Taken as a secret, it would be known to everybody.
        raise ConfigError(f"{name} is a reference that CloudFormation has not resolved")
    return value


def _integer(environ, name, default, low, high):
    value = _text(environ, name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}")
    return int(value)


def _matching(environ, name, default, pattern, form):
    value = _text(environ, name, default)
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"{name} must be {form}")
    return value


def _networks(environ, name):
    try:
        return tuple(ipaddress.ip_network(text.strip()) for text in environ.get(name, "").split(",") if text.strip())
    except ValueError:
        raise ConfigError(f"{name} must be networks as 10.0.0.0/8, with commas between them") from None


def _servers(environ, name, default, port):
    servers = []
    for text in _text(environ, name, default).split(","):
        # An address of IPv6 may stand without brackets where it has no port.
        match = _SERVER.fullmatch(text.strip())
        bracketed, its_port, plain, plain_port, bare = match.groups() if match else ("",) * 5
        host = plain or bracketed or bare
        if not plain and not _is_address(host):
            raise ConfigError(
                f"{name} must be hosts with commas between them, each with a port or without: a,b:3307,[::1]:3308"
            )
        servers.append(Server(host, int(its_port or plain_port or port)))
    if len(set(servers)) < len(servers):
        raise ConfigError(f"{name} names a server twice")
    if not all(1 <= server.port <= 65535 for server in servers):
        raise ConfigError(f"{name} must have ports from 1 to 65535")
    return tuple(servers)


def _is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _base_url(environ, name, default):
    pattern = r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?"
    return _matching(environ, name, default, pattern, "an http or https address").rstrip("/")


def _secrets(environ, name, default):
    """Return `current[,previous]` as a tuple, each at least MIN_SECRET_BYTES long; () where the default is empty."""
    text = _text(environ, name, default)
    values = tuple(text.split(",")) if text else ()
    if len(values) > 2:
        raise ConfigError(f"{name} takes two values at most: current,previous")
    for value in values:
        if len(value.encode()) < MIN_SECRET_BYTES:
            raise ConfigError(f"{name} must be at least {MIN_SECRET_BYTES} bytes long")
        if not re.fullmatch(r"[\x21-\x7e]+", value):
            raise ConfigError(f"{name} must be visible ASCII characters without spaces")
    return values
