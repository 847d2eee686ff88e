"""Prometheus itself over ops/alerts.yml, scraping two instances; and that rules and dashboard use what there is."""

import json
import os
import re
import subprocess
from contextlib import ExitStack

import pytest
import requests

from common.metrics import COUNTED
from tests.system.conftest import ROOT, free_ports, wait_until
from tests.system.services import Service, Services, connect, prepare

PROMETHEUS = ROOT / ".local" / "prometheus" / "prometheus"  # made by dev/install
ALERTS, DASHBOARD = ROOT / "ops" / "alerts.yml", ROOT / "ops" / "grafana.json"
TOKEN = "metrics-token-of-a-test-0123456789"


class Scraped(Services):
    """Customers, and two instances of Orders, in an environment with METRICS_TOKEN."""

    def __init__(self, schema, folder):
        super().__init__({**os.environ, "DB_NAME": schema, "METRICS_TOKEN": TOKEN}, folder)
        self.second = Service("orders", free_ports(1)[0], self.environ, folder)
        self.both += (self.second,)


@pytest.fixture(scope="module")
def scraped(system_schema, tmp_path_factory):
    services = Scraped(system_schema, tmp_path_factory.mktemp("scraped"))
    prepare(services.environ)
    with connect(services.environ) as connection:
        # Other tests run jobs on this schema. Here nobody has yet, so JobLate is pending.
        connection.cursor().execute("DELETE FROM job_runs")
        connection.commit()
    with services:
        yield services


@pytest.fixture(scope="module")
def prometheus(scraped, tmp_path_factory):
    """`prometheus(path)` asks a Prometheus that scrapes them, and once more with a wrong token."""
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    jobs = [
        {
            "job_name": name,
            "authorization": {"credentials": token},
            "static_configs": [{"targets": [f"127.0.0.1:{service.port}" for service in services]}],
        }
        for name, token, services in (("b2b", TOKEN, scraped.both), ("wrong", TOKEN + "x", scraped.both[:1]))
    ]
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(ALERTS)]}
    (folder / "prometheus.yml").write_text(json.dumps(config | {"scrape_configs": jobs}))  # JSON is YAML
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    base = f"http://127.0.0.1:{port}"
    with ExitStack() as running, (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder
        )
        running.callback(process.wait)
        running.callback(process.terminate)

        def is_ready():
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return requests.get(f"{base}/-/ready", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        wait_until(is_ready)
        yield lambda path, **params: requests.get(f"{base}/api/v1/{path}", params=params, timeout=30).json()["data"]


def test_rules_and_dashboard_use_every_metric_that_there_is_and_no_other(scraped):
    # A counter is served from its first increase on.
    families = [*COUNTED.collect(), *(family for service in scraped.both for family in service.scrape(TOKEN))]
    names = {f"{family.name}{'_total' * (family.type == 'counter')}" for family in families}
    series = names | {f"{family.name}_bucket" for family in families if family.type == "histogram"}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    used = {
        name
        for text in [ALERTS.read_text(), *(target["expr"] for panel in panels for target in panel["targets"])]
        for name in re.findall(r"\bb2b_\w+", text)
    }

    assert used <= series
    assert names - {name.removesuffix("_bucket") for name in used} == set()


def test_prometheus_takes_all_rules_and_sums_over_instances(scraped, prometheus):
    for service, count in ((scraped.orders_service, 7), (scraped.second, 5)):
        for _ in range(count):
            assert service.get("/nothing-of-ours") == 404
    expected = [*[("b2b", "up")] * 3, ("wrong", "down")]

    def targets():
        active = prometheus("targets")["activeTargets"]
        return sorted((target["labels"]["job"], target["health"]) for target in active)

    def total():
        (result,) = prometheus("query", query='sum(b2b_requests_total{route="unmatched"})')["result"] or [None]
        return result and float(result["value"][1])

    wait_until(lambda: targets() == expected)
    wait_until(lambda: total() == 12)
    wait_until(lambda: all(rule["lastEvaluation"][:4] != "0001" for rule in rules(prometheus)))
    assert {rule["health"] for rule in rules(prometheus)} == {"ok"}
    # What nobody has run is late, and a target is down. On a busy machine more may be wrong.
    wait_until(
        lambda: {"InstanceDown", "JobLate"} <= {r["name"] for r in rules(prometheus) if r["state"] != "inactive"}
    )


def rules(prometheus):
    (group,) = prometheus("rules")["groups"]
    return group["rules"]
