"""What became of one path, and why: from the journals, the index, and a plan for its content alone. Changes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hubfold.content import USUAL, VAULT, IndexedReplica, LinkKind, Replica, Root, Signature
from hubfold.disk.paths import named, plain, within
from hubfold.engine.planning import Planning
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import HubfoldError, describe
from hubfold.faults import BackendFault
from hubfold.folding.plan import Plan
from hubfold.journal import journal
from hubfold.journal.on_disk import still_links
from hubfold.journal.others import as_they_lie_now
from hubfold.journal.records import Intent
from hubfold.journal.run_log import RunLog
from hubfold.reports.origins import Other, Shares, Verdict, WhyReport
from hubfold.scanning.kinds import Kind, by_name
from hubfold.scanning.one_path import OnePath

_ORDER = list(Shares)


@dataclass(frozen=True, slots=True)
class _Replaced:
    """A path that a run put a link in place of, which is still there."""

    log: RunLog
    intent: Intent


class Explaining:
    """Tells of single paths."""

    def __init__(self, workspace: Workspace, planning: Planning) -> None:
        self._workspace = workspace
        self._planning = planning

    def why(self, path: StrPath) -> WhyReport:
        """See `Engine.why`."""
        here = plain(named(path))
        logs = as_they_lie_now(journal.logs(self._workspace.state.runs))
        st = _looked_at(here, logs)
        file = os.path.realpath(here)
        mine = next((one for one in _replaced(reversed(logs)) if one.intent.path == here), None)
        if stat.S_ISLNK(st.st_mode):
            try:
                st = os.stat(file)
            except OSError as error:
                return WhyReport(here, file, Verdict.DANGLING, _dangling(error, mine), next=("doctor",))
            if stat.S_ISDIR(st.st_mode):
                raise _is_folder(here)
        readers = [
            one
            for one in _replaced(logs)
            if one.intent.path != here and one.intent.size == st.st_size and _reads(one.intent, file, st)
        ]
        others = self._others(here, file, st, readers)
        if mine is not None:
            return _folded(here, file, mine, others)
        found = replace(self._of_file(file, st), path=here, size=st.st_size, others=others)
        return _keeps(found, readers) if readers else found

    # what has the content

    def _others(
        self, here: str, file: str, st: os.stat_result, readers: Sequence[_Replaced]
    ) -> tuple[Other, ...]:
        """Everything else that is known to have the content of a file."""
        found = {one.intent.path: Other(one.intent.path, Shares.LINK) for one in readers}
        names = self._workspace.names_of(st)
        for replica in [*names, *self._workspace.same_content(file, st)]:
            if os.path.lexists(replica.path):
                same = replica.payload == (st.st_dev, st.st_ino)
                how = Shares.SAME_FILE if same else Shares.COPY
                found.setdefault(replica.path, Other(replica.path, how, replica.repo_id))
        found.pop(here, None)
        if here != file:
            found.setdefault(file, Other(file, Shares.SAME_FILE))
        else:
            found.pop(file, None)
        return tuple(sorted(found.values(), key=lambda one: (_ORDER.index(one.how), one.path)))

    # why it stands as it does

    def _of_file(self, file: str, st: os.stat_result) -> WhyReport:
        known = self._workspace.index.replica(file) if self._workspace.has_index else None
        if known is None:
            return self._unknown(file, st)
        scan = ("scan", os.path.dirname(file))
        if known.signature != Signature.of(st):
            return WhyReport(
                file,
                file,
                Verdict.UNKNOWN,
                "it changed since it was scanned, and is looked at again by a scan",
                next=scan,
            )
        if st.st_size < MIN_SIZE:
            small = f"it is smaller than {MIN_SIZE >> 20} MiB: left alone, unless --min-size says otherwise"
            return WhyReport(file, file, Verdict.LEFT_ALONE, small)
        if known.claim_is_a_lie:
            lies = "its bytes are not what its name says: it is corrupt, and is neither kept nor replaced"
            return WhyReport(file, file, Verdict.LEFT_ALONE, lies, next=("doctor", "--fix"))
        return self._planned(file, known, self._planning.plan_about(known))

    def _planned(self, file: str, known: IndexedReplica, plan: Plan) -> WhyReport:
        action = next((one for one in plan.actions if one.path == file), None)
        if action is not None:
            found = WhyReport(file, file, Verdict.WOULD_FOLD, action.reason, next=_consolidate(file))
            return replace(
                found, keeper=self._name_of(action.keeper), link=str(action.link), bytes=action.bytes
            )
        skip = next((one for one in plan.skipped if one.path == file), None)
        if skip is not None:
            return WhyReport(file, file, Verdict.LEFT_ALONE, skip.reason)
        folded = [one for one in plan.actions if one.keeper.payload == known.payload]
        if folded:
            reason = "it is the copy that stays: the others are compared with it, and become links"
            freed = sum(one.bytes for one in folded)
            return WhyReport(
                file, file, Verdict.WOULD_KEEP, reason, bytes=freed, next=("consolidate", "--dry-run")
            )
        left = next((one.reason for one in plan.skipped), None)
        if left is not None:
            return WhyReport(file, file, Verdict.LEFT_ALONE, f"of its copies: {left}")
        return WhyReport(file, file, Verdict.ALONE, self._alone(known))

    def _name_of(self, kept: IndexedReplica) -> str:
        """The name that a user knows a kept file by: an object of a vault has another one, mostly."""
        if kept.backend != VAULT:
            return kept.path
        names = self._workspace.index.payload(*kept.payload, kept.signature.size)
        return next((one.path for one in names if one.backend != VAULT), kept.path)

    def _alone(self, known: IndexedReplica) -> str:
        """Why a file of a root is in no duplicate set."""
        sizes = {one.payload for one in self._workspace.index.of_size(known.signature.size)} - {known.payload}
        same = {
            one.payload
            for one in self._workspace.index.of_size(known.signature.size)
            if known.digests.items() & one.digests.items()
        } - {known.payload}
        if same:
            return "its copies share its blocks already, or lie where nothing is compared with it now"
        if sizes:
            return f"{len(sizes)} other {'file has' if len(sizes) == 1 else 'files have'} its size, and other bytes"
        if known.nlink > 1:
            return "all its names are one file already (hard links), and no other file has its size"
        return "no other file that was scanned has its size"

    def _is_content(self, root: Root, file: str) -> bool:
        """Whether the layout of a root counts a file as content. What it cannot say is."""
        found: list[Replica] = []
        walk = OnePath(self._workspace.with_link(root), self._workspace.backends, file)
        try:
            self._workspace.backends[root.backend].replicas(walk.root, walk, found.append)
        except BackendFault:
            return True
        return any(one.path == file for one in found)

    def _unknown(self, file: str, st: os.stat_result) -> WhyReport:
        """Why nothing is known of a file."""
        scan = ("scan", os.path.dirname(file))
        roots = self._workspace.index.roots() if self._workspace.has_index else []
        root = max(
            (root for root in roots if within(file, root.path)), key=lambda root: len(root.path), default=None
        )
        if st.st_size == 0:
            return WhyReport(file, file, Verdict.ALONE, "it is empty: there is nothing to fold")
        if root is None:
            reason = "no root was scanned there, so it was compared with nothing"
            return WhyReport(file, file, Verdict.UNKNOWN, reason, next=scan)
        backend = self._workspace.backends.get(root.backend)
        vouched = backend is not None and backend.capabilities.vouches
        kind = by_name(os.path.basename(file))
        if not vouched and kind in (Kind.OTHER, Kind.NAMELESS) and not self._workspace.scope(USUAL).all_files:
            reason = "its name is none of a model file; of plain folders only such files count (--all-files takes all)"
            return WhyReport(
                file, file, Verdict.LEFT_ALONE, reason, next=("scan", "--all-files", os.path.dirname(file))
            )
        if backend is not None and vouched and not self._is_content(root, file):
            reason = f"it is no content by its layout ({root.backend}): its notes, or nothing that it knows"
            return WhyReport(file, file, Verdict.LEFT_ALONE, reason)
        reason = (
            "it came after the last scan of its root, or is left out there (.hubfoldignore, `exclude` in config.toml, "
            "a folder in which programs keep no models)"
        )
        return WhyReport(file, file, Verdict.UNKNOWN, reason, next=scan)


def _looked_at(path: str, logs: Sequence[RunLog]) -> os.stat_result:
    """What is at a path; `HubfoldError` where that is no file, with what a run did there."""
    try:
        st = os.lstat(path)
    except FileNotFoundError:
        log = next(
            (log for log in reversed(logs) if any(path == one.path for one in log.intents.values())), None
        )
        hint = (
            f"`hubfold runs {log.run}` has what was done there" if log is not None else "is it spelled right?"
        )
        raise HubfoldError(f"{path}: there is no such file", hint) from None
    except OSError as error:
        raise HubfoldError(
            f"{path} cannot be looked at: {describe(error)}", "as whom may it be read?"
        ) from error
    if stat.S_ISDIR(st.st_mode):
        raise _is_folder(path)
    if not (stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode)):
        raise HubfoldError(f"{path} is no file with content", "name a model file, or a link to one")
    return st


def _is_folder(path: str) -> HubfoldError:
    return HubfoldError(
        f"{path} is a folder", "name a file in it; `hubfold dupes FOLDER` lists those with copies"
    )


def _replaced(logs: Iterable[RunLog]) -> Iterator[_Replaced]:
    """What runs put links in place of, as far as these are still there, oldest first."""
    for log in logs:
        for number, intent in log.intents.items():
            if log.states[number] in ("done", "kept") and still_links(intent, log.places):
                yield _Replaced(log, intent)


def _reads(intent: Intent, file: str, st: os.stat_result) -> bool:
    """Whether the link of a run leads to this file."""
    if intent.link is LinkKind.REFLINK:
        return intent.keeper == file
    try:
        return os.path.samestat(os.stat(intent.path), st)
    except OSError:
        return False


def _folded(here: str, file: str, one: _Replaced, others: tuple[Other, ...]) -> WhyReport:
    intent = one.intent
    found = WhyReport(here, file, Verdict.FOLDED, intent.reason, intent.size, others=others)
    return replace(
        found,
        keeper=intent.keeper,
        link=str(intent.link),
        run=one.log.run,
        started=one.log.started,
        bytes=intent.bytes,
        next=("undo", one.log.run, "--dry-run"),
    )


def _keeps(found: WhyReport, by: Sequence[_Replaced]) -> WhyReport:
    """A file that links of runs read, and what else is true of it."""
    last = by[-1]
    more = f"; {found.reason}" if found.state in (Verdict.WOULD_FOLD, Verdict.WOULD_KEEP) else ""
    return replace(
        found,
        state=Verdict.KEEPS,
        reason=f"{len(by)} {'link reads' if len(by) == 1 else 'links read'} it{more}",
        run=last.log.run,
        started=last.log.started,
        bytes=sum(one.intent.bytes for one in by),
        next=found.next if more else ("runs", last.log.run),
    )


def _dangling(error: OSError, mine: _Replaced | None) -> str:
    by = f"; run {mine.log.run} made it" if mine is not None else ""
    return f"it leads to nothing that can be read ({describe(error)}){by}"


def _consolidate(file: str) -> tuple[str, ...]:
    return ("consolidate", "--dry-run", os.path.dirname(file))
