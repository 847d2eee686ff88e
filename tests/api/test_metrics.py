"""`/metrics` in process: who may read it, and what it says. Of several workers: tests/system/test_metrics.py."""

import dataclasses
import uuid
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common import jobs, metrics_page, times
from common.database import ER_LOCK_DEADLOCK, Database
from common.problems import Busy
from orders.gauges import GAUGES
from tests.contract_client import refusal
from tests.factories import order_request, unique

TOKEN = "metrics-token-of-a-test-0123456789"
PREVIOUS = "previous-metrics-token-of-a-test-012345"


def samples(families):
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture
def guarded(make_orders_api, settings):
    """A client of Orders where METRICS_TOKEN is set."""
    return make_orders_api(settings=dataclasses.replace(settings, metrics_tokens=(TOKEN, PREVIOUS)))


@pytest.fixture
def scrape(orders_api):
    """`scrape()` returns {(name, its labels): value}."""
    return lambda: samples(text_string_to_metric_families(orders_api.get("/metrics", token=None).text))


@pytest.fixture
def counted(scrape):
    """`counted(name, label=value, …)` returns what was added since the fixture was made."""
    before = scrape()

    def added(name, **labels):
        key = (name, frozenset(labels.items()))
        return scrape().get(key, 0) - before.get(key, 0)

    return added


def test_who_scrapes_sends_one_of_two_tokens_that_open_nothing_else(guarded):
    for token in (TOKEN, PREVIOUS):
        assert guarded.get("/metrics", token=token).status_code == 200
        assert refusal(guarded.get("/products", token=token)) == (403, "caller_not_allowed")
        acting = {"X-On-Behalf-Of": "demo"}
        assert refusal(guarded.get("/orders", token=token, headers=acting)) == (403, "caller_not_allowed")


def test_nobody_else_may_where_there_is_a_token(guarded, make_token, service_token):
    assert refusal(guarded.get("/metrics", token=None)) == (401, "authentication_required")
    assert refusal(guarded.get("/metrics", token=TOKEN + "x")) == (401, "invalid_token")
    for token in (make_token(role="admin"), service_token):
        assert refusal(guarded.get("/metrics", token=token)) == (403, "caller_not_allowed")


def test_production_without_a_token_has_no_metrics(make_orders_api, settings):
    api = make_orders_api(settings=dataclasses.replace(settings, app_env="production"))

    assert refusal(api.get("/metrics", token=None)) == (404, "not_found")


def test_parameter_is_refused(orders_api):
    assert refusal(orders_api.get("/metrics?x", token=None)) == (400, "invalid_request")


def test_requests_are_counted_by_route_and_timed(orders_api, factory, counted):
    product = factory.make_product()["id"]

    for _ in range(3):
        orders_api.get(f"/products/{product}")
    orders_api.get("/products/999999999")

    route = {"service": "orders", "method": "GET", "route": "/products/{product_id}"}
    assert counted("b2b_requests_total", **route, status="2xx") == 3
    assert counted("b2b_requests_total", **route, status="4xx") == 1
    assert counted("b2b_request_seconds_count", **route) == 4
    assert counted("b2b_problems_total", code="product_not_found") == 1


def test_what_clients_make_up_adds_one_series(orders_api, scrape):
    scrape()  # which is a request, too
    before = scrape().keys()

    for _ in range(500):
        orders_api.put(f"/{uuid.uuid4()}")

    added = [labels for name, labels in scrape().keys() - before if name == "b2b_requests_total"]
    assert added == [{("service", "orders"), ("method", "PUT"), ("route", "unmatched"), ("status", "4xx")}]


def test_transactions_retries_and_replays_are_counted(orders_api, factory, make_database, counted):
    headers = {"X-Idempotency-Key": unique("key")}
    body = order_request(factory.make_customer(), (factory.make_product(), 1))

    for _ in range(2):
        orders_api.post("/orders", json=body, headers=headers)
    orders_api.post("/orders", json=order_request({"id": 999999999}, (factory.make_product(), 1)))
    deadlock = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {ER_LOCK_DEADLOCK}"
    with pytest.raises(Busy):
        make_database(sleep=lambda seconds: None).transact(lambda tx: tx.execute(deadlock))

    assert counted("b2b_transactions_total", outcome="committed") >= 2
    assert counted("b2b_transactions_total", outcome="busy") == 1
    assert counted("b2b_transaction_retries_total", cause="deadlock") == 4
    assert counted("b2b_idempotent_replays_total", operation="create_order") == 1


def test_log_ins_are_counted(customers_api, factory, counted):
    name = factory.make_operator("seven-brown-pallets")
    for password in ("wrong-wrong-wrong", "seven-brown-pallets"):
        customers_api.post("/auth/token", token=None, json={"username": name, "password": password})

    assert [counted("b2b_logins_total", outcome=outcome) for outcome in ("refused", "ok")] == [1, 1]


def test_gauges_say_what_waits_for_the_jobs(settings, database, make_database, factory, clock):
    clock.now -= timedelta(seconds=settings.order_ttl_seconds + 60)
    factory.make_order(settings)
    database.transact(jobs.record, "expire", times.utc_now(), True)
    database.transact(jobs.record, "expire", times.utc_now(), False)
    database.transact(jobs.record, "verify", times.utc_now(), False)

    collector = metrics_page.DatabaseCollector(make_database(), {**GAUGES, **metrics_page.JOB_GAUGES})
    values = {(s.name, *s.labels.values()): s.value for family in collector.collect() for s in family.samples}

    assert values["b2b_database_up",] == 1
    assert values["b2b_oldest_created_order_seconds",] > settings.order_ttl_seconds
    assert values["b2b_expired_orders_waiting",] >= 1
    assert values["b2b_unsequenced_events",] >= 1
    assert abs(values["b2b_job_last_success_timestamp_seconds", "expire"] - times.utc_now().timestamp()) < 86_400
    assert values["b2b_job_ok", "expire"] == values["b2b_job_ok", "verify"] == 0
    assert ("b2b_job_last_success_timestamp_seconds", "verify") not in values


def test_database_is_asked_once_in_ten_seconds_and_may_be_away(silent_settings, make_database):
    now = [0.0]
    asked = []

    class Counting(Database):
        def read(self, fn, *args):
            asked.append(1)
            return super().read(fn, *args)

    collector = metrics_page.DatabaseCollector(make_database(Counting), metrics_page.JOB_GAUGES, lambda: now[0])
    for now[0] in (0.0, 9.0, 10.0):
        collector.collect()
    assert len(asked) == 2

    away = metrics_page.DatabaseCollector(make_database(settings=silent_settings), metrics_page.JOB_GAUGES)
    (up,) = away.collect()
    assert (up.name, up.samples[0].value) == ("b2b_database_up", 0)
