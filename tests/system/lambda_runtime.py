"""Lambda on this machine: AWS's own runtime client runs an unpacked zip against a small Runtime API.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import subprocess
import threading
import time
import uuid

from aws.package import PYTHON
from tests.system.http_server import Server, answer

START_SECONDS = 30


class LambdaError(Exception):
    """The function failed as a function: API Gateway's caller gets 500 and no word of ours."""


class LambdaTimeout(Exception):
    """The function was killed at its deadline: API Gateway's caller gets 503."""


class LambdaFunction:
    """A function with as many instances as there are events at once, started when they are needed."""

    def __init__(self, folder, handler, environ, log_path, timeout=28):
        self.timeout = timeout  # seconds
        self._folder, self._handler, self._environ, self._log_path = folder, handler, environ, log_path
        self._idle = []
        self._all = []
        self._lock = threading.Lock()

    def invoke(self, event):
        """Return what the handler returned for the event."""
        instance = self._take()
        try:
            result = instance.invoke(event, self.timeout)
        except LambdaTimeout:
            instance.close()
            raise
        with self._lock:
            self._idle.append(instance)
        return result

    def kill(self):
        """End all instances as a failing host does; whatever they were doing ends in the middle."""
        with self._lock:
            instances, self._all, self._idle = self._all, [], []
        for instance in instances:
            instance.close()

    def log(self):
        """Return what all instances have written."""
        return self._log_path.read_text()

    def _take(self):
        with self._lock:
            if self._idle:
                return self._idle.pop()
        instance = _Instance(self._folder, self._handler, self._environ, self._log_path)
        with self._lock:
            self._all.append(instance)
        return instance


class _Instance(Server):
    """One process of the runtime client, and the Runtime API that it asks for events."""

    def __init__(self, folder, handler, environ, log_path):
        super().__init__()
        self._events, self._results = queue.Queue(), queue.Queue()
        self._asks = threading.Event()
        self.__enter__()
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "awslambdaric", handler],
                cwd=folder,
                # Nothing of this process's own environment, which knows the repository.
                env=environ | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.port}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # The time that a function takes to start is not the event's.
        assert self._asks.wait(START_SECONDS), f"the function did not start: {log_path}"

    def invoke(self, event, seconds):
        """Hand over one event and return what became of it."""
        self._events.put((json.dumps(event).encode(), time.time() + seconds))
        try:
            kind, body = self._results.get(timeout=seconds)
        except queue.Empty:
            raise LambdaTimeout() from None
        if kind != "response":
            raise LambdaError(body.decode())
        return json.loads(body)

    def close(self):
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self._events.put(None)
        self._results.put(("error", b"killed"))
        self.__exit__()

    def serve(self, handler):
        """Give the next event, or take a result: …/invocation/ID/response, …/invocation/ID/error or …/init/error."""
        self._asks.set()
        if handler.command == "POST":
            self._results.put((handler.path.rsplit("/", 1)[1], handler.body))
            answer(handler, 202, "application/json", b'{"status":"OK"}\n')
        elif event := self._events.get():
            body, deadline = event
            answer(handler, 200, "application/json", body, [
                ("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4())),
                ("Lambda-Runtime-Deadline-Ms", str(int(1000 * deadline))),
                ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:000000000000:function:test"),
                ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"),
            ])  # fmt: skip
        else:
            handler.close_connection = True
