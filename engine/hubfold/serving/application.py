"""The answers, as a Starlette application: looked up on the shelf, proved, and sent block by block.

What is answered for what is not here is in the docstring of `shelf`: a 404 says "no such file" only where a listing
says so, for clients remember that. Everything else goes to the next endpoint, or is a 404 that names nothing as absent.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hubfold.display import shown
from hubfold.serving import onward, protocol
from hubfold.serving.catalogue import Catalogue
from hubfold.serving.gate import Gate
from hubfold.serving.proof import BLOCK, NotTheContent, Opened, Proofs
from hubfold.serving.protocol import Asked
from hubfold.serving.shelf import Shelf, Shelved, ShelvedModel, ShelvedRevision

#: Seconds that an answer waits for a proof before its headers go: clients wait ten by themselves.
PATIENCE = 6.0
#: Seconds in which a client has to take a block, or to send what it asks.
STALLED = 60.0
#: The last bytes of an answer, which go only after the file system was asked once more.
LAST = 4 << 10
#: Bytes of a request without its body.
LONGEST_HEAD = 16 << 10
#: Bytes of what may be asked at once, as ``paths-info`` does.
_LONGEST_BODY = 1 << 20
_METHODS = ("GET", "HEAD", "POST")
_FORM = "application/x-www-form-urlencoded"


class Connection(Protocol):
    """What a server may offer beside ASGI, as ``state["connection"]``: to write a part of a body at once."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens any more."""

    async def write(self, block: memoryview) -> bool:
        """Write it, without a copy; False where that cannot be done and it has to go by ASGI, as what comes after."""

    def account(self) -> None:
        """Count what was written as a part of the body: before anything of it goes by ASGI."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What became of a request: for the access log. Nothing of its query and its headers is in it."""

    client: str
    method: str
    path: str
    status: int
    bytes: int
    seconds: float
    #: Why it was ended before its end.
    ended: str = ""

    @property
    def line(self) -> str:
        """As one line, with nothing that a terminal could take for a command."""
        end = f", ended: {self.ended}" if self.ended else ""
        return f"{self.client} {self.method} {shown(self.path)} {self.status} {self.bytes} {self.seconds:.2f}s{end}"


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers are made of. `told` gets every request when it is over."""

    catalogue: Catalogue
    proofs: Proofs
    gate: Gate
    next: str | None
    told: Callable[[Logged], object]
    head: Callable[[str], onward.Told] = field(default=onward.head)

    def application(self) -> Starlette:
        """The ASGI application."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            try:
                yield
            finally:
                self.catalogue.close()
                self.proofs.close()

        app = Starlette(lifespan=lifespan)
        # No route: their patterns match no path with a newline in it, and this one is to answer every request.
        app.router.default = self._answer
        return app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._found(request)
        except Exception as error:  # noqa: BLE001 - one request that cannot be answered, and the others can
            answer = _refusal(500, f"unexpected {type(error).__name__}: {error}")
        await self._send(answer, request, send)

    async def _send(self, answer: Response, request: Request, send: Send) -> None:
        """Send an answer, and tell the log at its end."""
        begun, sent, ended = time.monotonic(), 0, ""
        connection = request.scope.get("state", {}).get("connection")
        before = getattr(connection, "written", 0)

        async def counted(message: Any) -> None:
            nonlocal sent
            sent += len(message.get("body", b"")) if request.method != "HEAD" else 0
            await send(message)

        try:
            await answer(request.scope, request.receive, counted)
        except Ended as error:
            # Returning without the end of the body makes the server close the connection.
            ended = str(error)
        finally:
            sent += getattr(connection, "written", 0) - before
            self.told(
                Logged(
                    client=request.client.host if request.client is not None else "?",
                    method=request.method,
                    path=request.scope["path"],
                    status=answer.status_code,
                    bytes=sent,
                    seconds=time.monotonic() - begun,
                    ended=ended,
                )
            )

    async def _found(self, request: Request) -> Response:
        if sum(len(name) + len(value) for name, value in request.headers.raw) > LONGEST_HEAD:
            return _refusal(431, "the head of the request is too long")
        why = self.gate.refuses(request.headers)
        if why is not None:
            status = 401 if self.gate.token is not None else 403
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            return _refusal(status, why, "", headers)
        if request.method not in _METHODS:
            return _refusal(405, "files are only handed out here", headers={"Allow": ", ".join(_METHODS)})
        target: bytes = request.scope.get("raw_path") or b""
        asked = protocol.asked(target.partition(b"?")[0])
        if not asked.what or (request.method == "POST") is not (asked.what == "paths-info"):
            return await self._onward(request, "this host has nothing of this kind")
        found = await self._looked_up(request, asked, await self.catalogue.shelf())
        if found is None:
            found = await self._looked_up(request, asked, await self.catalogue.anew())
        return found or await self._missing(request, asked, await self.catalogue.shelf())

    async def _looked_up(self, request: Request, asked: Asked, shelf: Shelf) -> Response | None:
        """The answer where the shelf has what is asked for."""
        if asked.what == "content":
            file = shelf.by_sha256.get(asked.path)
            return await self._file(request, file, None) if file is not None else None
        model = shelf.models.get(asked.name)
        revision = model.revision(asked.revision) if model is not None else None
        if model is None or revision is None:
            return None
        if asked.what == "file":
            file = revision.files.get(asked.path)
            return await self._file(request, file, revision.commit) if file is not None else None
        return await _listing(request, asked, model, revision) if revision.whole else None

    async def _file(self, request: Request, file: Shelved, commit: str | None) -> Response | None:
        """The first of its copies that is it, or is not known not to be it; None where none is."""
        for path in file.paths:
            try:
                opened = Opened(file, path, self.proofs)
            except (OSError, NotTheContent):
                continue
            answer = None
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0 if request.method == "HEAD" else PATIENCE):
                        await opened.prove()
                answer = _content(request, opened, commit)
                return answer
            except (OSError, NotTheContent):
                continue
            finally:
                if not isinstance(answer, _Content):
                    opened.close()
        return None

    async def _missing(self, request: Request, asked: Asked, shelf: Shelf) -> Response:
        """What is not here: for certain, or as far as this host knows."""
        model = shelf.models.get(asked.name)
        revision = model.revision(asked.revision) if model is not None else None
        if asked.what == "content":
            return _refusal(404, "this host does not have this content", "EntryNotFound")
        listed = revision.listed if revision is not None else None
        if revision is not None and listed is not None and asked.what == "file" and asked.path not in listed:
            headers = {"X-Repo-Commit": revision.commit}
            return _refusal(404, "the revision has no such file", "EntryNotFound", headers)
        if model is None:
            return await self._onward(request, f"this host does not have {asked.name}", "RepoNotFound")
        if revision is None:
            return await self._onward(request, "this host does not have the revision", "RevisionNotFound")
        return await self._onward(request, "this host has only a part of the revision, and not this of it")

    async def _onward(self, request: Request, message: str, code: str = "") -> Response:
        if self.next is None:
            return _refusal(404, message, code)
        target: bytes = request.scope.get("raw_path") or b"/"
        path = target.partition(b"?")[0].decode("ascii", "replace")
        if not path.startswith("/"):
            return _refusal(400, "this is no path")
        query = request.scope["query_string"].decode("ascii", "replace")
        url = f"{self.next}{path}" + (f"?{query}" if query else "")
        if request.method != "HEAD":
            return Response(status_code=307, headers={"Location": url})
        told = await asyncio.get_running_loop().run_in_executor(None, self.head, url)
        headers = {
            name: value for name, value in told.headers.items() if "\n" not in value and "\r" not in value
        }
        return Response(status_code=told.status, headers=headers)


async def _listing(
    request: Request, asked: Asked, model: ShelvedModel, revision: ShelvedRevision
) -> Response | None:
    if asked.what == "refs":
        return JSONResponse(protocol.refs(model))
    if asked.what == "info":
        return JSONResponse(protocol.info(asked.name, revision))
    if asked.what == "tree":
        recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        found = protocol.tree(revision, asked.path, recursive=recursive)
        if found is None:
            return _refusal(404, "the revision has no such folder", "EntryNotFound")
        return JSONResponse(found)
    paths = _paths(request, await _body(request))
    return (
        JSONResponse(protocol.paths_info(revision, paths)) if paths is not None else _refusal(400, "no paths")
    )


def _paths(request: Request, body: bytes) -> list[str] | None:
    """The paths that a body names; None where it makes no sense."""
    if request.headers.get("content-type", "").startswith(_FORM):
        return parse_qs(body.decode("utf-8", "replace")).get("paths", [])
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    paths = document.get("paths") if isinstance(document, dict) else None
    if isinstance(paths, str):
        paths = [paths]
    return paths if isinstance(paths, list) and all(isinstance(one, str) for one in paths) else None


async def _body(request: Request) -> bytes:
    """What was sent, nothing of what is too long or comes too slowly."""
    body = b""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(STALLED):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    return b""
    return body


def _refusal(status: int, message: str, code: str = "", headers: Mapping[str, str] = {}) -> Response:
    # What it names was typed by who asks: nothing of it may end the header.
    message = shown(message).encode("ascii", "backslashreplace").decode()
    told = {"X-Error-Message": message, **headers}
    if code:
        told["X-Error-Code"] = code
    return JSONResponse({"error": message}, status, told)


def _content(request: Request, opened: Opened, commit: str | None) -> Response:
    headers = protocol.headers_of(opened.file, commit)
    size = opened.file.size
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(size)})
    try:
        span = protocol.span(request.headers, size, headers["ETag"])
    except protocol.NotSatisfiable:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, end = span or (0, size)
    headers["Content-Length"] = str(end - first)
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return _Content(opened, (first, end), headers, 206 if span is not None else 200)


class _Content(Response):
    """The bytes of a file; ends without the last ones where they turn out not to be its content."""

    def __init__(
        self, opened: Opened, span: tuple[int, int], headers: Mapping[str, str], status: int
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        self._opened = opened
        self._span = span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await _Way(scope, send).give(self._opened, *self._span)


class Ended(Exception):
    """An answer that is not gone on with; the connection is closed, so that nobody takes it for whole."""


class _Way:
    """To a client: what its connection writes itself, and what goes by ASGI."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._connection: Connection | None = scope.get("state", {}).get("connection")
        self._send = send

    async def give(self, opened: Opened, first: int, end: int) -> None:
        """Raises `Ended`."""
        at, last = first, max(first, end - LAST)
        block = memoryview(bytearray(min(BLOCK, max(last - first, end - last))))
        try:
            while at < last:
                count = await opened.read(block[: min(len(block), last - at)], at)
                await self._put(block[:count])
                at += count
            tail = b""
            while at < end:
                count = await opened.read(block[: end - at], at)
                tail += block[:count]
                at += count
            if tail:
                await opened.still()
        except NotTheContent as error:
            raise Ended("it is not, or not any more, what it is called") from error
        except OSError as error:
            raise Ended(error.strerror or type(error).__name__) from error
        await self._by_asgi(tail, more=False)

    async def _put(self, block: memoryview) -> None:
        connection = self._connection
        if connection is None or not await connection.write(block):
            await self._by_asgi(bytes(block), more=True)

    async def _by_asgi(self, body: bytes, *, more: bool) -> None:
        if self._connection is not None:
            self._connection.account()
        try:
            async with asyncio.timeout(STALLED):
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError as error:
            raise Ended("nobody took it") from error
        if self._connection is not None and self._connection.gone and more:
            raise Ended("the client went away")
