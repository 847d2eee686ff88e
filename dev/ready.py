"""Waits until the three programs answer, and says where they are: the last process of `make run`."""

import signal
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from common import config


def wait_for_programs(settings):
    """Return {name: base address} once each answers its health check, and the session that has asked them."""
    ports = {name: getattr(settings, f"{name.lower()}_port") for name in ("Customers", "Orders", "Orchestrator")}
    bases = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    session = requests.Session()
    session.trust_env = False  # the machine's proxy settings and ~/.netrc: all is on 127.0.0.1
    # For a minute; serverless offline takes about three seconds to start on a small machine.
    session.mount("http://", HTTPAdapter(max_retries=Retry(120, backoff_factor=0.1, backoff_max=0.5)))
    for base in bases.values():
        session.get(f"{base}/health", timeout=5).raise_for_status()
    return bases, session


def main():
    """Print a line for each program and the demo login, then wait to be stopped."""
    settings = config.load_settings(config.read_environment())
    for name, base in wait_for_programs(settings)[0].items():
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
