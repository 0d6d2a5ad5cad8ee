"""The files of a folder that is adopted, each read once: what they are, and whether that is what the folder says.

A file is read by its sha256 and its git-sha1 in one go, through whatever link stands in its place. What was read before
under the very signature that it has now is not read again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from hubfold import errors
from hubfold.backend.changes import Offer, OfferedFile
from hubfold.content import Signature
from hubfold.errors import HubfoldError
from hubfold.progress import Progress, Stop
from hubfold.reading.digests import Job, read

#: By what a model's client may know a file.
ALGORITHMS = ("sha256", "git-sha1")


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read. `path` is as the folder has it, `real` the same free of symlinks."""

    path: str
    real: str
    signature: Signature
    uid: int
    #: Of `ALGORITHMS`.
    digests: Mapping[str, str]

    @property
    def size(self) -> int:
        return self.signature.size


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the files of folders. `known` and `learned`: what is remembered of a payload, and what is to be."""

    known: Callable[[Signature], Mapping[str, str]]
    learned: Callable[[Signature, Mapping[str, str]], None]
    progress: Progress
    stop: Stop

    def read(self, paths: Iterable[str]) -> dict[str, Source]:
        """The files by their paths. Raises `HubfoldError` for one that cannot be read, `Interrupted`."""
        found = {path: _look(path) for path in dict.fromkeys(paths)}
        self.progress.start("reading what is there", sum(one.size for one in found.values()), "bytes")
        try:
            return {path: self._one(source) for path, source in found.items()}
        finally:
            self.progress.finish()

    def _one(self, source: Source) -> Source:
        self.stop.check()
        known = {name: value for name, value in self.known(source.signature).items() if name in ALGORITHMS}
        if len(known) == len(ALGORITHMS):
            self.progress.advance(source.size)
            return replace(source, digests=known)
        reading = read(Job(source.real, source.signature, ALGORITHMS), self.progress.advance, self.stop)
        if not reading.digests:
            why = reading.unreadable or ("it is gone" if reading.missing else "it changed while it was read")
            raise HubfoldError(f"{source.path}: {why}", "nothing was changed; run the same command again")
        self.learned(source.signature, reading.digests)
        return replace(source, digests=reading.digests)


def _look(path: str) -> Source:
    real = os.path.realpath(path)
    try:
        st = os.stat(real)
    except OSError as error:
        raise HubfoldError(f"{path}: {errors.describe(error)}", "nothing was changed") from error
    if not stat.S_ISREG(st.st_mode):
        raise HubfoldError(f"{path} is no file", "nothing was changed")
    return Source(path, real, Signature.of(st), st.st_uid, {})


def judged(offer: Offer, sources: Mapping[str, Source]) -> tuple[Offer, list[str]]:
    """(the offer with what its files are, paths of those that are not what the folder says of them)."""
    files, edited = [], []
    for file in offer.files:
        source = sources[file.path]
        algorithm = _algorithm(file, source)
        if algorithm is None:
            edited.append(file.path)
        else:
            files.append(replace(file, algorithm=algorithm, digests=source.digests, git_object=""))
    return replace(offer, files=tuple(files)), edited


def _algorithm(file: OfferedFile, source: Source) -> str | None:
    """What the model's client knows the file by; None for one that is not what it is said to be."""
    if file.git_object:
        if file.git_object == source.digests["git-sha1"]:
            return "git-sha1"
        return "sha256" if file.pointer and file.git_object == _pointer(file, source) else None
    said = {name: value for name, value in file.digests.items() if name in ALGORITHMS}
    return file.algorithm if said.items() <= source.digests.items() else None


def _pointer(file: OfferedFile, source: Source) -> str:
    """The git-sha1 of what git may have in place of a file."""
    told = file.pointer.replace("{sha256}", source.digests["sha256"]).replace("{size}", str(source.size))
    text = told.encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()
