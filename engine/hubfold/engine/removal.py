"""Models on their way to nowhere: removed, and what was left behind cleaned."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from hubfold.backend.changes import LEFTOVER_AGE
from hubfold.content import Root
from hubfold.disk.paths import canonical, within
from hubfold.engine import running
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import UsageError
from hubfold.index.housekeeping import keep_unreferenced
from hubfold.journal import journal, others
from hubfold.library.inventory import Holdings
from hubfold.models.names import ModelName, UnknownModel
from hubfold.removal import carry_out, files, leftovers, redundant
from hubfold.removal import plan as removal_plan
from hubfold.removal.files import FilesOf
from hubfold.removal.plan import RemovePlan, Wish
from hubfold.removal.twins import Twin, mirrored
from hubfold.reports.removals import RemoveReport
from hubfold.scanning import discover

#: Names of models with ``*``, ``?`` or ``[…]`` in them; nothing else that is no repo id.
_PATTERN = re.compile(r"(?=.*[*?[])[\w.*?!\[\]/:-]+", re.ASCII)


class Removing:
    """Plans removals and applies them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def plan_remove(
        self,
        models: Sequence[str],
        revision: str | None = None,
        with_links: bool = False,
        *,
        with_copies: bool = False,
        roots: Sequence[StrPath] = (),
    ) -> RemovePlan:
        """See `Engine.plan_remove`."""
        only = [root.path for path in roots for root in self._caches_at(path)]
        folders = {model: discover.named_folder(model) for model in models}
        copies = [folder for folder in folders.values() if folder is not None]
        known = self._workspace.discover() if copies else []
        strange = [copy for copy in copies if not any(within(copy, root.path) for root in known)]
        holdings = found = None
        if self._may_be_files(models, copies):
            holdings = self._workspace.holdings_at([*only, *strange])
            found = self._files_of(holdings, models, revision, with_copies=with_copies)
            if files.fit(holdings, found):
                if with_links:
                    raise UsageError("single files take no links with them", "leave out --with-links")
                return files.plan(holdings, found, only=only, names=self._workspace.names_of)
        names = [model for model in models if folders[model] is None]
        patterns = [name for name in names if _PATTERN.fullmatch(name)]
        if patterns and revision is not None:
            raise UsageError("a revision is one of one model", "name the model, or leave out --revision")
        asked = [self._workspace.model_name(name, revision) for name in names if name not in patterns]
        wish = Wish(
            models=asked,
            copies=copies,
            patterns=patterns,
            only=only,
            with_links=with_links,
            with_copies=with_copies,
            suggest=list(self._workspace.models),
        )
        try:
            return removal_plan.plan(
                holdings or self._workspace.holdings_at([*only, *strange]),
                wish,
                names=self._workspace.names_of,
                logs=lambda: journal.logs(self._workspace.state.runs),
            )
        except UnknownModel as error:
            here = next((name for name in names if os.path.isdir(name)), None)
            if here is not None:
                raise UnknownModel(str(error), f"if the folder is meant: hubfold rm ./{here}") from None
            if found is None or not found.held:
                raise
            raise UnknownModel(f"{error}, and {found.name} has no such file", error.hint) from None

    def plan_of(self, models: Sequence[ModelName], only: Sequence[str]) -> RemovePlan:
        """What removing these revisions from the roots `only` would do. Raises as `plan_remove`."""
        return removal_plan.plan(
            self._workspace.holdings_at(only), Wish(models=models, only=only), names=self._workspace.names_of
        )

    def plan_mirrored(
        self, models: Sequence[ModelName], root: str, other: str, told: Collection[str] = ()
    ) -> tuple[RemovePlan | None, tuple[str, ...]]:
        """(what removing these from `root` would do, None for nothing; what keeps others of them there).

        Only what the root `other`, of the same layout, has too goes: each file is compared with that right before
        (`removal/twins`). A model stays with all of it where `other` lacks one, but for those that were `told` of.
        Raises as `plan_remove`.
        """
        planned = self.plan_of(models, [root])
        found = [(one, mirrored(one, other, told)) for one in planned.removals]
        lacking = {(one.repo_type, one.repo_id): lacks for one, lacks in found if isinstance(lacks, str)}
        if lacking:
            rest = [one for one in models if (one.repo.repo_type, one.repo.repo_id) not in lacking]
            again, more = self.plan_mirrored(rest, root, other, told) if rest else (None, ())
            return again, (*lacking.values(), *more)
        twins: dict[str, tuple[Twin, ...]] = {}
        for removal, of in found:
            if not isinstance(of, str):
                twins[removal.path] = (*twins.get(removal.path, ()), *of)
        return (replace(planned, twins=twins) if planned.removals else None), ()

    def _may_be_files(self, models: Sequence[str], copies: Sequence[str]) -> bool:
        """Whether the words after the first may be files of the model that it names, or of the copy that it is."""
        words = models[1:]
        configured = self._workspace.models
        return bool(words) and not (
            models[0] in words
            or configured.keys() & set(words)
            or _PATTERN.fullmatch(models[0])
            or any(discover.named_folder(word) in copies for word in words)
        )

    def _files_of(
        self, holdings: Holdings, models: Sequence[str], revision: str | None, *, with_copies: bool
    ) -> FilesOf:
        first, *words = models
        folder = discover.named_folder(first)
        if folder is not None:
            return files.of_copy(holdings, folder, words, revision)
        return files.of_model(
            holdings, self._workspace.model_name(first, revision), words, copies=with_copies
        )

    def plan_redundant(self, paths: Sequence[StrPath] = ()) -> RemovePlan:
        """See `Engine.plan_redundant`."""
        named = [canonical(path) for path in paths]
        for path in named:
            if not os.path.isdir(path):
                raise discover.missing(path)
        known = self._workspace.discover() if named else ()
        strange = [path for path in named if not any(within(path, root.path) for root in known)]
        return redundant.plan(
            self._workspace.holdings_at(strange),
            named,
            names=self._workspace.names_of,
            logs=lambda: journal.logs(self._workspace.state.runs),
        )

    def _caches_at(self, path: StrPath) -> list[Root]:
        """The cache that lies at `path`, and no other that lies in it; where none does, those below it, since a cache
        may be named by the folder above it. Raises `RootError`."""
        found = self._workspace.discover([path])
        named = canonical(path)
        # A folder that no backend recognises is a root of its own, but nobody's word for what is in it.
        known = [root for root in found if root.path != named or self._is_known(root)]
        return [root for root in known if root.path == named] or known or found

    def _is_known(self, root: Root) -> bool:
        cache = self._workspace.backends[root.backend].capabilities.cache
        return cache or root.path in {one.path for one in self._workspace.discover()}

    def preview_removal(self, plan: RemovePlan) -> RemoveReport:
        """A plan of `plan_remove` or `plan_clean` in the form of a report."""
        return carry_out.preview(plan, self._workspace.same_content)

    def apply_removal(self, plan: RemovePlan, command: str = "rm") -> RemoveReport:
        """Remove what the plan says, journalled; it cannot be undone. Raises `Locked`, `JournalDamaged`, `OSError`."""
        if not plan.removals:
            return self.preview_removal(plan)
        roots = {removal.root for removal in plan.removals}
        with running.changing(self._workspace, command, roots) as book:
            holdings = self._workspace.holdings_at([removal.root for removal in plan.removals])
            report = carry_out.carry_out(
                plan, holdings, book, progress=self._workspace.progress, stop=self._workspace.stop
            )
            if self._workspace.has_index:
                for path in report.removed:
                    self._workspace.index.forget(path)
                keep_unreferenced(self._workspace.index, None)
            gone = [
                (removal.repo_type, removal.repo_id, revision)
                for removal in plan.removals
                if removal.backend in self._workspace.caches()
                for revision in removal.revisions
            ]
            self._workspace.state.remember_asked(dict.fromkeys(gone, ()))
            for other in plan.others:
                self._workspace.note_path(self._workspace.index, other.path, proven=True)
        return report

    def plan_clean(
        self, paths: Sequence[StrPath] = (), *, old_revisions: bool = False, older_than: float = LEFTOVER_AGE
    ) -> RemovePlan:
        """See `Engine.plan_clean`."""
        wanted = [canonical(path) for path in paths]
        holdings = self._workspace.holdings_at(wanted)
        only = [root.path for root in holdings.roots if any(within(root.path, path) for path in wanted)]
        return leftovers.plan(
            holdings,
            others.as_they_lie_now(journal.logs(self._workspace.state.runs)),
            older_than=older_than,
            old_revisions=old_revisions,
            only=only,
            names=self._workspace.names_of,
        )

    def plan_clean_all(self, cache: StrPath) -> RemovePlan:
        """Everything in one cache. Raises `RootError` if it is none, `UsageError` if it is a folder of another sort."""
        found = self._workspace.discover([cache])
        named = canonical(cache)
        # Not what is below a folder that is none: one cache is named, and all of it goes.
        root = next((root for root in found if root.path == named), found[0])
        if not self._workspace.backends[root.backend].capabilities.cache:
            raise UsageError(f"{root.path} is no cache", "name the folder that `hubfold roots` shows for it")
        holdings = self._workspace.holdings_at([root.path])
        root = next(one for one in holdings.roots if one.path == root.path)
        return leftovers.plan_all(holdings, root, self._workspace.names_of)
