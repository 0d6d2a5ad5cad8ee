"""Who may ask: where is listened, the token, and the names by which a browser may come.

Whoever reaches the address reads what the user reads who serves. So it is this machine's own address unless said
otherwise, any other wants a token, and a page in a browser that gives its own name to this machine's address (DNS
rebinding) is told apart by the ``Host`` that it sends.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from hubfold.disk import open_flags
from hubfold.errors import HubfoldError, UsageError

DEFAULT_PORT = 8600
#: Shorter ones can be guessed.
_SHORTEST = 16
_LONGEST = 4096


class Address(NamedTuple):
    """Where is listened. Port 0: any that is free."""

    host: str
    port: int


class BadToken(HubfoldError):
    """A file with a token cannot be used."""


def address(text: str) -> Address:
    """``HOST:PORT``, ``[IPv6]:PORT``, ``HOST`` or ``:PORT``. Raises `UsageError`."""
    bare = text.count(":") > 1 and not text.startswith("[")
    try:
        parts = urlsplit(f"//[{text}]" if bare else f"//{text}")
        port = parts.port
    except ValueError as error:
        raise _no_address(text) from error
    if parts.path or parts.query or parts.username is not None or not text:
        raise _no_address(text)
    return Address(parts.hostname or "127.0.0.1", DEFAULT_PORT if port is None else port)


def _no_address(text: str) -> UsageError:
    return UsageError(f"{text!r} is no address", f"write HOST:PORT, such as 127.0.0.1:{DEFAULT_PORT}")


def of_this_machine(host: str) -> bool:
    """Whether a numeric address is one that only this machine reaches."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def reached_at(host: str) -> str:
    """How a URL names a numeric address; all addresses of this machine by its name."""
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def read_token(path: str) -> str:
    """The token that a file holds, which nobody else may read. Raises `BadToken`, `OSError`."""
    fd = os.open(path, open_flags.READ | open_flags.NONBLOCK)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise BadToken(f"{path} is no file", "name a file with the token in its one line")
        if st.st_mode & 0o077:
            raise BadToken(f"{path} can be read or written by others", f"run `chmod 600 {path}`")
        data = os.read(fd, _LONGEST + 1)
    finally:
        os.close(fd)
    text = data.decode("ascii", "replace").strip()
    if not _SHORTEST <= len(text) <= _LONGEST or not all("!" <= one <= "~" for one in text):
        raise BadToken(
            f"{path} does not hold a token: one line of {_SHORTEST} or more letters, digits and signs",
            f"run `(umask 077; openssl rand -hex 32 > {path})`",
        )
    return text


@dataclass(frozen=True, slots=True)
class Gate:
    """`token` None: whoever reaches the address may ask; `own` says that only this machine does."""

    token: str | None
    own: bool

    def refuses(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is not answered; None if it is."""
        if self.token is not None:
            kind, _, given = headers.get("authorization", "").partition(" ")
            expected, found = self.token.encode(), given.strip().encode("utf-8", "replace")
            if kind.lower() == "bearer" and hmac.compare_digest(expected, found):
                return None
            return "this host wants its token: set HF_TOKEN to what its token file holds"
        if self.own and not _is_this_machine(headers.get("host", "")):
            return "asked by another name than this machine's own"
        return None


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or of_this_machine(name)
