"""Links that read what moves through a vault: which they are, led to the copy, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hubfold.care import follow
from hubfold.care.follow import Led
from hubfold.care.repairs import Mender
from hubfold.care.repoint import PutBack
from hubfold.content import Root
from hubfold.disk.paths import within
from hubfold.engine.workspace import Workspace
from hubfold.folding.followers import Around
from hubfold.journal.journal import Journal
from hubfold.journal.on_disk import text_of
from hubfold.journal.run_log import RunLog
from hubfold.moving.links import apart
from hubfold.moving.plan import MovedModel
from hubfold.scanning.discover import fallback
from hubfold.vault.links import object_named, texts_below


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

    def lead(self, book: Journal, model: MovedModel) -> Led:
        """Lead the links that the plan of a model has to its copy, under the journal of its run.

        Raises `Interrupted`, and `OSError` if the journal cannot be written.
        """
        leader = follow.Leader(book, self.around(), self._workspace.lock_paths, self._workspace.stop)
        index = self._workspace.index
        for lead in apart(model.files, model.links)[1]:
            first = lead.file.names[0]
            leader.lead((first.root, first.path), lead.links, lead.file.objects)
            kept = [action.keeper.path for action in lead.links.values()]
            for path in (*kept, *(name.path for name in lead.file.names)):
                self._workspace.note_path(index, path, proven=True)
        for object_ in leader.led.released:
            index.forget(object_)
        return leader.led

    def take_back(self, log: RunLog, book: Journal) -> PutBack:
        """Lead the links of a run back; see `care/follow`."""
        mender = Mender(
            lambda: book,
            self._workspace.vault_for,
            self._locks,
            progress=self._workspace.progress,
            stop=self._workspace.stop,
        )
        return follow.take_back(log, mender, self.around())

    def _locks(self, root: str, path: str) -> Sequence[str]:
        known = self._workspace.index.root_at(root, vaults=True)
        if known is None or known.backend not in self._workspace.backends:
            return ()
        return self._workspace.lock_paths(known, path)
