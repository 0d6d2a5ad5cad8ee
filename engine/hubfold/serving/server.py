"""The server: uvicorn, with limits for who is slow, too many or too long, and a shorter way for bodies.

By ASGI a block is copied into the buffer of the transport where the socket does not take it at once, which costs half
the speed. `_Connection.write` hands it to the socket itself, with h11 told of its length (as its documentation has it
for ``sendfile``). With TLS all goes by ASGI.

Limits: a head of 16 KiB, ten seconds for it to come, `gate`'s refusals before anything is looked up, as many
connections at a time as `Limits` says (503 for more, twice that and they are closed), a block a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from hubfold.errors import HubfoldError, describe
from hubfold.progress import Stop
from hubfold.serving import application, gate
from hubfold.serving.application import Ended
from hubfold.serving.gate import Address

#: Seconds for all of a head to come, for the next request of a connection to begin, for answers to end with Ctrl-C.
_FOR_A_HEAD = 10.0
_IDLE = 15
#: How many blocks a fast client is given before the others have their turn.
_TURNS = 4
_TO_END = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server does at a time."""

    connections: int = 128


LIMITS = Limits()


class _Placeholder:
    """Bytes that were written already."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class _Connection(H11Protocol):
    """A connection that writes blocks itself, and that does not wait for ever for the head of a request."""

    #: Bytes of bodies that were written here, and those of them that h11 was told of.
    written = 0
    _accounted = 0
    _turns = 0
    _plain: socket.socket | None = None
    _deadline: asyncio.TimerHandle | None = None
    _waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        # Of this connection alone: what an application finds as the state of a request.
        self.app_state = {**self.app_state, "connection": self}
        super().connection_made(transport)
        limit = self.config.limit_concurrency
        if limit is not None and len(self.connections) > 2 * limit:
            transport.abort()
            return
        self._within()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._in_time()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._within()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        if self._waiting is not None:
            _done(self._waiting)
        if self._plain is not None:
            # Before its number can be another's: who waits for it is woken only later.
            self.loop.remove_writer(self._plain)
            self._plain.close()
        super().connection_lost(exc)

    def _within(self) -> None:
        self._deadline = self.loop.call_later(_FOR_A_HEAD, self.transport.abort)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # application.Connection

    @property
    def gone(self) -> bool:
        return self.transport.is_closing()

    async def write(self, block: memoryview) -> bool:
        """See `application.Connection`. Raises `application.Ended`."""
        if self.gone:
            raise Ended("the client went away")
        if self.scheme == "https" or self.transport.get_write_buffer_size():
            return False
        sock = self._socket()
        at = 0
        try:
            while at < len(block):
                try:
                    at += sock.send(block[at:])
                except BlockingIOError:
                    await self._until_writable(sock)
        except OSError as error:
            raise Ended("the client went away") from error
        finally:
            self.written += at
        self._turns = (self._turns + 1) % _TURNS
        if not self._turns:
            await asyncio.sleep(0)
        return True

    def account(self) -> None:
        """See `application.Connection`."""
        if self.written > self._accounted:
            data: Any = _Placeholder(self.written - self._accounted)
            self.conn.send_with_data_passthrough(h11.Data(data=data))
            self._accounted = self.written

    def _socket(self) -> socket.socket:
        """The socket, by a descriptor of its own: the loop watches that of the transport for what comes."""
        if self._plain is None:
            self._plain = self.transport.get_extra_info("socket").dup()
            self._plain.setblocking(False)
        return self._plain

    async def _until_writable(self, sock: socket.socket) -> None:
        if self.gone:
            raise Ended("the client went away")
        waiting = self._waiting = self.loop.create_future()
        self.loop.add_writer(sock, _done, waiting)
        try:
            async with asyncio.timeout(application.STALLED):
                await waiting
        except TimeoutError as error:
            self.transport.abort()
            raise Ended("nobody took it") from error
        finally:
            self._waiting = None
            if sock.fileno() >= 0:
                self.loop.remove_writer(sock)
        if self.gone:
            raise Ended("the client went away")


def _done(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class _Server(uvicorn.Server):
    """Ends when `stop` is set, or by SIGTERM; Ctrl-C is the command line's."""

    def __init__(self, config: uvicorn.Config, stop: Stop, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._stop = stop
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._told()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or bool(self._stop)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def listen(address: Address) -> socket.socket:
    """A socket at an address. Raises `HubfoldError`."""
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(where[:2], family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number is not None and number > 0 else describe(error)
        raise HubfoldError(
            f"{address.host} port {address.port} cannot be listened at: {reason}",
            f"name another by --bind, such as 127.0.0.1:{gate.DEFAULT_PORT + 1}, or port 0 for any that is free",
        ) from error


def run(
    app: Starlette,
    listening: socket.socket,
    *,
    tls: tuple[str, str] | None,
    stop: Stop,
    started: Callable[[], object],
) -> None:
    """Serve until `stop` is set. Raises `HubfoldError` for a certificate that cannot be used."""
    for name in ("uvicorn.error", "uvicorn.access"):
        # What is to be said of a request is said by the application.
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    config = uvicorn.Config(
        app,
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=LIMITS.connections + 1,
        backlog=256,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_TO_END,
        h11_max_incomplete_event_size=application.LONGEST_HEAD,
        ssl_certfile=tls[0] if tls is not None else None,
        ssl_keyfile=tls[1] if tls is not None else None,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one.
        raise HubfoldError(
            f"the certificate cannot be used: {describe(error)}",
            "give the chain as --tls-cert and its key as --tls-key, both PEM, the key without a password",
        ) from error
    _Server(config, stop, started).run(sockets=[listening])
