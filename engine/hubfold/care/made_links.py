"""The links that runs made and that were not taken back, as the journals tell of them: what `doctor` looks at first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hubfold.content import LinkKind
from hubfold.journal.records import FarmLink, Intent
from hubfold.journal.run_log import RunLog
from hubfold.vault import objects
from hubfold.vault.names import claims_of, of_object


@dataclass(frozen=True, slots=True)
class Patient:
    """One link that a run made and that was not taken back."""

    path: str
    root: str
    link: LinkKind
    target: str
    text: str
    keeper: str
    keeper_root: str
    keeper_inode: int
    size: int | None
    mtime_ns: int | None
    #: All that is known of the content, xxh3_128 as computed when the link was made.
    digests: Mapping[str, str]
    mount: str
    run: str

    @property
    def wanted(self) -> dict[str, str]:
        """Every digest that its content has to have."""
        claims = claims_of(os.path.basename(self.target)) if self.link is LinkKind.SYMLINK else {}
        return {**claims, **self.digests}

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The names that share its content as far as the run knew, as (root, path)."""
        if self.link is LinkKind.HARDLINK:
            return ((self.keeper_root, self.keeper), (self.root, self.path))
        names = [(of_object(self.target), self.target)]
        if self.keeper and self.keeper != self.target:
            names.append((self.keeper_root, self.keeper))
        return tuple(names)

    def is_ours(self, st: os.stat_result) -> bool:
        """Whether the path, which reads `st`, still shares its inode with a keeper: else somebody saved a file of his
        own there."""
        if self.link is LinkKind.SYMLINK:
            return True
        return st.st_ino == self.keeper_inode or same_file(self.keeper, st)

    @property
    def needed_by(self) -> objects.NeededBy:
        return objects.NeededBy(self.path, self.mount, self.run)


def of_runs(logs: Iterable[RunLog]) -> Iterator[Patient]:
    """The links of all runs, in the order in which they were made; a path that was linked again later only once."""
    found: dict[str, Patient] = {}
    for log in logs:
        for number, intent in log.intents.items():
            if log.states[number] == "done" and intent.link is not LinkKind.REFLINK:
                found[intent.path] = _of_intent(intent, log.run)
        for link in () if log.undone else log.farm_links:
            found[link.path] = _of_farm(link, log.run)
    return iter(found.values())


def _of_intent(intent: Intent, run: str) -> Patient:
    return Patient(
        path=intent.path,
        root=intent.root,
        link=intent.link,
        target=intent.target,
        text=intent.text,
        keeper=intent.keeper,
        keeper_root=intent.keeper_root,
        keeper_inode=intent.keeper_inode,
        size=intent.size,
        mtime_ns=intent.keeper_mtime_ns,
        digests={**intent.digests, "xxh3_128": intent.xxh3_128},
        mount=intent.mount,
        run=run,
    )


def _of_farm(link: FarmLink, run: str) -> Patient:
    """A farm's link: what its keeper was is not in the journal."""
    return Patient(
        path=link.path,
        root=link.root,
        link=LinkKind.SYMLINK,
        target=link.target,
        text=link.text,
        keeper="",
        keeper_root="",
        keeper_inode=0,
        size=None,
        mtime_ns=None,
        digests={},
        mount="/",
        run=run,
    )


def suspects(logs: Iterable[RunLog]) -> list[str]:
    """Paths that a repair was begun for and not finished: that moved their change times, so that nothing is known."""
    found: dict[str, None] = {}
    for log in logs:
        for number, mend in log.mends.items():
            if number in log.mended:
                found.pop(mend.path, None)
            else:
                found[mend.path] = None
    return list(found)


def same_file(path: str, st: os.stat_result) -> bool:
    """Whether `path` names the very file that `st` is of."""
    with suppress(OSError):
        return os.path.samestat(os.lstat(path), st)
    return False
