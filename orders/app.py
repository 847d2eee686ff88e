"""The Orders API: every route on one screen. gunicorn loads `orders.app:get_app()`."""

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
from orders.customers_client import CustomersClient
from orders.documentation_resources import DocumentationToken
from orders.feed_resources import Feed
from orders.gauges import GAUGES
from orders.order_resources import (
    OrderCancellation,
    OrderCollection,
    OrderConfirmation,
    OrderItem,
)
from orders.order_workflows import get_order_events
from orders.product_resources import ProductCollection, ProductItem
from orders.product_workflows import get_product_events
from orders.representations import order_event_to_json, product_event_to_json


def create_app(
    settings: Settings,
    database: Database,
    customers: CustomersClient,
    clock: Clock = times.utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> falcon.App:
    """Build the app from its collaborators; opens nothing."""
    addresses = Addresses(settings)
    cursors = Cursors(settings)
    order_history = History(database, cursors, "order_events", get_order_events, order_event_to_json)
    product_history = History(database, cursors, "product_events", get_product_events, product_event_to_json)
    document = load("orders")
    app = build_app(
        publication.enforced(document, settings),
        Authenticator(settings),
        CurrentOperators(database, monotonic),
        [
            ("/health", Health("orders")),
            ("/health/live", Health("orders")),
            ("/health/ready", Readiness("orders", database)),
            ("/products", ProductCollection(database, cursors, clock)),
            ("/products/{product_id:id}", ProductItem(database, clock)),
            (
                "/products/{product_id:id}/events",
                product_history,
            ),
            ("/orders", OrderCollection(database, customers, cursors, settings, clock)),
            ("/orders/{order_id:id}", OrderItem(database, settings, clock)),
            ("/orders/{order_id:id}/confirm", OrderConfirmation(database, settings, clock)),
            ("/orders/{order_id:id}/cancel", OrderCancellation(database, settings, clock)),
            (
                "/orders/{order_id:id}/events",
                order_history,
            ),
            ("/events", Feed(database)),
            *metrics_page.routes(settings, database, GAUGES),
            *documentation.routes(document, settings, ("/docs/token", DocumentationToken(customers, addresses))),
        ],
        Telemetry("orders", database, addresses),
    )
    documentation.add_assets(app, settings)
    return app


def get_app() -> falcon.App:
    """Build the app that the environment asks for; raises `ConfigError` on a bad setting."""
    settings, database_settings = config.load("orders")
    customers = CustomersClient(settings.customers_api_base, settings.service_tokens[0])
    return create_app(settings, Database(database_settings), customers)
