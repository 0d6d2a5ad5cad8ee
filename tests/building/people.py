"""Real users: what somebody other than root can read, and the ACLs that say so."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF


@dataclass(frozen=True)
class Person:
    """Somebody who is not root; the first of the groups is the primary one."""

    uid: int
    gids: tuple[int, ...]

    def told(self, ask: Callable[[], str]) -> str:
        """What `ask` says when this user runs it, in a process of its own."""
        return self._asked(lambda: ask().encode()).decode()

    def reads(self, *paths: str | os.PathLike[str]) -> tuple[bool, ...]:
        """Whether this user can open each of the paths for reading, asked of the kernel."""
        said = self._asked(lambda: bytes(map(_opens, paths)))
        assert len(said) == len(paths)
        return tuple(map(bool, said))

    def _asked(self, ask: Callable[[], bytes]) -> bytes:
        source, sink = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups(self.gids)
                os.setresgid(*(self.gids[0],) * 3)
                os.setresuid(*(self.uid,) * 3)
                os.write(sink, ask())
            finally:
                os._exit(0)
        os.close(sink)
        with os.fdopen(source, "rb") as answer:
            said = answer.read()
        os.waitpid(child, 0)
        return said


def _opens(path: str | os.PathLike[str]) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def acl(
    mode: int, users: Iterable[tuple[int, int]] = (), groups: Iterable[tuple[int, int]] = (), mask: int = 7
) -> bytes:
    """An ACL as its extended attribute holds it (linux/posix_acl_xattr.h), of a mode and named users and groups."""
    entries = [(_USER_OBJ, mode >> 6 & 7, _NO_ID)]
    entries += [(_USER, may, uid) for uid, may in sorted(users)]
    entries += [(_GROUP_OBJ, mode >> 3 & 7, _NO_ID)]
    entries += [(_GROUP, may, gid) for gid, may in sorted(groups)]
    entries += [(_MASK, mask, _NO_ID), (_OTHER, mode & 7, _NO_ID)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@contextmanager
def open_place() -> Iterator[Path]:
    """A folder that every user gets to: pytest closes its own, and those of a run beside this one."""
    with tempfile.TemporaryDirectory(prefix="hubfold-test-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def give(path: Path, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    path.chmod(mode)
