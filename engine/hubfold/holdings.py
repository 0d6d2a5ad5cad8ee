"""What the user has: roots, their backends, their vaults, and the models in them, by the names that people type."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hubfold.backend import StorageBackend
from hubfold.content import Root, Snapshot
from hubfold.errors import HubfoldError, UsageError
from hubfold.walk import TreeWalk

#: A prefix that tells what is no model: ``datasets/org/name``.
_TYPES = {"datasets/": "dataset", "spaces/": "space", "kernels/": "kernel", "models/": "model"}


@dataclass(frozen=True, slots=True)
class Name:
    """A model, dataset, space or kernel as it is called."""

    repo_type: str
    repo_id: str

    def __str__(self) -> str:
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    @classmethod
    def parse(cls, text: str) -> Name:
        """``org/name``, ``datasets/org/name`` …; raises `UsageError` for what no Hub would call a repository."""
        repo_type, repo_id = "model", text
        for prefix, kind in _TYPES.items():
            if text.startswith(prefix) and text.count("/") > 1:
                repo_type, repo_id = kind, text[len(prefix) :]
        parts = repo_id.split("/")
        bad = any(
            not part
            or part.startswith((".", "-"))
            or part.endswith(".git")
            or ".." in part
            or "--" in part
            or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in part)
            for part in parts
        )
        if bad or len(parts) > 2:
            raise UsageError(f"{text!r} is no name of a model", "write it as org/name, or datasets/org/name")
        return cls(repo_type, repo_id)


@dataclass(frozen=True, slots=True)
class Held:
    """One revision and the root that holds it."""

    root: Root
    snapshot: Snapshot

    @property
    def name(self) -> Name:
        return Name(self.snapshot.repo_type, self.snapshot.repo_id)


class Holdings:
    """The roots that an operation on models works on, looked at anew for it."""

    def __init__(
        self, roots: Sequence[Root], backends: Mapping[str, StorageBackend], vaults: Sequence[str]
    ) -> None:
        self.roots = tuple(root for root in roots if root.backend in backends)
        self.backends = backends
        self.vaults = tuple(vaults)

    def walk(self, root: Root) -> TreeWalk:
        """A fresh walk: one shows each folder once."""
        others = [other.path for other in self.roots if other.path != root.path]
        return TreeWalk(root, self.backends, boundaries=others)

    def backend(self, root: Root) -> StorageBackend:
        return self.backends[root.backend]

    def of_path(self, path: str) -> Root | None:
        """The innermost root that `path` lies in."""
        inside = [root for root in self.roots if path.startswith(os.path.join(root.path, ""))]
        return max(inside, key=lambda root: len(root.path), default=None)

    def held(self) -> Iterator[Held]:
        """Every revision in every root."""
        for root in self.roots:
            for snapshot in self.backend(root).snapshots(root, self.walk(root)):
                yield Held(root, snapshot)

    def named(self, models: Iterable[str]) -> list[Name]:
        """The names that the user typed; raises `UsageError` for one that cannot be one."""
        return list(dict.fromkeys(Name.parse(model) for model in models))


def resolve(held: Iterable[Held], revision: str | None) -> list[str]:
    """The commits among `held` that `revision` stands for: a ref, a commit, or the first digits of one.

    Raises `HubfoldError` where it stands for none, `UsageError` where the digits fit several.
    """
    snapshots = [one.snapshot for one in held]
    commits = sorted({snapshot.revision for snapshot in snapshots})
    if revision is None:
        return commits
    exact = sorted({s.revision for s in snapshots if revision in (s.revision, *s.refs)})
    if exact:
        return exact
    starts = [commit for commit in commits if len(revision) >= 6 and commit.startswith(revision)]
    if len(starts) > 1:
        raise UsageError(f"{revision!r} fits several revisions: {', '.join(starts)}", "give more digits")
    if not starts:
        known = sorted({ref for s in snapshots for ref in s.refs} | set(commits))
        raise HubfoldError(f"no revision {revision!r} is there", f"there are: {', '.join(known)}")
    return starts


def unknown(name: Name, known: Iterable[Name]) -> HubfoldError:
    """What to tell about a model that is nowhere, with the nearest names."""
    names = sorted({str(one) for one in known})
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    near = near or [one for one in names if one.rpartition("/")[2] == name.repo_id.rpartition("/")[2]][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "see `hubfold scan` for what is there"
    return HubfoldError(f"no root holds a model called {name}", hint)
