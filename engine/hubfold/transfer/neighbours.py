"""Hosts that run `hubfold serve`, asked for content by its sha256 before the Hub is.

What they send is appended to a download that is not at its end (`partials`), which counts only when all of it was read
and is its sha256: a neighbour that lies costs time. One that does not answer is asked no further, and the Hub is. The
token goes to the endpoints that were named, and no redirect is followed.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hubfold.errors import describe

#: Seconds to answer, and between two blocks: who has to read a file first keeps its asker waiting.
_TO_ANSWER = 10.0
_BETWEEN_BLOCKS = 120.0
_BLOCK = 1 << 20
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`endpoints` are URLs without a slash at their end, asked in this order, each with the `token`."""

    endpoints: tuple[str, ...] = ()
    token: str | None = None
    #: Why one was asked no further, by its endpoint.
    failed: dict[str, str] = field(default_factory=dict)

    def having(self, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """Who says that he has content (sha256 → bytes): sha256 → endpoints."""
        found: dict[str, tuple[str, ...]] = {}
        for endpoint in self.endpoints if wanted else ():
            for sha256 in self._held_by(endpoint, wanted):
                found[sha256] = (*found.get(sha256, ()), endpoint)
        return found

    def _held_by(self, endpoint: str, wanted: Mapping[str, int]) -> Iterator[str]:
        try:
            with closing(_connection(endpoint, _TO_ANSWER)) as connection:
                for sha256, size in wanted.items():
                    answer = self._answer(connection, endpoint, "HEAD", sha256)
                    answer.read()
                    if answer.status in _REFUSED:
                        self.failed[endpoint] = answer.headers.get("X-Error-Message") or "it refuses"
                        return
                    if answer.status == 200 and answer.headers.get("Content-Length") == str(size):
                        yield sha256
        except (OSError, http.client.HTTPException) as error:
            self.failed[endpoint] = describe(error)

    def blocks(self, endpoint: str, sha256: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from `first` to `end`, as far as they come."""
        if endpoint in self.failed:
            return
        try:
            with closing(_connection(endpoint, _BETWEEN_BLOCKS)) as connection:
                span = f"bytes={first}-{end - 1}"
                answer = self._answer(connection, endpoint, "GET", sha256, Range=span)
                told = answer.headers.get("Content-Range", "")
                if answer.status == 206 and told.startswith(f"bytes {first}-{end - 1}/"):
                    while first < end and (block := answer.read(min(_BLOCK, end - first))):
                        first += len(block)
                        yield block
        except (OSError, http.client.HTTPException) as error:
            self.failed[endpoint] = describe(error)

    def _answer(
        self, connection: http.client.HTTPConnection, endpoint: str, method: str, sha256: str, **headers: str
    ) -> http.client.HTTPResponse:
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        path = f"{urlsplit(endpoint).path}/.hubfold/sha256/{sha256}"
        connection.request(method, path, headers={"Accept-Encoding": "identity", **headers})
        return connection.getresponse()


def _connection(endpoint: str, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(endpoint)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=seconds)
