"""`Engine`: every operation of hubfold, for the command line and for Python users alike. It prints nothing.

A façade: each operation belongs to a service (`scanning`, `folding`, …), which is handed the `Workspace` and is loaded
when it is first asked for something.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from hubfold.content import LEFTOVER_AGE, STALE_AFTER, USUAL, Marks, Role, Scope
from hubfold.engine.workspace import MIN_SIZE, NO_CONTENT, StrPath, Workspace
from hubfold.errors import HubfoldError

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Self

    from hubfold.adoption.migration import MigratePlan
    from hubfold.adoption.plan import AdoptPlan
    from hubfold.backend.registry import Registry
    from hubfold.content import IndexedReplica, LinkKind
    from hubfold.engine.adopting import Adopting
    from hubfold.engine.balancing import BalancePlan, Balancing
    from hubfold.engine.care import Care
    from hubfold.engine.explaining import Explaining
    from hubfold.engine.farming import Farming
    from hubfold.engine.fleets import Fleets
    from hubfold.engine.folding import Folding
    from hubfold.engine.following import Following
    from hubfold.engine.marking import Marking, Picture
    from hubfold.engine.memory import Memory
    from hubfold.engine.migrating import Migrating
    from hubfold.engine.models import Models
    from hubfold.engine.mounting import Mounting
    from hubfold.engine.moving import Moving
    from hubfold.engine.overview import Overviewing
    from hubfold.engine.places import Places
    from hubfold.engine.planning import Planning
    from hubfold.engine.registering import Registering
    from hubfold.engine.remembering import Remembering
    from hubfold.engine.removal import Removing
    from hubfold.engine.scanning import Scanning
    from hubfold.engine.serving import Serving, Settings
    from hubfold.engine.transfer import Transfer
    from hubfold.engine.unlocking import Unlocking
    from hubfold.faults import Faults
    from hubfold.folding.plan import Plan
    from hubfold.library.gather import Library
    from hubfold.models.names import ConfiguredModel, ModelName
    from hubfold.moving.plan import MovePlan
    from hubfold.places.places import Place
    from hubfold.progress import Progress, Stop
    from hubfold.removal.plan import RemovePlan
    from hubfold.reports.fleet import ExportReport, FleetReport
    from hubfold.reports.health import DoctorReport, MountReport, VerifyReport
    from hubfold.reports.locks import UnlockReport
    from hubfold.reports.models import CheckReport, Look, ModelsReport
    from hubfold.reports.moves import BalanceReport, MoveReport, PinReport
    from hubfold.reports.origins import WhyReport
    from hubfold.reports.overview import Overview
    from hubfold.reports.pictures import Joint
    from hubfold.reports.places import RegisteredModel, RegistryReport
    from hubfold.reports.removals import RemoveReport
    from hubfold.reports.runs import (
        ConsolidateReport,
        FarmReport,
        GcReport,
        RecoverReport,
        RunDetail,
        RunSummary,
        UndoReport,
    )
    from hubfold.reports.scans import DupesReport, Remembered, ScanReport, Space, StatusRoot, Unreferenced
    from hubfold.reports.serving import Begun
    from hubfold.reports.transfers import (
        AdoptReport,
        BackupReport,
        DownloadReport,
        MigrateReport,
        RestoreReport,
    )
    from hubfold.state.config import Config
    from hubfold.state.home import StateHome
    from hubfold.transfer.backup import BackupPlan
    from hubfold.transfer.download import DownloadPlan
    from hubfold.transfer.restore import RestorePlan


class Engine:
    """One user's hubfold: its state directory, its plugins, its index.

    `home` is the state directory (default: ``HUBFOLD_HOME``, else the platform's). `progress` is told of long work;
    `stop` is asked between steps. `guests` is called before a plugin of another distribution is imported: what that
    prints is on the caller's stdout, unless he keeps it to himself there. `executor` reads files: any of
    `concurrent.futures`, a Dask client, or a word of `workers.named` (default: that of ``config.toml``, else threads);
    one that is handed in is not ended. A context manager: leaving it closes the index.
    """

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
        stop: Stop | None = None,
        guests: Callable[[], object] | None = None,
        executor: Executor | str | None = None,
    ) -> None:
        self.workspace = Workspace(
            home,
            environ=environ,
            progress=progress,
            stop=stop,
            guests=guests,
            executor=executor,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self.workspace.close()

    @property
    def state(self) -> StateHome:
        """Where this user's state lies."""
        return self.workspace.state

    @property
    def config(self) -> Config:
        """What ``config.toml`` says."""
        return self.workspace.config

    @property
    def sample_config(self) -> str:
        """A ``config.toml`` that explains every setting, all of them commented out."""
        return self.workspace.sample_config

    def write_config(self) -> str:
        """Write `sample_config` to where ``config.toml`` lies, and return its path.

        Raises `HubfoldError` where there is one already.
        """
        self.state.write_config(self.sample_config)
        return self.state.config

    @property
    def commands(self) -> dict[str, Any]:
        """The click commands of plugins, by name."""
        return self.workspace.policies.commands()

    @property
    def registry(self) -> Registry:
        """The loaded backends. Raises `PluginError` where two have one name."""
        return self.workspace.registry

    @property
    def notices(self) -> list[str]:
        """What the user should know about the state itself: an index begun anew, a plugin left out."""
        return self.workspace.notices

    @property
    def faults(self) -> Faults:
        """What plugins did wrong so far, each thing once; the roots that are named there were left out."""
        return self.workspace.faults

    def model_name(self, name: str, revision: str | None = None) -> ModelName:
        """What a name given by a user asks for: one of ``config.toml``, or a repo id. Raises `UsageError`."""
        return self.workspace.model_name(name, revision)

    def download_cache(self) -> str | None:
        """The cache that downloads go to, whether it exists or not; None where no loaded backend has one."""
        return self.workspace.cache_of_downloads()

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

    # memory

    def roots(self) -> list[StatusRoot]:
        """The known roots with what the last scan found in them, and those that could be scanned."""
        return self._memory.roots()

    def root_named(self, path: StrPath) -> str:
        """The path of the known root that a user means by `path`. Raises `RootError` where there is none."""
        return self._memory.root_named(path)

    def known_models(self) -> list[str]:
        """The names of ``config.toml``, and the models of which the last scan saw files; nothing else is asked."""
        return self._memory.known_models()

    def known_roots(self) -> list[str]:
        """The paths that were registered, configured or scanned, whether they are there or not; nothing is asked."""
        return self._memory.known_roots()

    def remove_root(self, path: StrPath) -> StatusRoot:
        """Forget a root; its files stay as they are. Raises `HubfoldError` if it is not known."""
        return self._memory.remove_root(path)

    def dupes(
        self,
        paths: Sequence[StrPath] = (),
        *,
        limit: int | None = None,
        sort: str = "size",
        min_size: int = MIN_SIZE,
        scope: Scope = USUAL,
    ) -> DupesReport:
        """The duplicate sets of the last scan, from the index; `sort` is size (to reclaim), count or path.

        With `paths` those with a file there, whose other copies may be in any known root; with `scope.only` copies
        elsewhere do not count; the rest of it as in `scan`, of what that took in.
        """
        return self._memory.dupes(paths, limit=limit, sort=sort, min_size=min_size, scope=scope)

    def runs(self) -> list[RunSummary]:
        """Past runs, newest first. Raises `JournalDamaged`."""
        return self._memory.runs()

    def run(self, run: str) -> RunDetail:
        """One run action by action. Raises `RunNotFound`, `JournalDamaged`."""
        return self._memory.run(run)

    def why(self, path: StrPath) -> WhyReport:
        """Who keeps the content of the file at `path`, by which run and link, or why it was not folded.

        By the journals, the last scan, and a plan for this content alone. Raises `HubfoldError` where there is no file.
        """
        return self._explaining.why(path)

    # places

    def places(self) -> list[Place]:
        """The named locations for models, each setting by the strongest source that has it (`places/settings`), and the
        client's own cache. Raises `ConfigError` for a file or variable that says what makes no sense."""
        return self._places.places()

    def place_of(self, word: str) -> Place:
        """The place that `word` means: its name, its role where one place only has that, or its path.

        Raises `NoPlace`, and `UsageError` where several have the role.
        """
        return self._places.place_of(word)

    def room_left(self, place: Place) -> int:
        """Bytes that still fit into a place: under its limit by allocated blocks, as `du` counts, and on its drive.

        The reserve of ``config.toml`` is kept free. 0 where the drive is away.
        """
        return self._places.room_left(place)

    def next_place_for(self, bytes_: int) -> Place | None:
        """The best place with so much room: the primary one, then the others as they are named; None if none has it."""
        return self._places.next_for(bytes_)

    # registry

    def register(
        self,
        name: str,
        repo_id: str,
        *,
        at: str = "",
        path: StrPath | None = None,
        revision: str | None = None,
    ) -> RegisteredModel:
        """Let `name` stand for a model, which is to lie `at` a place or in the cache at `path`, or below that.

        A `path` that is no cache yet is taken for the folder above one (an ``HF_HOME``). What is registered stays where
        it is: `download` gets it there. Raises `UsageError`, `NoPlace`, `RegistryDamaged`, `Locked`.
        """
        return self._registering.register(name, repo_id, revision, at=at, path=path)

    def registered(self, name: str) -> RegisteredModel:
        """A model that was registered or configured by this name: `cache_dir` is what ``from_pretrained`` needs.

        Raises `UnknownModel`, and `NoPlace` where its place is none any more.
        """
        return self._registering.one(name)

    def registered_models(self, names: Sequence[str] = ()) -> RegistryReport:
        """Those of these `names` (default: all) that are registered or configured; `cache_dir` is "" where the place is
        none any more. Raises `UnknownModel`."""
        return self._registering.registered(names)

    def import_registry(self, path: StrPath) -> RegistryReport:
        """Register what a JSON file lists (`places/registry`), all of it or nothing. Raises `UsageError`."""
        return self._registering.import_from(path)

    def unregister(self, names: Sequence[str]) -> RegistryReport:
        """Forget names; their models stay. Raises `UnknownModel`, and `HubfoldError` for one that a file configures."""
        return self._registering.unregister(names)

    @property
    def configured_models(self) -> Mapping[str, ConfiguredModel]:
        """The names that stand for models, of files and of the registry, as one list."""
        return self.workspace.models

    # scanning

    def scan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        backend: str | None = None,
        min_size: int = MIN_SIZE,
        scope: Scope = USUAL,
        promise: bool = True,
    ) -> ScanReport:
        """Walk the roots, update the index, read what has to be read to know the duplicates.

        The roots: those that were added or configured, those that the backends find in the environment, and `paths`;
        with `scope.only` these alone. With `paths` the report is about these, compared with the others. No path becomes
        a root by being scanned. Files under `min_size` bytes are not read.

        Of plain folders model files count, and what a client's metadata vouches for; `scope` says it otherwise. What is
        reclaimable is what `plan` would free; of very many sets (`ScanReport.estimated`), and of all for who plans
        anyway and needs no `promise`, what their sizes come to.

        Raises `RootError`, `UsageError`, `IndexDamaged`, `Interrupted` (what was scanned stays known).
        """
        report = self._scanning.scan(paths, backend=backend, min_size=min_size, scope=scope)
        if not promise:
            return report
        if report.duplicate_sets and backend is None:
            report = self._planning.as_planned(report, paths, min_size, scope)
        all_roots = not paths and not scope.only
        free = self._scanning.unreferenced(report.roots, all_roots=all_roots)
        if all_roots:
            self._memory.keep_unreferenced(free)
        space = self._memory.space((root.path for root in report.roots), keep=True)
        return replace(report, space=space, unreferenced=free)

    def unreferenced(self) -> tuple[Unreferenced, ...]:
        """What the last scan of all roots found that no model refers to; empty after a removal until the next."""
        return self._memory.unreferenced()

    def space(self) -> Space:
        """What the known roots take, as of the last scan: in caches, in local copies, in all; what folds saved."""
        return self._memory.space(root.path for root in self._memory.roots())

    def saved(self) -> int | None:
        """The bytes that folds have freed and that were not taken back; None where a journal cannot be read."""
        return self._memory.saved()

    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role | None = None,
        limit: int | None = None,
        name: str = "",
    ) -> StatusRoot:
        """Register a root, as a place for models where it has a `name` or a `role` (which is its name then).

        Raises `RootError` if it is no directory, `PluginError` for an unknown backend, `UsageError` for a name that is
        none or that another root has.
        """
        return self._scanning.add_root(path, backend=backend, role=role, limit=limit, name=name)

    # folding

    def plan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        link: LinkKind | None = None,
        min_size: int = MIN_SIZE,
        into: StrPath | None = None,
        across_owners: bool = False,
        scope: Scope = USUAL,
    ) -> Plan:
        """What `apply` would do with the duplicates of the last scan; nothing is changed.

        With `paths` only files there are replaced, by copies in any known root, or with `scope.only` by copies there;
        with `scope.models` only what these models have a copy of, with `scope.within` only what lies in that folder, by
        copies there, and with links that are relative. Raises `UnknownModel` for one that nobody has.
        `link` forces one kind, `into` names the cache whose copies are kept first and whose vault is used,
        `across_owners` folds files of several users together. `min_size` in bytes.
        """
        return self._planning.plan(
            paths, link=link, min_size=min_size, into=into, across_owners=across_owners, scope=scope
        )

    def preview(self, plan: Plan) -> ConsolidateReport:
        """A plan in the form of a report, with no run."""
        return self._planning.preview(plan)

    def apply(self, plan: Plan) -> ConsolidateReport:
        """Apply a plan under a journal; every path that could not be replaced is in `failed` with the reason.

        Raises `Locked`, `JournalDamaged` (nothing is changed then), `OSError` if the journal cannot be written.
        """
        return self._folding.apply(plan)

    def preview_undo(self, run: str | None = None) -> UndoReport:
        """What taking `run` (default: the last one) back would do. Raises `RunNotFound`, `NoSpace`."""
        return self._moving.preview_taking_back(self._folding.preview_undo(run))

    def undo(self, run: str | None = None) -> UndoReport:
        """Take `run` (default: the last one) back. Raises `RunNotFound`, `NoSpace` and `Locked` before any change.

        The copy that a move made goes, too, once the model is whole without it.
        """
        report = self._folding.undo(run)
        if report.restored and self.workspace.has_index:
            # So that what is told of space is true at once; what went wrong with that is told by the next scan.
            with suppress(HubfoldError, OSError):
                self._scanning.scan(min_size=NO_CONTENT)
                self._folding.note_restored(report)
        return self._moving.taken_back(report)

    def recover(self, *, forget: bool = False) -> RecoverReport:
        """Finish or roll back what a crash left. Every changing call does this first.

        With `forget`, what cannot be looked at (its drive is gone for good) is given up, and not tried again.
        """
        return self._folding.recover(forget=forget)

    def preview_gc(self, *, forget_machine: str | None = None) -> GcReport:
        """The vault objects that no link needs, with what removing them frees, and which of them are last copies.

        With `forget_machine`, as if the machine of this name or id had noted no link.
        """
        return self._folding.preview_gc(forget_machine=forget_machine)

    def gc(self, *, forget_machine: str | None = None) -> GcReport:
        """Remove the vault objects that no link needs, and vaults that are empty.

        With `forget_machine`, what the machine of this name or id noted is given up first.
        """
        return self._folding.gc(forget_machine=forget_machine)

    # many hosts

    def export(self, folder: StrPath, *, all_users: bool = False) -> ExportReport:
        """Write what the last scans found of this user's files as one file into a folder, for `fleet`.

        With `all_users`, files of others too. Needs pyarrow (``hubfold[fleet]``). Raises `HubfoldError`.
        """
        return self._fleets.export(folder, all_users=all_users)

    def fleet(
        self,
        places: Sequence[StrPath],
        wanted: Sequence[str] = (),
        *,
        model: str = "",
        limit: int = 20,
        stale_after: float = STALE_AFTER,
    ) -> FleetReport:
        """Ask the exported files at `places` (folders, files, patterns): hosts, saves, held, only, differs, or all.

        With a `model`, which hosts have that. A file whose scan is older than `stale_after` seconds is called stale.
        Needs DuckDB (``hubfold[fleet]``). Raises `HubfoldError`.
        """
        return self._fleets.fleet(places, wanted, model=model, limit=limit, stale_after=stale_after)

    def explain_fleet(self, places: Sequence[StrPath], wanted: Sequence[str] = (), *, model: str = "") -> str:
        """The SQL of `fleet`, for DuckDB's own shell."""
        return self._fleets.explain(places, wanted, model=model)

    # locks between hosts

    def locks(self, paths: Sequence[StrPath] = ()) -> UnlockReport:
        """The locks between hosts that are held now: of the state, of vaults and roots, `paths` taken for roots too."""
        return self._unlocking.locks(paths)

    @property
    def lock_patience(self) -> float:
        """How many seconds the lock of another host is watched before it may be broken."""
        return self._unlocking.patience

    def watch_locks(self, found: UnlockReport) -> UnlockReport:
        """What becomes of locks of other hosts while they are watched for `lock_patience` seconds; `broken` has what
        `unlock` would break. Raises `Interrupted`."""
        return self._unlocking.watch(found)

    def unlock(self, watched: UnlockReport) -> UnlockReport:
        """Break the stale ones of `watch_locks`, and no holder that came since."""
        return self._unlocking.unlock(watched)

    # moving

    def plan_move(
        self,
        models: Sequence[str],
        to: StrPath,
        *,
        source: StrPath | None = None,
        min_size: int = MIN_SIZE,
        pace: int | None = None,
        whole: bool = False,
    ) -> MovePlan:
        """What moving `models` (without any: all of `source`) to the place, or cache, `to` would do. Walks the roots.

        With `whole`, what only the vault of `source` has goes too: the links that read it are led to a copy.

        Each file of `min_size` bytes or more becomes a link to its copy, so that programs find the model where it was,
        too. One that a program has open, that cannot be copied as a whole or of which nothing would be freed stays. The
        reason is told. `pace` in bytes a second.

        Raises `UnknownModel`, `RootError`, `UsageError` for one that several caches have while no `source` is named.
        """
        return self._moving.plan(models, to, source=source, min_size=min_size, pace=pace, whole=whole)

    def preview_move(self, plan: MovePlan) -> MoveReport:
        """A plan in the form of a report."""
        return self._moving.preview(plan)

    def apply_move(self, plan: MovePlan) -> MoveReport:
        """Move the models of a plan, one after the other, each under a run of its own that `undo` takes back.

        Raises `NoSpace` before anything is changed, `Locked`, `JournalDamaged`, `OSError`. A stop ends it between two
        files: what was copied is gone on with by the same move.
        """
        return self._moving.carry_out(plan)

    def move_of(self, model: str) -> str:
        """The last run that moved `model` and was not taken back. Raises `HubfoldError` where there is none."""
        return self._moving.run_of(model)

    # balancing

    def plan_balance(self, *, min_size: int = MIN_SIZE, pace: int | None = None) -> BalancePlan:
        """What has to move so that each place is under its limit, the least recently used models first.

        When a model was used last is known by the last `download`, `path` or `check` of it, by access times where the
        mount keeps these, else by when it came. It goes to the first place behind its own that has room. Pinned models
        stay, and those that could not be moved (see `plan_move`).
        """
        return self._balancing.plan(min_size=min_size, pace=pace)

    def preview_balance(self, plan: BalancePlan) -> BalanceReport:
        """A plan in the form of a report."""
        return self._balancing.preview(plan)

    def apply_balance(self, plan: BalancePlan, *, min_size: int = MIN_SIZE) -> BalanceReport:
        """Move what a plan says, and look again whether the limits are kept. Raises as `apply_move`."""
        return self._balancing.carry_out(plan, min_size=min_size)

    def pin(self, models: Sequence[str], *, pinned: bool = True) -> PinReport:
        """Let `balance` leave models where they are, or no longer. Raises `UnknownModel`."""
        return self._balancing.pin(models, pinned=pinned)

    def pins(self) -> PinReport:
        """The models that `balance` leaves where they are."""
        return self._balancing.pins()

    # farming

    def preview_farm(
        self, path: StrPath, models: Sequence[str] = (), *, program: str | None = None
    ) -> FarmReport:
        """What building or refreshing the farm at `path` would do. Scans the caches first."""
        return self._farming.preview_farm(path, models, program=program)

    def farm(
        self,
        path: StrPath,
        models: Sequence[str] = (),
        *,
        snapshots: Sequence[StrPath] = (),
        program: str | None = None,
    ) -> FarmReport:
        """Build or refresh the farm at `path` with links to `models` (default: all). Journalled, can be undone.

        `snapshots` names folders of revisions instead; a single one is linked without its model's name before it.
        With a `program`, by the name of its backend, `path` is a folder of that program: it gets those models that the
        program has a use for, in its own layout and with the links that it takes. Raises `UsageError` for a program
        that no loaded backend can do this for, `HubfoldError` where nothing of `models` can be given to it.
        """
        return self._farming.farm(path, models, snapshots=snapshots, program=program)

    def programs(self) -> tuple[str, ...]:
        """The programs that `farm` can fill a folder of."""
        return self._farming.programs.names()

    def program_folder(self, program: str, path: StrPath | None = None) -> str:
        """The folder of a program that `path` stands for; by default the one that it has on this machine.

        Raises `UsageError` where it has none here, or that is none for it.
        """
        return self._farming.programs.root(program, path).path

    # models

    def library(self, paths: Sequence[StrPath] = ()) -> Library:
        """The models of the known roots and those found in the environment, or of the roots at `paths`. Asks the disks.

        Raises `RootError` for a path that is no root, `Interrupted`.
        """
        return self._models.library(paths)

    def models(
        self,
        names: Sequence[str] = (),
        *,
        filters: Sequence[str] = (),
        sort: str | None = None,
        limit: int | None = None,
        revisions: bool = False,
    ) -> ModelsReport:
        """The models of all roots (or those named), a row each or one for each revision; see `library/filters`.

        A copy of which nothing says what it is is named by its folder. Raises `UsageError`, `UnknownModel` for a name
        that no root has.
        """
        return self._models.models(names, filters=filters, sort=sort, limit=limit, revisions=revisions)

    def check(
        self, models: Sequence[str] = (), *, cache: StrPath | None = None, anywhere: bool = True
    ) -> CheckReport:
        """What is there of `models` (default: those that ``config.toml`` names), and what to do. Needs no network.

        It counts where a model is whole: in any root, or, if not `anywhere`, in the cache that this environment loads
        from; or in `cache` alone. Raises `UsageError` for a name that cannot be a repo id, or where no model is named
        anywhere; `RootError` for a `cache` that is no folder. One that is not there yet has nothing.
        """
        return self._models.check(models, cache=cache, anywhere=anywhere)

    def model_path(self, model: str, file: str | None = None, *, revision: str | None = None) -> str:
        """The folder of a whole revision of `model`, or the path of one `file` of it, whichever root it is in.

        Raises `UsageError`, `UnknownModel`, `NotWhole`.
        """
        return self._models.model_path(model, file, revision=revision)

    def look(self, before: Look | None = None) -> Look:
        """Models, downloads that are not at their end, and space, with what has changed since `before`."""
        return self._models.look(before)

    # marking

    def remembered(self) -> Remembered:
        """The roots and their models as the last scan saw them. Asks the index alone: no drive, and no plugin."""
        return self._remembering.remembered()

    def picture(self) -> Picture:
        """The models of the known roots with their figures, place by place. Asks the disks. Raises `Interrupted`."""
        return self._marking.picture()

    def frees(self, picture: Picture, each: Mapping[str, Marks]) -> dict[str, int]:
        """What removing `each` alone would free, in bytes by allocated blocks. Raises `Interrupted`."""
        return self._marking.frees(picture, each)

    def joint_removal(self, picture: Picture, marks: Marks) -> Joint:
        """What removing all that is marked would free, by the look that `picture` is: `plan_removal` looks anew."""
        return self._marking.joint_removal(picture, marks)

    def joint_fold(self, picture: Picture, marks: Marks, *, min_size: int = MIN_SIZE) -> Joint:
        """What folding all that is marked would free, by the last scan and the look that `picture` is."""
        return self._marking.joint_fold(picture, marks, min_size)

    def plan_fold(self, marks: Marks, *, min_size: int = MIN_SIZE) -> Plan:
        """What folding would do with the marked duplicate sets, and with those that marked models have a file in.

        By the last scan, as `plan` is. For `apply`.
        """
        return self._marking.plan_fold(marks, min_size)

    def plan_removal(self, marks: Marks) -> RemovePlan:
        """What removing the marked models, where they are marked, and the marked files would do. For `apply_removal`.

        It is one plan: what they share goes with them, and what something else needs stays. Asks the disks.
        """
        return self._marking.plan_removal(marks)

    def plan_move_of(self, marks: Marks, to: StrPath) -> MovePlan:
        """What moving the marked models to the place, or cache, `to` would do. For `apply_move`.

        Raises as `plan_move`, and `UsageError` where they lie in several places.
        """
        return self._marking.plan_move(marks, to)

    # removal

    def overview(self) -> Overview:
        """Where the space goes: places, models, files, duplicates, what is away or broken. Scans the known roots."""
        return self._overviewing.overview()

    def check_page(self, path: StrPath, mark: str) -> None:
        """Raises `UsageError` where `write_page` would, before anything is looked at for it."""
        self._overviewing.check_page(path, mark)

    def write_page(self, path: StrPath, text: str, mark: str) -> None:
        """Write a page for the user, in place only of one that has `mark` at its beginning.

        Raises `UsageError` for another file that is there, `HubfoldError` where it cannot be written.
        """
        self._overviewing.write_page(path, text, mark)

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

        A model is named as in config.toml (which may name a revision of it, too), by its repo id, by a pattern of it
        (``org/*``), or by the folder of a local copy, which only removes that. Where all that follows a model are files
        of it (or patterns of some) and no models, only these files go, from caches. Content that links elsewhere need
        stays for them; `with_links` removes such links too, `with_copies` the local copies. Raises `UsageError` for a
        name that is none, `HubfoldError` for a model or revision that is nowhere.
        """
        return self._removal.plan_remove(models, revision, with_links, with_copies=with_copies, roots=roots)

    def plan_redundant(self, paths: Sequence[StrPath] = ()) -> RemovePlan:
        """What removing the local copies at or below `paths` (default: in all roots) would do that a cache holds whole.

        Each file of such a copy is compared byte for byte with that of the cache right before it goes; one that has
        changed, that a link elsewhere reads, or of which the cache has not all, stays as a whole. For `apply_removal`.
        Raises `RootError` for a path that is not there.
        """
        return self._removal.plan_redundant(paths)

    def preview_removal(self, plan: RemovePlan) -> RemoveReport:
        """A plan of `plan_remove` or `plan_clean` in the form of a report."""
        return self._removal.preview_removal(plan)

    def apply_removal(self, plan: RemovePlan, command: str = "rm") -> RemoveReport:
        """Remove what the plan says, journalled; it cannot be undone. Raises `Locked`, `JournalDamaged`, `OSError`."""
        return self._removal.apply_removal(plan, command)

    def plan_clean(
        self, paths: Sequence[StrPath] = (), *, old_revisions: bool = False, older_than: float = LEFTOVER_AGE
    ) -> RemovePlan:
        """What clients and hubfold left behind in the roots at or below `paths` (default: all roots).

        `older_than` is in seconds; `old_revisions` adds the revisions that no ref names. For `apply_removal`.
        """
        return self._removal.plan_clean(paths, old_revisions=old_revisions, older_than=older_than)

    def plan_clean_all(self, cache: StrPath) -> RemovePlan:
        """Everything in one cache. Raises `RootError` if it is none, `UsageError` if it is a folder of another sort."""
        return self._removal.plan_clean_all(cache)

    # transfer

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
        return self._transfer.plan_download(models, revision, include=include, exclude=exclude, into=into)

    def ask_neighbours(self, endpoints: Sequence[str], token_file: StrPath | None = None) -> None:
        """Let downloads that are planned from now on ask these for content by its sha256, before the Hub is asked.

        Each is what `serve` is reached at; without any, those that ``config.toml`` names, which are asked anyway. The
        token in `token_file` is sent to all of them. What comes counts only when it was read and is that content.
        Raises `UsageError`, `HubfoldError`, `OSError`.
        """
        self._transfer.ask_neighbours(endpoints, token_file)

    @property
    def neighbours_failed(self) -> Mapping[str, str]:
        """Why neighbours were asked no further, by endpoint."""
        return self._transfer.neighbours_failed

    def missing_models(self, into: StrPath | None = None) -> tuple[str, ...]:
        """The models of ``config.toml`` that are not whole in the cache that they would be downloaded `into`, by the
        names they have there.

        Raises `UsageError` where none is configured.
        """
        return self._transfer.missing_models(into)

    def preview_download(self, plan: DownloadPlan) -> DownloadReport:
        """A plan in the form of a report."""
        return self._transfer.preview_download(plan)

    def check_space(self, plan: DownloadPlan) -> None:
        """Raise `NoSpace`, with the figures, where a download would not fit."""
        self._transfer.check_space(plan)

    def download(
        self,
        plan: DownloadPlan,
        *,
        to: StrPath | None = None,
        program: str | None = None,
        bars: bool = False,
    ) -> DownloadReport:
        """Put what is here already into the cache, let the client fetch the rest, link it all at `to`.

        With a `program`, `to` is a folder of it (default: its `program_folder`), which gets the models as `farm` does.

        What lies there damaged is put right first. What `check` would not call whole in the end is among `failed`. The
        cache is one of the known roots from then on. Raises `NoSpace` before anything is changed, `HubRefused` if no
        model could be had, `Locked`, `OSError`.
        """
        return self._transfer.download(plan, to=to, program=program, bars=bars)

    def serve(
        self, settings: Settings, *, begun: Callable[[Begun], object], told: Callable[[str], object]
    ) -> None:
        """Hand out the models of all roots by the Hub's download protocol, until `stop` is set. Changes nothing.

        `begun` is called when requests can come, `told` with a line for each that was answered, and for what is wrong.
        Raises `UsageError`, `HubfoldError` for an address, a token or a certificate that cannot be used, and where the
        extra ``serve`` is not installed.
        """
        self._serving.serve(settings, begun=begun, told=told)

    def plan_backup(self, target: StrPath, models: Sequence[str] = ()) -> BackupPlan:
        """What backing up `models` (default: all) to a folder, a .tar or a .tar.zst would save. Walks the roots.

        Raises `UsageError` for a new `target` that ends like another kind of file.
        """
        return self._transfer.plan_backup(target, models)

    def preview_backup(self, plan: BackupPlan) -> BackupReport:
        """A plan in the form of a report."""
        return self._transfer.preview_backup(plan)

    def backup(self, plan: BackupPlan) -> BackupReport:
        """Write the backup; a folder is gone on with. Raises `NoSpace`, `BackupError`, `Interrupted`, `OSError`."""
        return self._transfer.backup(plan)

    def plan_adopt(
        self,
        folder: StrPath,
        repo: str | None = None,
        revision: str | None = None,
        *,
        into: StrPath | None = None,
    ) -> AdoptPlan:
        """What making a proper model of a cache out of `folder` would do. Reads the folder's files.

        `repo` (``org/name``) and `revision` (a commit, or a branch that a cache or the Hub knows) where the folder and
        the caches do not say. `into`: the cache, by default that of downloads. Raises `UsageError` where something has
        to be said, `RootError`, `HubfoldError` where what is said is not so or files were edited, `Interrupted`.
        """
        return self._adopting.plan(folder, repo, revision, into=into)

    def preview_adopt(self, plan: AdoptPlan) -> AdoptReport:
        """A plan in the form of a report."""
        return self._adopting.preview(plan)

    def check_adopt_space(self, plan: AdoptPlan | MigratePlan) -> None:
        """Raise `NoSpace`, with the figures, where what has to be copied does not fit."""
        self._adopting.check_space(plan)

    def adopt(self, plan: AdoptPlan) -> AdoptReport:
        """Put the model into the cache, and let the folder's files read the cache's copies; `undo` takes it back.

        Raises `NoSpace`, `Locked`, `Interrupted`, `OSError`; the same call goes on from there.
        """
        return self._adopting.adopt(plan)

    def plan_migrate(self, old: StrPath, new: StrPath) -> MigratePlan:
        """What putting all of the cache `old` into the cache `new` would do. Reads every file of `old`.

        Raises `RootError`, `UsageError` for what is no cache, `Interrupted`.
        """
        return self._migrating.plan(old, new)

    def preview_migrate(self, plan: MigratePlan, how: str = "leave") -> MigrateReport:
        """A plan in the form of a report."""
        return self._migrating.preview(plan, how)

    def migrate(self, plan: MigratePlan, how: str = "leave") -> MigrateReport:
        """Put the models into the new cache; then ``leave`` the old one as it is, ``link`` it, or empty it (``move``).

        The old cache is emptied only where all of it came over. `undo` takes the first two back. Raises `NoSpace`,
        `Locked`, `Interrupted`, `OSError`; the same call goes on from there.
        """
        return self._migrating.migrate(plan, how)

    def plan_restore(
        self, source: StrPath, models: Sequence[str] = (), *, into: StrPath | None = None
    ) -> RestorePlan:
        """What restoring `models` (default: all) of the backup at `source` would make in the client's cache or `into`.

        Raises `BackupError` for a backup that is none, or that hubfold would not have written.
        """
        return self._transfer.plan_restore(source, models, into=into)

    def preview_restore(self, plan: RestorePlan) -> RestoreReport:
        """A plan in the form of a report."""
        return self._transfer.preview_restore(plan)

    def restore(self, source: StrPath, plan: RestorePlan) -> RestoreReport:
        """Put the models of the plan into its root; what is there stays. Raises `NoSpace`, `BackupError`, `OSError`."""
        return self._transfer.restore(source, plan)

    # care

    def verify(self, targets: Sequence[StrPath] = (), *, restart: bool = False) -> VerifyReport:
        """Read content again and compare it with claims and index; `targets` are paths or models (default: all).

        What a call that was cut short has found good is not read again, unless `restart` begins anew. What was never
        scanned is scanned first. Raises `RootError`, `HubfoldError` for a target that is neither.
        """
        return self._care.verify(targets, restart=restart)

    def doctor(self, *, fix: bool = False, download: bool = False) -> DoctorReport:
        """What is not as it should be in the known roots, links and vaults; with `fix`, mended where that is safe.

        Content of which there is no good copy is fetched from the Hub with `download`, but never in offline mode.
        Raises `Locked`, `JournalDamaged`, `Interrupted`, `OSError` if the journal cannot be written.
        """
        return self._care.doctor(fix=fix, download=download)

    def doctor_mounts(
        self,
        mounts: Sequence[str] = (),
        *,
        compose: StrPath | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> MountReport:
        """What a container does not see, or may not write, through `mounts` (HOST:CONTAINER, `:ro` for read-only ones)
        and those of each service of the file `compose`; nothing is changed.

        Links of models are followed as the container sees them. `environ` is its environment, as far as that is known
        and no file says it. Raises `UsageError` for what is no mount or no compose file, `RootError`, `HubfoldError`,
        `Interrupted`.
        """
        return self._mounting.look(mounts, compose, environ)

    # services

    @cached_property
    def _fleets(self) -> Fleets:
        from hubfold.engine.fleets import Fleets

        return Fleets(self.workspace)

    @cached_property
    def _unlocking(self) -> Unlocking:
        from hubfold.engine.unlocking import Unlocking

        return Unlocking(self.workspace)

    @cached_property
    def _mounting(self) -> Mounting:
        from hubfold.engine.mounting import Mounting

        return Mounting(self.workspace)

    @cached_property
    def _memory(self) -> Memory:
        from hubfold.engine.memory import Memory

        return Memory(self.workspace, lambda *about: self._planning.freed(*about))

    @cached_property
    def _remembering(self) -> Remembering:
        from hubfold.engine.remembering import Remembering

        return Remembering(self.workspace)

    @cached_property
    def _places(self) -> Places:
        from hubfold.engine.places import Places

        return Places(self.workspace)

    @cached_property
    def _registering(self) -> Registering:
        from hubfold.engine.registering import Registering

        return Registering(self.workspace, self._places)

    @cached_property
    def _scanning(self) -> Scanning:
        from hubfold.engine.scanning import Scanning

        return Scanning(self.workspace)

    @cached_property
    def _planning(self) -> Planning:
        from hubfold.engine.planning import Planning

        return Planning(self.workspace, self._memory)

    @cached_property
    def _folding(self) -> Folding:
        from hubfold.engine.folding import Folding

        return Folding(self.workspace, partial(_read_again, self.workspace), self._following.take_back)

    @cached_property
    def _following(self) -> Following:
        from hubfold.engine.following import Following

        return Following(self.workspace)

    @cached_property
    def _balancing(self) -> Balancing:
        from hubfold.engine.balancing import Balancing

        return Balancing(self.workspace, self._places, self._scanning, self._moving, self._following)

    @cached_property
    def _moving(self) -> Moving:
        from hubfold.engine.moving import Moving

        return Moving(
            self.workspace,
            self._places,
            self._scanning,
            self._folding,
            self._removal,
            following=self._following,
        )

    @cached_property
    def _explaining(self) -> Explaining:
        from hubfold.engine.explaining import Explaining

        return Explaining(self.workspace, self._planning)

    @cached_property
    def _farming(self) -> Farming:
        from hubfold.engine.farming import Farming

        return Farming(self.workspace, self._scanning)

    @cached_property
    def _models(self) -> Models:
        from hubfold.engine.models import Models

        return Models(self.workspace, self._places, self._memory, self._scanning)

    @cached_property
    def _marking(self) -> Marking:
        from hubfold.engine.marking import Marking

        return Marking(self.workspace, self._models, self._planning, self._moving, balancing=self._balancing)

    @cached_property
    def _overviewing(self) -> Overviewing:
        from hubfold.engine.overview import Overviewing

        return Overviewing(self.workspace, self._memory, self._scanning, self._models)

    @cached_property
    def _removal(self) -> Removing:
        from hubfold.engine.removal import Removing

        return Removing(self.workspace)

    @cached_property
    def _transfer(self) -> Transfer:
        from hubfold.engine.transfer import Transfer

        return Transfer(
            self.workspace, self._places, self._scanning, self._farming, self._models, care=self._care
        )

    @cached_property
    def _serving(self) -> Serving:
        from hubfold.engine.serving import Serving

        return Serving(self.workspace, self._models)

    @cached_property
    def _adopting(self) -> Adopting:
        from hubfold.engine.adopting import Adopting

        return Adopting(self.workspace, self._scanning, self._planning, self._folding, places=self._places)

    @cached_property
    def _migrating(self) -> Migrating:
        from hubfold.engine.migrating import Migrating

        return Migrating(self.workspace, self._places, self._adopting, self._removal)

    @cached_property
    def _care(self) -> Care:
        from hubfold.engine.care import Care

        return Care(self.workspace, self._scanning)


def _read_again(workspace: Workspace, replicas: Iterable[IndexedReplica]) -> VerifyReport:
    """For `Folding`, which needs it for files that turned out to differ: nearly never."""
    from hubfold.engine.care import Care
    from hubfold.engine.scanning import Scanning

    return Care(workspace, Scanning(workspace)).read_again(replicas)
