"""What can be handed out: the revisions of all roots as one shelf, with what each file has to be.

Only a file whose layout states a sha256 or a git-sha1 is on it: no other could be proved. A revision is handed out as a
whole (its listing, its commit) only where the layout has a listing and every file of that is here at its length; of any
other its files are given one by one. A name that is not in a listing is not in the revision; without a listing nobody
knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hubfold.content import Snapshot, SnapshotFile
from hubfold.models.names import Name

#: What a file is proved by, in the order in which the Hub names a file by them.
PROOFS = ("sha256", "git-sha1")


@dataclass(frozen=True, slots=True)
class Shelved:
    """A file of a revision, and the paths at which roots have it, best first."""

    name: str
    size: int
    #: One of `PROOFS` → hex.
    algorithm: str
    digest: str
    paths: tuple[str, ...]

    @property
    def large(self) -> bool:
        """Whether the Hub keeps it beside git (LFS), and names it by its sha256."""
        return self.algorithm == "sha256"


@dataclass(frozen=True, slots=True)
class ShelvedRevision:
    """A revision; `listed` are the names that it has, None where no root has its listing."""

    commit: str
    files: Mapping[str, Shelved]
    listed: frozenset[str] | None

    @property
    def whole(self) -> bool:
        """Whether every file of it is here, as far as lengths tell."""
        return self.listed is not None and self.listed == self.files.keys()


@dataclass(frozen=True, slots=True)
class ShelvedModel:
    """A model, dataset or space: its revisions by commit, and the refs that name some."""

    revisions: Mapping[str, ShelvedRevision]
    refs: Mapping[str, str]

    def revision(self, asked: str) -> ShelvedRevision | None:
        """The revision that a ref or a commit names."""
        return self.revisions.get(self.refs.get(asked, asked))


@dataclass(frozen=True, slots=True)
class Shelf:
    """Everything that can be handed out."""

    models: Mapping[Name, ShelvedModel] = field(default_factory=dict)
    by_sha256: Mapping[str, Shelved] = field(default_factory=dict)

    @property
    def revisions(self) -> Iterator[ShelvedRevision]:
        for model in self.models.values():
            yield from model.revisions.values()

    @property
    def bytes(self) -> int:
        """Bytes by length, each content once."""
        files = (file for one in self.revisions for file in one.files.values())
        return sum({(file.algorithm, file.digest): file.size for file in files}.values())


@dataclass(slots=True)
class _Revision:
    files: dict[str, Shelved] = field(default_factory=dict)
    listed: dict[str, int] | None = None


def shelve(snapshots: Iterable[Snapshot]) -> Shelf:
    """The shelf of these, of roots in the order of preference: of two refs of one name the first one counts."""
    found: dict[Name, dict[str, _Revision]] = {}
    refs: dict[Name, dict[str, str]] = {}
    known = [one for one in snapshots if one.repo_id and one.revision]
    for snapshot in known:
        name = Name(snapshot.repo_type, snapshot.repo_id)
        revision = found.setdefault(name, {}).setdefault(snapshot.revision, _Revision())
        if snapshot.expected is not None and revision.listed is None:
            revision.listed = dict(snapshot.expected)
        for ref in snapshot.refs:
            refs.setdefault(name, {}).setdefault(ref, snapshot.revision)
        for file in snapshot.files:
            _add(revision.files, file)
    models = {
        name: ShelvedModel(
            {commit: _shelved(commit, one) for commit, one in revisions.items()}, refs.get(name, {})
        )
        for name, revisions in found.items()
    }
    return Shelf(models, _by_sha256(models.values()))


def _add(files: dict[str, Shelved], file: SnapshotFile) -> None:
    """Put a file on, beside the same one of other roots; of two that differ the first one counts."""
    algorithm = next((one for one in PROOFS if one in file.claims), None)
    if algorithm is None or file.size is None or not _can_be_told(file.name):
        return
    digest = file.claims[algorithm]
    before = files.get(file.name)
    if before is None:
        files[file.name] = Shelved(file.name, file.size, algorithm, digest, (file.path,))
    elif (before.size, before.algorithm, before.digest) == (file.size, algorithm, digest):
        files[file.name] = Shelved(file.name, file.size, algorithm, digest, (*before.paths, file.path))


def _can_be_told(name: str) -> bool:
    """Whether JSON has the name: no bytes that are no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shelved(commit: str, revision: _Revision) -> ShelvedRevision:
    """Without what is not as long as the listing says, or not in it."""
    listed = revision.listed
    if listed is None:
        return ShelvedRevision(commit, revision.files, None)
    files = {name: file for name, file in revision.files.items() if listed.get(name) == file.size}
    return ShelvedRevision(commit, files, frozenset(listed))


def _by_sha256(models: Iterable[ShelvedModel]) -> dict[str, Shelved]:
    found: dict[str, Shelved] = {}
    for model in models:
        for revision in model.revisions.values():
            for file in revision.files.values():
                if file.large:
                    found.setdefault(file.digest, file)
    return found
