"""`hubfold serve` in a thread of the test, asked by sockets.

A module that imports this one is skipped where the packages of ``hubfold[serve]`` are not installed.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from urllib.parse import urlsplit

import pytest

from hubfold import Engine
from hubfold.progress import Stop
from hubfold.reports.serving import Begun
from tests.building.waiting import PATIENCE

for _package in ("starlette", "uvicorn"):
    pytest.importorskip(_package, reason="handing out models needs hubfold[serve]")
application = import_module("hubfold.serving.application")
server = import_module("hubfold.serving.server")


@dataclass(frozen=True)
class Settings:
    bind: str = "127.0.0.1:0"
    roots: tuple[str, ...] = ()
    token_file: str | None = None
    without_token: bool = False
    next: str | None = None
    tls: tuple[str | None, str | None] = (None, None)


HERE = Settings()


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Served:
    """What is served; `lines` is what was told."""

    begun: Begun
    lines: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return self.begun.endpoint

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request, by a connection of its own. `http.client.IncompleteRead` for an answer that was ended."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        finally:
            connection.close()


@contextmanager
def served(engine: Engine, settings: Settings = HERE) -> Iterator[Served]:
    """Serves until the block is left. Raises what the engine raises."""
    begun: list[Begun] = []
    lines: list[str] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    def started(what: Begun) -> None:
        begun.append(what)
        ready.set()

    def serve() -> None:
        try:
            engine.serve(settings, begun=started, told=lines.append)
        except BaseException as error:  # noqa: BLE001 - raised where the test is
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        if failed:
            raise failed[0]
        yield Served(begun[0], lines)
    finally:
        engine.workspace.stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        engine.workspace.stop = Stop()
