"""Links that read what moves through a vault: which they are, led to the copy, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hubfold.care import follow
from hubfold.care.follow import Led
from hubfold.care.repairs import Mender
from hubfold.care.repoint import PutBack
from hubfold.content import IndexedReplica, Root
from hubfold.disk.paths import existing, within
from hubfold.engine.workspace import Workspace
from hubfold.errors import LeftAlone
from hubfold.folding import survey
from hubfold.folding.followers import Around
from hubfold.folding.plan import Plan
from hubfold.journal import journal
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import text_of
from hubfold.journal.run_log import RunLog
from hubfold.moving import links
from hubfold.moving.links import HeldAlone, Leaving
from hubfold.moving.plan import MovedModel
from hubfold.reports.outcomes import Left
from hubfold.reports.runs import UndoReport
from hubfold.scanning.discover import fallback
from hubfold.vault import gc
from hubfold.vault.links import object_named, texts_below
from hubfold.vault.names import of_object
from hubfold.vault.objects import clear_empty, read_links


class Following:
    """Finds the links, and leads them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def around(self) -> Around:
        """What can be seen of links now; the roots are looked through when that is first asked for."""
        found: dict[str, list[tuple[str, str]]] | None = None

        def naming(object_: str) -> Iterable[tuple[str, str]]:
            nonlocal found
            if found is None:
                found = self._naming()
            return found.get(os.path.basename(object_), ())

        return Around(self._workspace.here(), naming, self._root_of)

    def _naming(self) -> dict[str, list[tuple[str, str]]]:
        """The links below the known roots, and those that runs made, by the names of the objects that they name."""
        found: dict[str, dict[str, str]] = {}
        for link, text in texts_below(root.path for root in self._workspace.index.roots()):
            if name := object_named(text):
                found.setdefault(name, {})[link] = text
        for link in self._workspace.links_made():
            text = text_of(link)
            if name := object_named(text):
                found.setdefault(name, {})[link] = text
        return {name: list(links.items()) for name, links in found.items()}

    def _root_of(self, link: str, noted: str) -> Root | None:
        """The innermost known root of a link; else the one that its line names, if that is there."""
        around = [root for root in self._workspace.index.roots() if within(link, root.path)]
        if around:
            return max(around, key=lambda root: len(root.path))
        if not (noted and os.path.isdir(noted) and within(link, noted)):
            return None
        backend = self._workspace.recognised(noted) or fallback(self._workspace.backends)
        return Root(noted, backend) if backend is not None else None

    def links(self, files: Sequence[Leaving], home: str, source: Root, target: Root) -> Plan:
        """The links in place of the files of a folder `home` in `source`, each to its copy in `target`."""
        index = self._workspace.index
        roots = {one.path: one for one in (source, target)}
        roots |= {one.path: one for one in self._workspace.vaults_of(roots.values())}
        roots |= {
            one.root: Root(one.root, one.backend)
            for file in files
            for one in file.names
            if one.root not in roots
        }
        return links.plan(
            files,
            home,
            target,
            lambda sets: survey.survey(sets, roots, self._workspace.backends),
            replica=index.replica,
            names=index.payload,
        )

    def alone(self, source: Root, target: Root, around: Around) -> tuple[list[HeldAlone], list[Left]]:
        """What only the vault of a cache has, and links read: what leads these to a copy; and what stays, and why."""
        found: list[HeldAlone] = []
        left: list[Left] = []
        for vault in self._workspace.vaults_of([source]):
            payloads = {one.payload: one for one in self._workspace.index.replicas(vault.path)}
            for first in payloads.values():
                names = self._workspace.index.payload(*first.payload, first.signature.size)
                if any(one.root != vault.path for one in names):
                    continue  # a model of the cache has it, or a folder that is none of it
                one = self._alone(names, source, target, around)
                if isinstance(one, Left):
                    left.append(one)
                else:
                    found.append(one)
        return found, left

    def _alone(
        self, names: Sequence[IndexedReplica], source: Root, target: Root, around: Around
    ) -> HeldAlone | Left:
        first = names[0]
        hidden = first.nlink - len(names)
        if hidden > 0:
            return Left(
                first.path, f"nothing would be freed: {hidden} more name(s) of it lie in no known root"
            )
        try:
            file = links.held_alone(names, target.path, around)
        except LeftAlone as error:
            return Left(first.path, str(error))
        if file is None:
            return Left(first.path, "no link needs it (`hubfold gc` removes it)")
        planned = self.links([file], first.root, source, target)
        if len(planned.actions) < len(file.followers):
            reason = next(
                (skip.reason for skip in planned.skipped), "the links to it cannot be led to a copy"
            )
            return Left(first.path, reason)
        filesystems = self._workspace.filesystems
        here = filesystems.of(os.path.dirname(first.path))
        return HeldAlone(first.root, file, planned, here.links_to(filesystems.of(existing(target.path))))

    def lead_alone(self, book: Journal, one: HeldAlone) -> Led:
        """Copy what only a vault has into another, lead the links there, and let the object go. Raises as `lead`."""
        leader = follow.Leader(book, self.around(), self._workspace.lock_paths, self._workspace.stop)
        led = links.apart([one.file], one.links)[1][0]
        leader.lead_alone(led.links, led.file.objects, self._mender(book))
        for object_ in leader.led.released:
            self._workspace.index.forget(object_)
        return leader.led

    def lead(self, book: Journal, model: MovedModel) -> Led:
        """Lead the links that the plan of a model has to its copy, under the journal of its run.

        Raises `Interrupted`; what the journal does not take is told as failed.
        """
        leader = follow.Leader(book, self.around(), self._workspace.lock_paths, self._workspace.stop)
        index = self._workspace.index
        for lead in links.apart(model.files, model.links)[1]:
            first = lead.file.names[0]
            leader.lead((first.root, first.path), lead.links, lead.file.objects)
            kept = [action.keeper.path for action in lead.links.values()]
            for path in (*kept, *(name.path for name in lead.file.names)):
                self._workspace.note_path(index, path, proven=True)
        for object_ in leader.led.released:
            index.forget(object_)
        return leader.led

    def let_go(self, report: UndoReport, *, act: bool = True) -> UndoReport:
        """The report with the objects that a run which is taken back had made of what only a vault had; with `act`,
        they are removed, as far as nothing needs them."""
        log = journal.read(self._workspace.state.runs, report.run)
        if not log.leads or log.moved or (act and not log.undone):
            return report
        back = set(report.restored)
        made = [path for path in dict.fromkeys(one.target for one in log.repointed) if os.path.lexists(path)]
        gone = [path for path in made if {line.link for line in read_links(path)} <= (set() if act else back)]
        vaults = {of_object(path) for path in gone}
        files, folders = gc.goes_with(vaults, gone)
        if act:
            garbage = gc.together([gc.garbage_at(path) for path in gone])
            gone = list(gc.remove(garbage, here=self._workspace.here()).removed)
            for vault in vaults:
                clear_empty(vault)
        return replace(report, removed=(*report.removed, *gone, *files), folders=(*report.folders, *folders))

    def take_back(self, log: RunLog, book: Journal) -> PutBack:
        """Lead the links of a run back; see `care/follow`."""
        return follow.take_back(log, self._mender(book), self.around())

    def _mender(self, book: Journal) -> Mender:
        return Mender(
            lambda: book,
            self._workspace.vault_for,
            self._locks,
            progress=self._workspace.progress,
            stop=self._workspace.stop,
        )

    def _locks(self, root: str, path: str) -> Sequence[str]:
        known = self._workspace.index.root_at(root, vaults=True)
        if known is None or known.backend not in self._workspace.backends:
            return ()
        return self._workspace.lock_paths(known, path)
