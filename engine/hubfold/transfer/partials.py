"""What an earlier download left of a file is gone on with, and never trusted: the whole has to be what the Hub says.

Clients differ: one of 0.x appends to the file that the last attempt left, whatever it holds, and reads none of it
again; newer ones (1.33.0, 2.4.0) give each attempt a file of its own and begin it anew; none looks into another cache
or a local copy. So the engine does it, for each of them alike: the largest beginning that any root has, where the
layout's client would go on with it (`StorageBackend.partial_path`), and the client's transport for what is missing
(`Hub.fetch_rest`). All under the layout's lock of that content, as a client's own download.
Where a neighbour has the content, what is missing comes from it as far as it comes, also where nothing was begun::

    the beginning renamed there, or copied          up to its first hole: what comes after was not written in order
    the rest appended
    all of it read, and held against its sha256
    fsynced, and renamed to where the client looks

It is no state of hubfold's: cut short anywhere it is a download that is not at its end, as any other, and longer than
before; whoever comes next goes on with it. What turns out not to be the content is removed, and the client fetches the
file from its first byte.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Root, Signature
from hubfold.disk import in_use, open_flags
from hubfold.disk.directory import Directory
from hubfold.disk.locks import passing_lock
from hubfold.disk.paths import existing, within
from hubfold.errors import HubAway, HubRefused, LeftAlone
from hubfold.models.names import Name
from hubfold.progress import Progress, Stop
from hubfold.reading import compare
from hubfold.transfer.download import Begun
from hubfold.transfer.hub import Hub
from hubfold.transfer.neighbours import Neighbours

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Partials:
    """Goes on with files of one cache."""

    hub: Hub
    backend: GuardedBackend
    cache: Root
    #: Told what the bytes of a file really are: (signature, sha256).
    learned: Callable[[Signature, str], None]
    progress: Progress
    stop: Stop
    neighbours: Neighbours = field(default_factory=Neighbours)
    #: Bytes that came from neighbours, by model.
    from_neighbours: dict[Name, int] = field(default_factory=dict)

    def go_on(self, begun: Begun) -> bool:
        """Whether the file is whole in the cache now; if not, the client fetches it from its first byte.

        Raises `HubAway`: what came until then is gone on with another time.
        """
        try:
            with ExitStack() as held:
                for lock in self.backend.lock_paths(self.cache, begun.path):
                    held.enter_context(passing_lock(lock, self.cache.path))
                if os.path.lexists(begun.path):
                    return True
                folder = held.enter_context(self._folder(begun))
                _put(begun, folder)
                return self._complete(begun, folder)
        except HubAway:
            raise
        except (LeftAlone, HubRefused, OSError):
            return False

    @contextmanager
    def _folder(self, begun: Begun) -> Iterator[Directory]:
        """Where the content lies, maybe behind a link of the layout."""
        real = os.path.realpath(os.path.dirname(begun.path))
        top = self.cache.path if within(real, self.cache.path) else existing(real)
        with Directory.make_below(top, real) as folder:
            yield folder

    def _complete(self, begun: Begun, folder: Directory) -> bool:
        name, size = os.path.basename(begun.partial), begun.file.size
        fd = folder.append_file(name)
        with os.fdopen(fd, "ab") as into:
            folder.own_file(fd)
            os.ftruncate(fd, begun.size)
            near = self._from_neighbours(begun, into)
            if near < begun.rest:
                if not self.hub.can_fetch_rest(size):
                    return False
                self.hub.fetch_rest(
                    begun.model, begun.commit, begun.file.path, into, begun=begun.size + near, size=size
                )
                into.flush()
            os.fsync(fd)
        digest = hashlib.sha256()
        self.progress.start("checking what was gone on with", size, "bytes")
        try:
            compare.read_all(folder, name, update=digest.update, tick=self._tick)
        finally:
            self.progress.finish()
        if digest.hexdigest() != begun.sha256:
            folder.unlink(name)
            return False
        folder.rename(name, os.path.basename(begun.path))
        folder.sync()
        self.from_neighbours[begun.model] = self.from_neighbours.get(begun.model, 0) + near
        self.learned(Signature.of(os.stat(begun.path)), begun.sha256)
        return True

    def _from_neighbours(self, begun: Begun, into: BinaryIO) -> int:
        """Append what neighbours give of the rest; how many bytes these were."""
        if not begun.neighbours:
            return 0
        at = begun.size
        self.progress.start("from a neighbour", begun.rest, "bytes")
        try:
            for endpoint in begun.neighbours:
                for block in self.neighbours.blocks(endpoint, begun.sha256, at, begun.file.size):
                    into.write(block)
                    at += len(block)
                    self._tick(len(block))
                if at == begun.file.size:
                    break
        finally:
            self.progress.finish()
        into.flush()
        return at - begun.size

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()


def _put(begun: Begun, folder: Directory) -> None:
    """Put the beginning where it is gone on with. Raises `LeftAlone`, `OSError`."""
    source, name = os.path.realpath(begun.source), os.path.basename(begun.partial)
    place = os.path.join(folder.path, name)
    # Who is still at one, without the lock (flock may be a no-op there), keeps his file.
    if in_use.is_open(place):
        raise LeftAlone(f"a program is writing {place}")
    if source == place:
        return
    if os.path.dirname(source) == folder.path and not in_use.is_open(source):
        folder.rename(os.path.basename(source), name)
        return
    if folder.lstat_or_none(name) is not None:
        folder.unlink(name)
    with (
        open(os.open(source, open_flags.READ | open_flags.NOFOLLOW), "rb") as beginning,
        open(folder.create_file(name, 0o644), "wb") as copy,
    ):
        left = begun.size
        while left and (data := beginning.read(min(_CHUNK, left))):
            copy.write(data)
            left -= len(data)
    if left:
        raise OSError(f"{source} is shorter than it was")
