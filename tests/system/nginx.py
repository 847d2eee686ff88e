"""nginx with docs/nginx.conf and one of its address files; and upstreams that keep what they get."""

import getpass
import json
import pathlib
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.system.conftest import ROOT, free_ports, wait_until
from tests.system.http_server import Server, answer

NGINX = ROOT / ".local" / "nginx" / "nginx"  # made by dev/install
COMPOSE = "nginx-addresses.compose.conf"
BALANCER = "127.0.0.9"  # an address that is believed when it says for whom it asks
STOP_SECONDS = 30
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """nginx before instances: for each service of the address file the ports of its instances, in the file's order.

    `change` takes the text of the address file and returns another.
    """

    def __init__(self, folder, *instances, addresses="nginx-addresses.conf", change: Callable[[str], str] = str):
        self.ports = free_ports(len(instances))
        self.customers, self.orders, *_ = [f"http://127.0.0.1:{port}" for port in self.ports]
        self._folder = folder
        folder.mkdir()
        self._configuration = folder / "nginx.conf"
        self._addresses = folder / "nginx-addresses.conf"
        for name in ("nginx.conf", "nginx-server.conf"):
            text = (ROOT / "docs" / name).read_text()
            (folder / name).write_text(text.replace("/var/log/nginx", str(folder)).replace("/run/", f"{folder}/"))
        # Where nginx's package has its temporary files: not on a machine where it was only unpacked.
        temporary = "".join(f"{name}_temp_path {folder / name};\n" for name in TEMPORARY)
        self._addresses.write_text(temporary + self._place(change((ROOT / "docs" / addresses).read_text()), instances))
        self.process: Any = None  # until it is started

    def _place(self, text, instances):
        servers = iter(sum(instances, []))
        text = re.sub(r"server \S+:\d+( resolve)?", lambda _: f"server 127.0.0.1:{next(servers)}", text)
        assert list(servers) == []
        for (old, service), port in zip(re.findall(r"^ +(\d+) (\w+);", text, re.MULTILINE), self.ports, strict=True):
            text = text.replace(f" {old} {service};", f" {port} {service};")
            text = re.sub(rf"listen (127\.0\.0\.1:)?{old}\b", f"listen 127.0.0.1:{port}", text)
        return text

    def __enter__(self):
        # As root its workers would be somebody who may not enter the folder.
        own = f"daemon off; user {getpass.getuser()};"
        self.process = subprocess.Popen(
            [NGINX, "-p", self._folder, "-c", self._configuration, "-e", self._folder / "start.log", "-g", own],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: self._listens() or self.process.poll() is not None)
        assert self.process.poll() is None, (self._folder / "start.log").read_text()
        return self

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.ports[-1])) == 0

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    @contextmanager
    def without(self, *ports):
        """Take instances out: mark them as down and load the file anew; they are back afterwards."""
        text = self._addresses.read_text()
        self._load(re.sub(rf"server 127\.0\.0\.1:({'|'.join(map(str, ports))})\b", r"\g<0> down", text))
        yield
        self._load(text)

    def _load(self, text):
        # Returns when nobody works by the old file any more.
        self._addresses.write_text(text)
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
        return "".join(path.read_text() for path in self._folder.glob("*.log"))


def believe_balancer(addresses):
    """Return an address file that believes BALANCER."""
    lines = r"^#(set_real_ip_from) .*\n#(real_ip_header .*)\n#(real_ip_recursive .*)$"
    changed, count = re.subn(lines, rf"\1 {BALANCER};\n\2\n\3", addresses, flags=re.MULTILINE)
    assert count == 1
    return changed


class Recorder(Server):
    """An instance that keeps what it gets, and answers 200 where no script does."""

    def __init__(self):
        super().__init__()
        self.requests = []  # (method, path, headers), in order
        self._scripts = []

    def serve(self, handler):
        self.requests.append((handler.command, handler.path, handler.headers))
        script = self._scripts.pop() if self._scripts else answer_ok
        script(handler)

    def script(self, script, times=1):
        """Let `script` handle the next requests."""
        self._scripts.extend([script] * times)


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
