"""What a container sees, asked of the kernel: a mount namespace whose root is empty but for the mounts."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.building import device_numbers

_CLONE_NEWNS = 0x00020000  # linux/sched.h
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h


def seen(root: Path, mounts: Sequence[tuple[str, str]], links: Sequence[str]) -> dict[str, str | None]:
    """What each of `links` (paths in the container) reads there, as the real path in it; None where opening fails.

    `mounts` are (path here, path in the container), made in that order as a container's runtime does. `root` is an
    empty folder. For root alone.
    """
    with device_numbers.mine():
        return _seen(root, mounts, links)


def _seen(root: Path, mounts: Sequence[tuple[str, str]], links: Sequence[str]) -> dict[str, str | None]:
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(source)
            _enter(str(root), mounts)
            told = {link: _opened(link) for link in links}
            with os.fdopen(sink, "wb") as answer:
                answer.write(json.dumps(told).encode("ascii"))
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    found: dict[str, str | None] = json.loads(said)
    return found


def _enter(root: str, mounts: Sequence[tuple[str, str]]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def must(result: int, what: str) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), what)

    must(libc.unshare(_CLONE_NEWNS), "unshare")
    must(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private")
    must(libc.mount(b"none", os.fsencode(root), b"tmpfs", 0, b"size=1m"), "tmpfs")
    for here, there in mounts:
        inside = root + there
        os.makedirs(inside, exist_ok=True)
        must(libc.mount(os.fsencode(here), os.fsencode(inside), None, _MS_BIND | _MS_REC, None), inside)
    os.chroot(root)
    os.chdir("/")


def _opened(link: str) -> str | None:
    try:
        os.stat(link)
    except OSError:
        return None
    return os.path.realpath(link)
