"""Puts content that some root has where a client looks for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import TEMPORARY_PREFIX, IndexedReplica, Root, Signature
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.disk.paths import existing, within
from hubfold.errors import LeftAlone
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.progress import Progress, Stop
from hubfold.reading import compare, extents
from hubfold.reports.outcomes import Failed
from hubfold.reports.transfers import Reused
from hubfold.transfer.download import WantedFile, how_to_place


@dataclass(slots=True)
class Placer:
    """Puts content that is here already where the client will find it."""

    journal: Journal
    backend: GuardedBackend
    cache: Root
    share: bool
    caches: frozenset[str]
    #: Told what the bytes of a file really are: (signature, sha256).
    learned: Callable[[Signature, str], None]
    progress: Progress
    stop: Stop
    placed: list[Reused] = field(default_factory=list)
    #: Files that are not what their names say.
    lies: list[Failed] = field(default_factory=list)
    _places: FileSystems = field(default_factory=FileSystems)
    _number: int = 0
    _read: dict[Signature, str] = field(default_factory=dict)

    def place_all(self, wanted: Sequence[WantedFile]) -> None:
        """Place what can be placed; what cannot, the client fetches. Raises `Interrupted`, `OSError` of the journal."""
        self.progress.start("checking what is here already", sum(item.size for item in wanted), "bytes")
        try:
            for item in wanted:
                self.stop.check()
                for source in item.candidates:
                    if self._try(item, source):
                        break
        finally:
            self.progress.finish()

    def _try(self, item: WantedFile, source: IndexedReplica) -> bool:
        try:
            with ExitStack() as held:
                for lock in self.backend.lock_paths(self.cache, item.path):
                    held.enter_context(passing_lock(lock, self.cache.path))
                if os.path.lexists(item.path):
                    return True
                keeper = HeldFile(source.root, source.path)
                held.callback(keeper.close)
                return self._place(item, source, keeper)
        except (LeftAlone, OSError):
            return False

    def _place(self, item: WantedFile, source: IndexedReplica, keeper: HeldFile) -> bool:
        if keeper.signature.size != item.size or self._read.get(keeper.signature, item.sha256) != item.sha256:
            return False
        place = os.path.dirname(item.path)
        # Where it lies, maybe behind a link of the layout (`Territory` lets no other pass): recovery follows none.
        real = os.path.realpath(place)
        top = self.cache.path if within(real, self.cache.path) else existing(real)
        Directory.make_below(top, real).close()
        how = how_to_place(source, place, self._places, self.share, self.caches)
        self._number += 1
        temporary = f"{TEMPORARY_PREFIX}{self.journal.run}-{self._number}"
        with Directory.make_below(top, real) as folder:
            there = os.path.join(folder.path, temporary)
            self.journal.announce("make", path=item.path, root=top, temporary=there, source=source.path)
            self.journal.sync()
            try:
                digest = self._make(how, keeper, folder, temporary, item=item, source=source)
                if digest != item.sha256:
                    self._lie(item, source, keeper, digest)
                    return False
                folder.rename(temporary, os.path.basename(item.path))
                folder.sync()
            finally:
                with suppress(FileNotFoundError):
                    folder.unlink(temporary)
        self.placed.append(Reused(item.path, source.path, how, item.size))
        self.learned(Signature.of(os.fstat(keeper.fd)), digest)
        return True

    def _lie(self, item: WantedFile, source: IndexedReplica, keeper: HeldFile, digest: str) -> None:
        if keeper.unchanged():
            self._read[keeper.signature] = digest
            self.learned(keeper.signature, digest)
        if source.digests.get("sha256") == item.sha256:
            self.lies.append(
                Failed(source.path, f"its bytes are not the {item.sha256} that it is said to be")
            )

    def _make(
        self,
        how: str,
        keeper: HeldFile,
        folder: Directory,
        temporary: str,
        *,
        item: WantedFile,
        source: IndexedReplica,
    ) -> str:
        """Make the file under its temporary name, durable; the sha256 of what it reads."""
        digest = hashlib.sha256()
        if how == "hardlink":
            compare.read_held(keeper, update=digest.update, tick=self._tick)
            if digest.hexdigest() == item.sha256:
                self._hardlink(keeper, source, folder, temporary)
            return digest.hexdigest()
        target = folder.create_file(temporary, 0o644)
        try:
            folder.own_file(target)
            if how == "reflink":
                extents.clone_extents(keeper.fd, target)
                # What is read is what was made: the source may change meanwhile, this may not.
                compare.read_all(folder, temporary, update=digest.update, tick=self._tick)
            else:
                compare.copy_bytes(keeper.fd, target, update=digest.update, tick=self._tick)
            os.fsync(target)
        finally:
            os.close(target)
        return digest.hexdigest()

    def _hardlink(self, keeper: HeldFile, source: IndexedReplica, folder: Directory, temporary: str) -> None:
        now = keeper.attributes
        if source.backend not in self.caches and now.mode & WRITE_BITS:
            mode = now.mode & ~WRITE_BITS
            keepers.announce(self.journal, keeper, source.root, mode=mode, mtime_ns=now.mtime_ns)
            self.journal.sync()
            if not keepers.make_read_only(keeper):
                raise LeftAlone("it cannot be made read-only")
        os.fsync(keeper.fd)
        folder.link_from(keeper.directory, keeper.name, temporary)
        if not keeper.is_here(folder, temporary) or not keeper.unchanged():
            raise LeftAlone("it changed while it was read")

    def _tick(self, amount: int) -> None:
        self.progress.advance(amount)
        self.stop.check()
