"""Who holds a lock between hosts, told by a name, and whether that process is gone.

The name, a *token*, is ``<boot id>-<process namespace>-<pid>-<start time>-<nonce>``: what it takes to know one process
of one boot for certain. Beside it, for people, a text of JSON: ``host``, ``machine`` (`identity.Machine`), ``pid``,
``command``, ``since`` (UTC).

Sources: proc(5) (``/proc/sys/kernel/random/boot_id``, ``/proc/<pid>/stat`` field 22, the start time in clock ticks
since boot), pid_namespaces(7), kill(2).
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import time
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from hubfold.disk.identity import Mounts, boot_id, this_machine

#: Of a system that does not say which boot it is in: nobody can tell what became of its processes.
_NO_BOOT = "0" * 32
_TOKEN = re.compile(r"([0-9a-f]{32})-(\d{1,20})-(\d{1,10})-(\d{1,20})-[0-9a-f]{16}", re.ASCII)

_TOLD = ("host", "machine", "command", "since")


class Holder(NamedTuple):
    """A process that holds a lock. All but the token is for people, and may be empty."""

    token: str
    host: str = ""
    machine: str = ""
    pid: int = 0
    command: str = ""
    since: str = ""

    @property
    def line(self) -> str:
        """As in "consolidate, process 4711 on node7, since 2026-01-31T10:00:00Z"."""
        who = (
            f"process {self.pid} on {self.host or 'another host'}"
            if self.pid
            else "a process of another host"
        )
        since = f", since {self.since}" if self.since else ""
        return ", ".join(filter(None, [self.command, who])) + since

    def as_text(self) -> bytes:
        told = {name: getattr(self, name) for name in _TOLD} | {"pid": self.pid}
        return json.dumps(told).encode("ascii") + b"\n"


def is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def this_process(command: str) -> Holder:
    """A holder that is this process, another one at each call."""
    pid = os.getpid()
    token = f"{_boot()}-{_namespace()}-{pid}-{_started(pid) or 0}-{secrets.token_hex(8)}"
    host, machine = _this_host(pid)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Holder(token, host, machine, pid, command, since=since)


def told_by(token: str, text: bytes) -> Holder:
    """The holder of a token, with what its text says; one that makes no sense says nothing."""
    match = _TOKEN.fullmatch(token)
    pid = int(match[3]) if match else 0
    try:
        told = json.loads(text)
        words = {name: str(told.get(name, "")) for name in _TOLD}
    except (ValueError, AttributeError, RecursionError):
        words = {}
    return Holder(token, pid=pid, **{name: word[:200] for name, word in words.items()})


def is_here(token: str) -> bool:
    """Whether it is a process of this very boot and these process numbers, be it there or gone."""
    match = _TOKEN.fullmatch(token)
    return match is not None and match[1] != _NO_BOOT and (match[1], int(match[2])) == (_boot(), _namespace())


def has_ended(token: str) -> bool:
    """Whether the process is known to be gone: one of this very boot and these process numbers, that is not there.

    False wherever that cannot be told: on another host, of another boot, in another container.
    """
    match = _TOKEN.fullmatch(token)
    if match is None or not is_here(token):
        return False
    pid = int(match[3])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's: there is one
    now = _started(pid)
    return _is_dead(pid) or (now is not None and now != int(match[4]))


def _boot() -> str:
    text = boot_id().replace("-", "")
    return text if re.fullmatch("[0-9a-f]{32}", text) else _NO_BOOT


def _namespace() -> int:
    """The number of the namespace that this process has its pid in; 0 where there is none."""
    with suppress(OSError, ValueError):
        return int(os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]"))
    return 0


def _stat(pid: int) -> list[bytes]:
    """The fields of ``/proc/<pid>/stat`` from the state on; none where it cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()
    return []


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def _is_dead(pid: int) -> bool:
    """Whether a process has ended, all of its threads, and only its parent has not asked for it yet."""
    fields = _stat(pid)
    with suppress(OSError):
        return bool(fields) and fields[0] in (b"Z", b"X") and len(os.listdir(f"/proc/{pid}/task")) == 1
    return False


@cache
def _this_host(_pid: int) -> tuple[str, str]:
    """(name, id of the machine); asked anew after a fork, which may be another container's."""
    return platform.node(), this_machine(Mounts.now()).id
