"""A TCP proxy between two programs that delays, cuts, or answers itself: a network that fails."""

import asyncio
import random
import socket
import threading

CLIENT_SSL = 0x0800  # of MySQL's capability flags
COM_QUERY = 3
HANG = b"hang"
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>Welcome!\n"
SIZE = 65_536


class Wire:
    """Listens on `port` and passes everything on to `target`, a port of this machine."""

    def __init__(self, target):
        self._target = target
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self.heal()

    def heal(self):
        """Behave."""
        self.delay: tuple[float, float] | None = None  # (least, most) seconds, in each direction
        self.cut = 0.0  # the part of the COMMITs at which both sides are closed; half of them are sent on
        self.instead = None  # what is answered in place of the target: HANG, b"" for nothing, or bytes

    def cut_commits(self, part):
        """Begin to cut, on connections that are made from now on: all others are closed.

        A COMMIT can be seen where there is no TLS, so it is taken out of what the server offers. MySQL then lets in
        only who has logged in before.
        """
        self.cut = part
        self._loop.call_soon_threadsafe(lambda: [client.close() for client in self._clients])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket, limit=SIZE))
        self._loop.run_forever()
        server.close()
        serving = asyncio.all_tasks(self._loop)
        for task in serving:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*serving, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # what is closed says so in the next round
        self._loop.close()

    async def _serve(self, reader, writer):
        try:
            back, on = await asyncio.open_connection("127.0.0.1", self._target, limit=SIZE)
        except OSError:
            writer.close()
            return
        self._clients.add(writer)
        ways = {
            asyncio.ensure_future(self._send(reader, on, writer)),
            asyncio.ensure_future(self._return(back, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._clients.remove(writer)
            on.close()
            writer.close()

    async def _send(self, reader, on, writer):
        while data := await self._read(reader):
            if self.instead is not None:
                while self.instead is HANG:  # noqa: ASYNC110 - another thread heals it
                    await asyncio.sleep(0.1)
                if not self.instead:  # healed after a hang, too: that request is lost
                    return
                writer.write(self.instead)
                continue
            if data[4:5] == bytes([COM_QUERY]) and data.endswith(b"COMMIT") and random.random() < self.cut:
                if random.random() < 0.5:
                    on.write(data)
                    await on.drain()
                return
            on.write(data)
            await on.drain()

    async def _return(self, back, writer):
        is_first = self.cut > 0
        while data := await self._read(back):
            writer.write(_without_tls(data) if is_first else data)
            is_first = False
            await writer.drain()

    async def _read(self, reader):
        try:
            data = await reader.read(SIZE)
        except OSError:
            return b""
        if self.delay:
            await asyncio.sleep(random.uniform(*self.delay))
        return data


def _without_tls(greeting):
    """Return a server's first packet with the flag taken out by which it offers TLS."""
    changed = bytearray(greeting)
    # Length and number, protocol, version and a zero; thread, first part of the nonce, filler; then the lower flags.
    flags = changed.index(0, 5) + 1 + 4 + 8 + 1
    changed[flags + 1] &= ~(CLIENT_SSL >> 8) & 0xFF
    return bytes(changed)
