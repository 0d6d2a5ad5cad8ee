"""Who needs content that is to go."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold.backend.changes import Removal
from hubfold.content import VAULT, IndexedReplica
from hubfold.disk import paths
from hubfold.disk.paths import within
from hubfold.library.inventory import HeldRevision, Holdings
from hubfold.models.names import Name
from hubfold.reports.outcomes import Left
from hubfold.reports.removals import Needed
from hubfold.vault.names import LINKS, of_object
from hubfold.vault.need import Need, need, reads_another
from hubfold.vault.objects import read_links

#: Payloads by any of their names, as the index knows them.
Names = Callable[[os.stat_result], Sequence[IndexedReplica]]
STAYS = "stays whole"
GOES = "is removed with it"
HOLDS = "keeps the content where it is"


@dataclass(slots=True)
class Needs:
    """Finds what elsewhere needs the content of removals, and takes out of them what has to stay."""

    holdings: Holdings
    with_links: bool
    names: Names
    removals: list[Removal]
    #: Nothing goes that is not of these roots, or of vaults for them; without any, of all.
    only: Collection[str] = ()
    found: list[Needed] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    others: list[IndexedReplica] = field(default_factory=list)

    def look(self) -> None:
        self._shown_elsewhere()
        self._folders()
        self._objects()
        self._direct()
        self._other_names()

    def _goes(self, link: str) -> bool:
        """Whether a link is a part of the removals itself."""
        return any(
            link in removal.files or any(within(link, folder) for folder in removal.folders)
            for removal in self.removals
        )

    def _may_go(self, link: str) -> bool:
        """Whether `with_links` may take this link: not one that another cache's model is made of."""
        root = self.holdings.of_path(link)
        if not self.with_links or root not in self.holdings.usable or self.holdings.is_cache(root):
            return False
        return not self.only or root.path in self.only

    def _note(self, number: int, link: str, content: str, otherwise: str) -> bool:
        """Write down a need; whether the link is removed."""
        goes = self._may_go(link)
        self.found.append(Needed(link, content, GOES if goes else otherwise))
        if goes:
            removal = self.removals[number]
            self.removals[number] = replace(removal, links=(*removal.links, link))
        return goes

    def _shown_elsewhere(self) -> None:
        """What lies behind a link of a layout may be behind another link as well: what somebody else shows stays."""
        behind = [one.folder for one in self.holdings.reached]
        for number, removal in enumerate(self.removals if behind else ()):
            needed: dict[str, HeldRevision] = {}
            for path in removal.content:
                if any(within(path, folder) for folder in behind):
                    readers = (
                        held
                        for held, file in self.holdings.reading(path)
                        if not (self._is_going(held) or self._loses(held, file.path))
                    )
                    needed |= dict.fromkeys([path], held) if (held := next(readers, None)) else {}
            # Where the folder is the same, nothing of it can go; where only blobs are, those that are used stay.
            same = [held for held in needed.values() if self.holdings.lies_at(held) in removal.folders]
            if same:
                shown = f"{same[0].snapshot.home} shows it too; `hubfold rm` without --from removes both"
                self.left.append(Left(removal.path, shown))
                self.removals[number] = Removal(
                    removal.root, removal.backend, removal.repo_id, removal.repo_type
                )
            elif needed:
                self.left += [Left(path, f"{held.name} reads it") for path, held in sorted(needed.items())]
                content = tuple(path for path in removal.content if path not in needed)
                self.removals[number] = replace(removal, content=content)

    def _is_going(self, held: HeldRevision) -> bool:
        return any(
            removal.root == held.root.path
            and Name(removal.repo_type, removal.repo_id) == held.name
            and held.snapshot.revision in removal.revisions
            for removal in self.removals
        )

    def _loses(self, held: HeldRevision, path: str) -> bool:
        """Whether a file is taken out of a revision by its own model's removal: another one may show the same path."""
        own = any(
            removal.root == held.root.path and Name(removal.repo_type, removal.repo_id) == held.name
            for removal in self.removals
        )
        return own and self._goes(self.holdings.real(path, held.root.path))

    def _folders(self) -> None:
        """A link into a snapshot needs the whole of it: one file less, and it would look whole and not be."""
        for number, removal in enumerate(self.removals):
            pinned: dict[str, str] = {}
            for folder in removal.folders:
                for link, target in self.holdings.links.into(folder):
                    if not self._goes(link) and not self._note(number, link, target, HOLDS):
                        pinned[folder] = link
            if pinned:
                self._without(number, pinned)

    def _without(self, number: int, pinned: Mapping[str, str]) -> None:
        removal = self.removals[number]
        root = self.holdings.root_at(removal.root)
        assert root is not None
        stay = set(map(os.path.basename, pinned))
        rest = [revision for revision in removal.revisions if revision not in stay]
        for folder, link in pinned.items():
            self.left.append(Left(folder, f"{link} needs this revision"))
        again = None
        with self.holdings.leaving_out(root):
            found = (
                self.holdings.removals(root, Name(removal.repo_type, removal.repo_id), rest) if rest else ()
            )
            again = next((one for one in found if one.path == removal.path), None)
        self.removals[number] = (
            replace(again, links=removal.links, kind=removal.kind)
            if again is not None
            else Removal(root.path, removal.backend, removal.repo_id, removal.repo_type)
        )

    def _objects(self) -> None:
        """Vault objects of the content: they keep it for the links that need them, and go where there are none."""
        by_inode = self.holdings.objects
        if not by_inode:
            return
        for number, removal in enumerate(self.removals):
            for path in (*removal.content, *(payload.path for payload in removal.payloads)):
                through = stat_through(path)
                if through is not None:
                    for object_ in by_inode.get((through.st_dev, through.st_ino), ()):
                        self._object(number, path, object_)

    def _object(self, number: int, path: str, object_: str) -> None:
        if object_ in self.objects:
            return
        own = {path for removal in self.removals for path in removal.content}
        naming = self.holdings.links.naming(object_)
        found = (
            *self.holdings.links.to(paths.plain(object_)),
            *(link for link in naming if not reads_another(link, object_)),
        )
        pointing = {link for link in found if not self._goes(link)}
        unseen: set[str] = set()
        for entry in read_links(object_):
            needed = need(object_, entry, self.holdings.here)
            if needed is Need.NEEDED and entry.link not in own:
                pointing.add(entry.link)
            elif needed is Need.UNKNOWN:
                unseen.add(entry.link)
        # The path of a link that is not seen from here is no path of this machine: only its object is kept for it.
        self.found += [Needed(link, path, STAYS) for link in sorted(unseen - pointing)]
        stay = [link for link in sorted(pointing) if not self._note(number, link, path, STAYS)] or unseen
        # Without its list nobody knows here who needs it: `gc` asks the journals.
        if not stay and os.path.lexists(object_ + LINKS) and self._of_their_vaults(object_):
            self.objects.append(object_)

    def _of_their_vaults(self, object_: str) -> bool:
        """Whether an object lies in a vault for the roots that this is about. `gc` removes those of others."""
        roots = [root for root in self.holdings.usable if root.path in self.only]
        places = {place for root in roots for place in self.holdings.backend(root).vault_places(root)}
        return not self.only or of_object(object_) in places

    def _direct(self) -> None:
        """A link straight at content keeps it where it is."""
        for number, removal in enumerate(self.removals):
            needed = set()
            for path in (*removal.content, *(payload.path for payload in removal.payloads)):
                for link in self.holdings.links.to(path):
                    if not self._goes(link) and not self._note(number, link, path, HOLDS):
                        needed.add(path)
            if needed:
                removal = self.removals[number]
                behind = {os.path.realpath(path) for path in needed}
                self.left += [Left(path, "a link elsewhere points straight at it") for path in sorted(needed)]
                self.removals[number] = replace(
                    removal,
                    content=tuple(path for path in removal.content if path not in needed),
                    payloads=tuple(payload for payload in removal.payloads if payload.path not in behind),
                )

    def _other_names(self) -> None:
        """Hard links in other models and folders hold the content by themselves; they are told."""
        going = {path for removal in self.removals for path in removal.files} | set(self.objects)
        for removal in self.removals:
            for path in removal.content:
                try:
                    st = os.lstat(path)
                except OSError:
                    continue
                if not stat.S_ISREG(st.st_mode) or st.st_nlink == 1:
                    continue
                for other in self.names(st):
                    if other.path not in going:
                        self.others.append(other)
                        if other.backend != VAULT:
                            self.found.append(Needed(other.path, path, STAYS))


def stat_through(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
