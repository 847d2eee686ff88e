"""nginx with docs/nginx.conf as it is, but for addresses, ports and paths; and upstreams that keep what they get."""

import getpass
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.system.conftest import ROOT, free_ports, wait_until
from tests.system.proxy import answer

NGINX = ROOT / ".local" / "nginx" / "nginx"  # made by dev/install-nginx
CONFIGURATION = ROOT / "docs" / "nginx.conf"
BALANCER = "127.0.0.9"  # an address that is believed when it says for whom it asks
STOP_SECONDS = 10
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """nginx before instances, lists of ports; `behind_balancer` takes the lines for a balancer in.

    `also` are further replacements in the file, (old, new).
    """

    def __init__(self, folder, customers, orders, behind_balancer=True, also=()):
        self.customers_port, self.orders_port = free_ports(2)
        self.customers = f"http://127.0.0.1:{self.customers_port}"
        self.orders = f"http://127.0.0.1:{self.orders_port}"
        self._folder = folder
        folder.mkdir()
        self._configuration = folder / "nginx.conf"
        self.ports = (*customers, *orders)
        text = CONFIGURATION.read_text()
        for old, new in [*also, *self._places()]:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        if behind_balancer:
            text = re.sub(
                r"#set_real_ip_from 192\.0\.2\.10;\n( +)#(.*)\n( +)#(.*)\n",
                rf"set_real_ip_from {BALANCER};\n\1\2\n\3\4\n",
                text,
            )
            assert BALANCER in text
        self._configuration.write_text(text)
        self.process: Any = None  # until it is started

    def _places(self):
        servers = [f"server 127.0.0.1:{port} max" for port in (3001, 3011, 3002, 3012)]
        # Where nginx's package has its temporary files: not on a machine where it was only unpacked.
        temporary = "".join(f"    {name}_temp_path {self._folder / name};\n" for name in TEMPORARY)
        return [
            *zip(servers, [f"server 127.0.0.1:{port} max" for port in self.ports], strict=True),
            ("listen 127.0.0.1:8081", f"listen 127.0.0.1:{self.customers_port}"),
            ("listen 127.0.0.1:8082", f"listen 127.0.0.1:{self.orders_port}"),
            (" 8081 customers;", f" {self.customers_port} customers;"),
            (" 8082 orders;", f" {self.orders_port} orders;"),
            ("/run/nginx.pid", str(self._folder / "nginx.pid")),
            ("/var/log/nginx/error.log", str(self._folder / "error.log")),
            ("/var/log/nginx/access.log", str(self._folder / "access.log")),
            ("http {\n", "http {\n" + temporary),
        ]

    def _command(self, *options):
        return [NGINX, "-p", self._folder, "-c", self._configuration, "-e", self._folder / "start.log", *options]

    def check(self):
        """Return what `nginx -t` says and its status."""
        command = self._command("-t", "-q")
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        return run.returncode, run.stdout + run.stderr

    def __enter__(self):
        # As root its workers would be somebody who may not enter the folder.
        own = f"daemon off; user {getpass.getuser()};"
        self.process = subprocess.Popen(
            self._command("-g", own),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: self._listens() or self.process.poll() is not None)
        assert self.process.poll() is None, (self._folder / "start.log").read_text()
        return self

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.orders_port)) == 0

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    @contextmanager
    def without(self, port):
        """Take an instance out: mark it as down and load the file anew; it is back afterwards."""
        text = self._configuration.read_text()
        self._load(text.replace(f"127.0.0.1:{port} max", f"127.0.0.1:{port} down max"))
        yield
        self._load(text)

    def _load(self, text):
        # Returns when nobody works by the old file any more.
        self._configuration.write_text(text)
        old = self._workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not old & self._workers())

    def _workers(self):
        pid = self.process.pid
        return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def access_log(self, count=0):
        """Return the lines of the access log, parsed, once there are `count`: each comes after its answer."""
        wait_until(lambda: len(self._whole_lines()) >= count)
        return [json.loads(line) for line in self._whole_lines()]

    def _whole_lines(self):
        # Behind the last end of a line is one that is half written, or nothing.
        return (self._folder / "access.log").read_text().split("\n")[:-1]

    def logs(self):
        """Return everything that nginx has written."""
        return "".join(path.read_text() for path in self._folder.glob("*.log"))


class Recorder:
    """An instance that keeps what it gets, and answers 200 where no script does."""

    def __init__(self, port=0):
        self.requests = []  # (method, path, headers), in order
        self.connections = []  # the ports they come from
        self._scripts = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                recorder.connections.append(self.client_address[1])
                super().setup()

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                recorder.requests.append((self.command, self.path, self.headers))
                script = recorder._scripts.pop() if recorder._scripts else None
                (script or answer_ok)(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *arguments, **options):
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def script(self, script, times=1):
        """Let `script` handle the next requests."""
        self._scripts.extend([script] * times)

    def reset(self):
        """Forget what came and what was scripted."""
        self.requests.clear()
        self.connections.clear()
        self._scripts.clear()


def answer_ok(handler):
    """Answer as a service does, with the id of the request."""
    answer(handler, 200, "application/json", b'{"ok":true}', [("X-Request-ID", handler.headers["X-Request-ID"])])


def break_off(handler):
    """Close the connection without an answer."""
    handler.close_connection = True


class _FromAddress(HTTPAdapter):
    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


def client_at(address):
    """Return a session whose connections come from an address of this machine."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _FromAddress(address))
    return session
