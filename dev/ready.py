"""Waits until the three programs answer, and says where they are: the last process of `make run`."""

import signal
import sys
import time

import requests

from common import config

PATIENCE = 60  # seconds; serverless offline takes about three on a small machine


def direct_session():
    """Return a session that ignores the machine's proxy settings and ~/.netrc: all is on 127.0.0.1."""
    session = requests.Session()
    session.trust_env = False
    return session


def wait_for_programs(settings):
    """Return {name: base address} once each answers its health check; raise SystemExit if one doesn't."""
    bases = {
        "Customers": f"http://127.0.0.1:{settings.customers_port}",
        "Orders": f"http://127.0.0.1:{settings.orders_port}",
        "Orchestrator": f"http://127.0.0.1:{settings.orchestrator_port}",
    }
    session = direct_session()
    deadline = time.monotonic() + PATIENCE
    for name, base in bases.items():
        while not _answers(session, base):
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} does not answer at {base} after {PATIENCE} s; its log says why")
            time.sleep(0.1)  # a process starts; there is nothing to wait on but its port
    return bases


def _answers(session, base):
    try:
        return session.get(f"{base}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def main():
    """Print a line for each program and the demo login, then wait to be stopped."""
    settings = config.load_settings(config.read_environment())
    for name, base in wait_for_programs(settings).items():
        # Orchestrator has no page.
        page = f"   to read and try: {base}/docs" if settings.api_docs and name != "Orchestrator" else ""
        print(f"{name:12}  {base}{page}", flush=True)
    if settings.app_env == "development":
        print("Demo login    demo / demo-password (or viewer / viewer-password)", flush=True)
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(0))
    main()
