"""What is known of the bytes of models' files: what their layout says that they are, held against what was read.

Nothing is read here: `hubfold verify`, a scan or a download has read it, and the index remembers what it found under
the very signature that the file has now. A file that changed since is one that nobody has read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hubfold.content import Signature, Snapshot, SnapshotFile
from hubfold.disk.paths import within

#: What was computed of the bytes that had this signature (algorithm → hex); nothing where nobody read them.
Computed = Callable[[Signature], Mapping[str, str]]

#: What no bytes at all have (sha256 of nothing; sha1 of ``blob 0\\0``, as git has it).
EMPTY = {
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "git-sha1": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known to be wrong, for the whole of a library: a payload that is wrong is so by each of its names."""

    #: (device, inode) of payloads that were read and are not what some layout says of them: the algorithm.
    lies: Mapping[tuple[int, int], str] = field(default_factory=dict)
    #: Folders and files that could not be looked at.
    unreadable: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, snapshots: Iterable[Snapshot], computed: Computed | None, unreadable: Iterable[str] = ()
    ) -> Contents:
        """What is known of these; `computed` is None where nothing was ever read."""
        lies: dict[tuple[int, int], str] = {}
        if computed is not None:
            for snapshot in snapshots:
                for file in snapshot.files:
                    found = _lie(file, computed)
                    if found is not None:
                        lies.setdefault(*found)
        return cls(lies, tuple(sorted(unreadable)))

    def wrong(self, file: SnapshotFile) -> str | None:
        """How the file is known not to be what it should be; None where nothing says so."""
        if file.size == 0:
            for algorithm, value in file.claims.items():
                if EMPTY.get(algorithm, value) != value:
                    return "is empty, and its name says that it should not be"
        if self.lies:
            try:
                st = os.stat(file.path)
            except OSError:
                return None
            algorithm = self.lies.get((st.st_dev, st.st_ino), "")
            if algorithm:
                return f"is corrupt: its bytes were read and are not the {algorithm} that it should have"
        return None

    def hidden(self, folder: str) -> str | None:
        """What could not be read at, above or below `folder`."""
        return next((one for one in self.unreadable if within(one, folder) or within(folder, one)), None)


#: Where nothing is known.
NOTHING = Contents()


def _lie(file: SnapshotFile, computed: Computed) -> tuple[tuple[int, int], str] | None:
    """((device, inode), algorithm) of a file that was read and is not what its layout says."""
    if not file.claims or file.size is None:
        return None
    try:
        st = os.stat(file.path)
    except OSError:
        return None
    read = computed(Signature.of(st))
    wrong = next((name for name, value in file.claims.items() if read.get(name, value) != value), None)
    return None if wrong is None else ((st.st_dev, st.st_ino), wrong)
