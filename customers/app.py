"""The Customers API: every route on one screen. gunicorn loads `customers.app:get_app()`."""

import time
from collections.abc import Callable

import falcon

from common import config, documentation, metrics_page, publication, times
from common.addresses import Addresses
from common.auth import Authenticator
from common.config import Settings
from common.contract import load
from common.current_operators import CurrentOperators
from common.database import Database
from common.health import Health, Readiness
from common.histories import History
from common.pagination import Cursors
from common.telemetry import Telemetry
from common.times import Clock
from common.web import build_app
from customers.customer_resources import CustomerCollection, CustomerItem, InternalCustomer
from customers.gauges import GAUGES
from customers.login_resources import LogOut, Password, Token
from customers.logins import Logins
from customers.operator_resources import OperatorCollection, OperatorItem, OperatorTokens
from customers.representations import customer_event_to_json
from customers.workflows import get_customer_events


def create_app(
    settings: Settings,
    database: Database,
    clock: Clock = times.utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> falcon.App:
    """Build the app from its collaborators; opens nothing."""
    authenticator = Authenticator(settings)
    addresses = Addresses(settings)
    cursors = Cursors(settings)
    logins = Logins(database, clock)
    history = History(database, cursors, "customer_events", get_customer_events, customer_event_to_json)
    document = load("customers")
    app = build_app(
        publication.enforced(document, settings),
        authenticator,
        CurrentOperators(database, monotonic),
        [
            ("/health", Health("customers")),
            ("/health/live", Health("customers")),
            ("/health/ready", Readiness("customers", database)),
            ("/auth/token", Token(logins, authenticator, addresses, clock)),
            ("/auth/password", Password(database, logins, addresses, clock)),
            ("/auth/logout", LogOut(database, clock)),
            ("/customers", CustomerCollection(database, cursors, clock)),
            ("/customers/{customer_id:id}", CustomerItem(database, clock)),
            (
                "/customers/{customer_id:id}/events",
                history,
            ),
            ("/operators", OperatorCollection(database, cursors, clock)),
            ("/operators/{username}", OperatorItem(database, clock)),
            ("/operators/{username}/revoke-tokens", OperatorTokens(database, clock)),
            ("/internal/customers/{customer_id:id}", InternalCustomer(database)),
            *metrics_page.routes(settings, database, GAUGES),
            *documentation.routes(document, settings),
        ],
        Telemetry("customers", database, addresses),
    )
    documentation.add_assets(app, settings)
    return app


def get_app() -> falcon.App:
    """Build the app that the environment asks for; raises `ConfigError` on a bad setting."""
    settings, database_settings = config.load("customers")
    return create_app(settings, Database(database_settings))
