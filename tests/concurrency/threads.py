"""Calls in threads: each with its own connection, all let go at once, none waited for without end."""

import threading

TIMEOUT = 30  # seconds; the slowest call here, one that is refused as busy, takes four


class Call(threading.Thread):
    """Runs `function()` in a thread; `outcome()` gives what it returned, or raises what it raised."""

    def __init__(self, database, function, barrier=None):
        # A daemon: a thread that hangs fails its test, and doesn't keep the run from ending.
        super().__init__(daemon=True)
        self._database = database
        self._function = function
        self._barrier = barrier or threading.Barrier(1)
        self._result = None
        self.error = None

    def run(self):
        """Connect, wait for the others, call."""
        try:
            # Connected before the barrier: a handshake takes longer than many a transaction, and
            # connections that open one after another would line the calls up.
            self._database.read(lambda cursor: self._barrier.wait(TIMEOUT))
            self._result = self._function()
        except BaseException as ex:  # noqa: BLE001 - for whoever asks how it ended
            self.error = ex
            self._barrier.abort()

    def outcome(self):
        """Wait for the end."""
        self.join(TIMEOUT)
        assert not self.is_alive(), f"still running after {TIMEOUT} s"
        if self.error is not None:
            raise self.error
        return self._result


def run_at_once(database, functions):
    """Run all functions at the same moment; return what they returned, in their order."""
    functions = list(functions)
    barrier = threading.Barrier(len(functions))
    calls = [Call(database, function, barrier) for function in functions]
    for call in calls:
        call.start()
    for call in calls:
        call.join(TIMEOUT)
    # One that never came to the barrier breaks it for all; its own error is the one to see.
    for call in sorted(calls, key=lambda call: isinstance(call.error, threading.BrokenBarrierError)):
        call.outcome()
    return [call.outcome() for call in calls]
