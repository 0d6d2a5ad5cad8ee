"""The part of `Engine` that changes models: remove, download, clean, back up, restore."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubfold.content import Root
from hubfold.engine.farming import Farming
from hubfold.engine.models import ModelOperations
from hubfold.engine.workspace import StrPath
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.removal.plan import RemovePlan
    from hubfold.reports.outcomes import Failed
    from hubfold.reports.removals import RemoveReport
    from hubfold.reports.transfers import BackupReport, DownloadReport, RestoreReport, Reused
    from hubfold.transfer.backup import BackupPlan
    from hubfold.transfer.download import DownloadPlan
    from hubfold.transfer.restore import RestorePlan

#: A scan with this as its smallest size walks and reads no content.
_NOTHING = 1 << 62


class Lifecycle(Farming, ModelOperations):
    """The part of `Engine` that changes models as a whole."""

    def plan_remove(
        self,
        models: Sequence[str],
        revision: str | None = None,
        with_links: bool = False,
        *,
        with_copies: bool = False,
        roots: Sequence[StrPath] = (),
    ) -> RemovePlan:
        """What removing `models` (or one `revision` of each) would do; `roots` restricts it to those caches.

        A model is named as in config.toml (which may name a revision of it, too), by its repo id, or by the folder of
        a local copy, which only removes that. Content that links elsewhere need stays for them; `with_links` removes
        such links too, `with_copies` the local copies. Raises `UsageError` for a name that is none, `HubfoldError` for
        a model or revision that is nowhere.
        """
        from hubfold.journal import journal
        from hubfold.removal import plan as removal_plan
        from hubfold.scanning import discover

        # A cache that is named by the folder above it, or that lies in another one, is found all the same.
        only = (
            [
                root.path
                for root in discover.discover(
                    roots, self._backends, known=self._known_roots(), environ=self.environ
                )
            ]
            if roots
            else []
        )
        folders = {model: discover.named_folder(model) for model in models}
        copies = [folder for folder in folders.values() if folder is not None]
        asked = [self.model_name(model, revision) for model in models if folders[model] is None]
        return removal_plan.plan(
            self._holdings(only),
            asked,
            copies,
            lambda: journal.logs(self.state.runs),
            with_links=with_links,
            with_copies=with_copies,
            names=self._names_of,
            only=only,
            suggest=self.config.models or (),
        )

    def preview_removal(self, plan: RemovePlan) -> RemoveReport:
        """A plan of `plan_remove` or `plan_clean` in the form of a report."""
        from hubfold.removal import carry_out

        return carry_out.preview(plan)

    def apply_removal(self, plan: RemovePlan, command: str = "rm") -> RemoveReport:
        """Remove what the plan says, journalled; it cannot be undone. Raises `Locked`, `JournalDamaged`, `OSError`."""
        from hubfold.care import recovery
        from hubfold.journal import lock
        from hubfold.removal import carry_out

        if not plan.removals:
            return carry_out.preview(plan)
        with lock.exclusive(self.state, command):
            recovery.recover(self.state)
            with self._begin(command) as book:
                holdings = self._holdings([removal.root for removal in plan.removals])
                report = carry_out.carry_out(plan, holdings, book, progress=self.progress, stop=self.stop)
            for path in report.removed if self._has_index else ():
                self._open_index.forget(path)
            gone = [
                (removal.repo_type, removal.repo_id, revision)
                for removal in plan.removals
                if removal.backend in self._backends and self._backends[removal.backend].capabilities.cache
                for revision in removal.revisions
            ]
            self.state.remember_asked(dict.fromkeys(gone, ()))
            for other in plan.others:
                self._note_path(self._open_index, other.path, proven=True)
        return report

    def preview_remove(
        self, models: Sequence[str], revision: str | None = None, with_links: bool = False
    ) -> RemoveReport:
        """What `remove` would do."""
        return self.preview_removal(self.plan_remove(models, revision, with_links))

    def remove(
        self, models: Sequence[str], revision: str | None = None, with_links: bool = False
    ) -> RemoveReport:
        """Remove models, or one revision of each, from every cache; see `plan_remove`."""
        return self.apply_removal(self.plan_remove(models, revision, with_links))

    def plan_clean(
        self, paths: Sequence[StrPath] = (), *, old_revisions: bool = False, older_than: float = 24 * 3600
    ) -> RemovePlan:
        """What clients and hubfold left behind in the roots at or below `paths` (default: all roots).

        `older_than` is in seconds; `old_revisions` adds the revisions that no ref names. For `apply_removal`.
        """
        from hubfold.disk.paths import canonical, within
        from hubfold.journal import journal
        from hubfold.removal import leftovers

        wanted = [canonical(os.path.expanduser(os.fspath(path))) for path in paths]
        holdings = self._holdings(wanted)
        only = [root.path for root in holdings.roots if any(within(root.path, path) for path in wanted)]
        return leftovers.plan(
            holdings,
            journal.logs(self.state.runs),
            before_ns=time.time_ns() - int(older_than * 10**9),
            old_revisions=old_revisions,
            only=only,
            names=self._names_of,
        )

    def plan_clean_all(self, cache: StrPath) -> RemovePlan:
        """Everything in one cache. Raises `RootError` if it is none, `UsageError` if it is a folder of another sort."""
        from hubfold.removal import leftovers
        from hubfold.scanning import discover

        path = os.path.expanduser(os.fspath(cache))
        root = discover.discover([path], self._backends, known=self._known_roots(), environ=self.environ)[0]
        if not self._backends[root.backend].capabilities.cache:
            raise UsageError(f"{root.path} is no cache", "name the folder that `hubfold roots` shows for it")
        holdings = self._holdings([root.path])
        root = next(one for one in holdings.roots if one.path == root.path)
        return leftovers.plan_all(holdings, root, self._names_of)

    def plan_download(
        self,
        models: Sequence[str],
        revision: str | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        into: StrPath | None = None,
    ) -> DownloadPlan:
        """What downloading `models` into the client's cache (or the cache `into`) would fetch, and what is here.

        Names of ``[models]`` in config.toml stand for their repositories, revisions and patterns; `include` and
        `exclude` count instead of those. Walks the known roots, asks the Hub. Raises `HubRefused` with the Hub's own
        words, `UsageError`.
        """
        from hubfold.models.patterns import Selection
        from hubfold.transfer import download

        given = Selection(tuple(include), tuple(exclude))
        asked = [self.model_name(model, revision) for model in models]
        asked = [replace(one, selection=given or one.selection) for one in asked]
        self.scan(min_size=_NOTHING)
        cache = self._download_cache(into)
        caches = frozenset(name for name, one in self._backends.items() if one.capabilities.cache)
        return download.plan(
            self._hub(), self._backends[cache.backend], cache, asked, self._open_index.of_size, caches=caches
        )

    def preview_download(self, plan: DownloadPlan) -> DownloadReport:
        """A plan in the form of a report."""
        from hubfold.transfer import download

        return download.preview(plan)

    def check_space(self, plan: DownloadPlan) -> None:
        """Raise `NoSpace`, with the figures, where a download would not fit."""
        from hubfold.transfer import download

        download.check_space(plan)

    def download(
        self, plan: DownloadPlan, *, to: StrPath | None = None, bars: bool = False
    ) -> DownloadReport:
        """Put what is here already into the cache, let the client fetch the rest, link it all at `to`.

        Raises `NoSpace` before anything is changed, `HubRefused` if no model could be had, `Locked`, `OSError`.
        """
        from hubfold.care import recovery
        from hubfold.journal import lock
        from hubfold.transfer import download
        from hubfold.transfer.placer import Placer

        download.check_space(plan)
        run: str | None = None
        reused: tuple[Reused, ...] = ()
        lies: tuple[Failed, ...] = ()
        if any(model.wanted for model in plan.models):
            with lock.exclusive(self.state, "download"):
                recovery.recover(self.state)
                with self._begin("download") as book:
                    placer = Placer(
                        book, self._backends[plan.cache.backend], plan.cache, plan.share, plan.caches,
                        lambda signature, sha256: self._open_index.record_digests(signature, {"sha256": sha256}),
                        self.progress, self.stop,
                    )  # fmt: skip
                    placer.place_all([wanted for model in plan.models for wanted in model.wanted])
                    book.append("end", state="finished")
                run, reused, lies = book.run, tuple(placer.placed), tuple(placer.lies)
        self.state.remember_asked(download.asked_for(plan, self.state.asked()))
        report = download.fetch_all(self._hub(bars=bars), plan, run, reused, lies, self.stop)
        folders = [model.path for model in report.models if model.path]
        if to is None or not folders:
            return report
        self._remember_cache(plan.cache)
        farm = self.farm(to, snapshots=folders)
        return replace(report, links=farm.added, failed=(*report.failed, *farm.failed))

    def plan_backup(self, target: StrPath, models: Sequence[str] = ()) -> BackupPlan:
        """What backing up `models` (default: all) to a folder, a .tar or a .tar.zst would save. Walks the roots."""
        from hubfold.transfer import backup, containers

        path = os.path.abspath(os.path.expanduser(os.fspath(target)))
        if path.endswith(".zst"):
            containers.zstd()
        asked = [self.model_name(model) for model in models]
        self.scan(min_size=_NOTHING)
        return backup.plan(self._holdings(), path, asked, self._open_index.replica, self.config.models or ())

    def preview_backup(self, plan: BackupPlan) -> BackupReport:
        """A plan in the form of a report."""
        from hubfold.transfer import backup

        return backup.preview(plan)

    def backup(self, plan: BackupPlan) -> BackupReport:
        """Write the backup; a folder is gone on with. Raises `NoSpace`, `BackupError`, `Interrupted`, `OSError`."""
        from hubfold.care import recovery
        from hubfold.journal import lock
        from hubfold.transfer import backup, containers

        with lock.exclusive(self.state, "backup"):
            recovery.recover(self.state)
            with self._begin("backup") as book:
                name = containers.temporary_name(book.run)
                tar = containers.is_tar(plan.target)
                folder = os.path.dirname(plan.target) if tar else plan.target
                path = os.path.join(folder, name)
                book.announce("make", path=plan.target, root=folder, temporary=path)
                book.sync()
                state = "interrupted"
                writer: containers.Writer | None = None
                try:
                    writer = (
                        containers.TarWriter(plan.target, name)
                        if tar
                        else containers.FolderWriter(plan.target, name, self._backends)
                    )
                    saver = backup.Saver(writer, self._open_index.replica, self.progress, self.stop)
                    hint = "name another place, or back up fewer models"
                    backup.check_space(folder, saver.needed(plan), "the backup", hint)
                    report = saver.save(plan)
                    state = "finished"
                finally:
                    if state != "finished" and writer is not None:
                        writer.abandon()
                    book.append("end", state=state)
        return replace(report, run=book.run)

    def plan_restore(
        self, source: StrPath, models: Sequence[str] = (), *, into: StrPath | None = None
    ) -> RestorePlan:
        """What restoring `models` (default: all) of the backup at `source` would make in the client's cache or `into`.

        Raises `BackupError` for a backup that is none, or that hubfold would not have written.
        """
        from hubfold.transfer import containers, restore

        asked = [self.model_name(model) for model in models]
        path = os.path.abspath(os.path.expanduser(os.fspath(source)))
        backed_up = containers.reader(path).read_list(self._backends)
        return restore.plan(backed_up, self._download_cache(into), asked)

    def preview_restore(self, plan: RestorePlan) -> RestoreReport:
        """A plan in the form of a report."""
        from hubfold.transfer import restore

        return restore.preview(plan)

    def restore(self, source: StrPath, plan: RestorePlan) -> RestoreReport:
        """Put the models of the plan into its root; what is there stays. Raises `NoSpace`, `BackupError`, `OSError`."""
        from hubfold.care import recovery
        from hubfold.disk import directory
        from hubfold.journal import lock
        from hubfold.transfer import backup, containers, restore

        path = os.path.abspath(os.path.expanduser(os.fspath(source)))
        hint = "make room, or name another cache by --into"
        backup.check_space(plan.root.path, plan.missing_bytes, "this", hint)
        with lock.exclusive(self.state, "restore"):
            recovery.recover(self.state)
            with self._begin("restore") as book:
                directory.make_folders(plan.root.path)
                state = "interrupted"
                backend = self._backends[plan.root.backend]
                try:
                    restorer = restore.Restorer(book, backend, plan, self.progress, self.stop)
                    report = restorer.restore(containers.reader(path))
                    state = "finished"
                finally:
                    book.append("end", state=state)
        return report

    def _remember_cache(self, cache: Root) -> None:
        """A cache that was named by `into` is one of the roots from now on, so that its models are found."""
        if all(root.path != cache.path for root in self._open_index.roots()):
            self.scan([cache.path], backend=cache.backend, min_size=_NOTHING)
