"""Looking after what is there: content read again, and what is not as it should be put right."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from hubfold.backend.changes import Gap
from hubfold.care import doctor, made_links, recovery, repairs, sharing, verify
from hubfold.care.doctor import Around, Origin
from hubfold.care.holes import Hole
from hubfold.care.made_links import Patient
from hubfold.care.writers import Writers, findings_with_writers, with_writers
from hubfold.content import VAULT, IndexedReplica, Replica, Root, Scope
from hubfold.disk.paths import canonical, within
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import LeftAlone, UsageError
from hubfold.journal import journal, lock, others
from hubfold.journal.run_log import RunLog
from hubfold.library.inventory import Holdings
from hubfold.models.names import Name, UnknownModel, meant
from hubfold.reading.digests import Job
from hubfold.reading.pool import in_order
from hubfold.reports.health import DoctorReport, Finding, VerifyReport
from hubfold.scanning import discover
from hubfold.scanning.one_path import OnePath
from hubfold.state.verified import Verified
from hubfold.transfer.download import BadFile
from hubfold.vault import names


class Care:
    """Verifies, finds what is out of order, and mends it."""

    def __init__(self, workspace: Workspace, scanning: Scanning) -> None:
        self._workspace = workspace
        self._scanning = scanning

    def verify(self, targets: Sequence[StrPath] = (), *, restart: bool = False) -> VerifyReport:
        """See `Engine.verify`."""
        replicas: dict[str, IndexedReplica] = {}
        places: list[str] = []
        for target in targets:
            found, place = self._replicas_of(os.fspath(target))
            replicas.update((replica.path, replica) for replica in found)
            places.append(place)
        if not targets:
            self._look_where_links_are(self._logs())
            if not self._workspace.scanned():
                self._scanning.scan()
            for root in self._workspace.scanned(vaults=True):
                replicas.update(
                    (replica.path, replica) for replica in self._workspace.index.replicas(root.path)
                )
            found = verify.unscanned_objects(self._workspace.vaults(), replicas.values())
            replicas.update((replica.path, replica) for replica in found)
        asked = [
            path
            for path in dict.fromkeys(self._workspace.links_made())
            if not places or any(p and within(path, p) for p in places)
        ]
        if restart:
            self._workspace.state.verified.forget()
        return self._with_moved(self.read_again(replicas.values(), asked, self._workspace.state.verified))

    def _with_moved(self, report: VerifyReport) -> VerifyReport:
        """The same, with where the vault of a link that dangles is now."""
        dangling = {problem.path for problem in report.problems if problem.kind == "dangling"}
        if not dangling:
            return report
        where, moved = self._moved(), {}
        for patient in made_links.of_runs(self._logs()):
            now = where(patient) if patient.path in dangling else None
            if now is not None:
                moved[patient.path] = f"its vault moved to {names.of_object(now)} (`hubfold doctor --fix`)"
        problems = [
            replace(one, message=moved[one.path]) if one.kind == "dangling" and one.path in moved else one
            for one in report.problems
        ]
        return replace(report, problems=tuple(problems))

    def read_again(
        self,
        replicas: Iterable[IndexedReplica],
        links: Iterable[str] = (),
        verified: Verified | None = None,
    ) -> VerifyReport:
        asked = list(replicas)
        with self._workspace.readers() as readers:
            report = verify.verify(
                asked,
                self._workspace.index,
                readers,
                links=links,
                verified=verified,
            )
        return with_writers(report, asked, self._writers())

    def _writers(self) -> Writers:
        index = self._workspace.index
        told = {name: one.capabilities.written_in_place for name, one in self._workspace.backends.items()}
        roots = {root.path: root.backend for root in self._workspace.scanned()}
        programs = {name: program for name, program in told.items() if program}
        return Writers(programs, roots, index.replica, index.payload)

    def _replicas_of(self, target: str) -> tuple[list[IndexedReplica], str]:
        """(what is known at a path or of a model, the path or "")."""
        path = canonical(target)
        if os.path.lexists(path):
            found = list(self._workspace.index.below(path))
            if not found:
                self._scanning.scan(
                    [path if os.path.isdir(path) else os.path.dirname(path)], scope=Scope(only=True)
                )
                found = list(self._workspace.index.below(path))
            return found, path
        try:
            asked = self._workspace.model_name(target)
        except UsageError:
            raise discover.missing(path) from None
        if not self._workspace.scanned():
            self._scanning.scan()
        by_name: dict[Name, list[IndexedReplica]] = {}
        for root in self._workspace.scanned():
            for replica in self._workspace.index.replicas(root.path):
                if replica.repo_id is not None:
                    name = Name(replica.repo_type or "model", replica.repo_id)
                    by_name.setdefault(name, []).append(replica)
        chosen = asked.among(by_name)
        if chosen is None:
            known = [*(self._workspace.models), *map(str, by_name)]
            raise UnknownModel(
                f"{target} is neither a path nor a model of a scanned root",
                meant(target, [*known, *discover.near(path)]) or "`hubfold scan` shows what there is",
            )
        return by_name[chosen], ""

    def doctor(self, *, fix: bool = False, download: bool = False) -> DoctorReport:
        """See `Engine.doctor`."""
        crashed = recovery.unsettled(self._workspace.state)
        with lock.exclusive(self._workspace.state, "doctor") if fix else nullcontext():
            findings = []
            if fix:
                recovery.recover(self._workspace.state)
            open_ = recovery.unsettled(self._workspace.state) if fix else crashed
            for run in crashed:
                findings.append(
                    Finding(
                        "interrupted-run",
                        run,
                        "a crash cut it short",
                        "`hubfold recover`",
                        run not in open_,
                        mendable=True,
                    )
                )
            logs = self._logs()
            self._look_where_links_are(logs)
            scan = self._scanning.scan()
            used = {names.of_object(path) for log in logs for path in log.objects}

            mender = self._mender("doctor", used) if fix else None
            self._digest_unread(made_links.suspects(logs))
            holdings = self._workspace.holdings()
            one = doctor.Doctor(
                self._around(holdings),
                self._workspace.progress,
                self._workspace.stop,
                mender=mender,
                download=download,
                findings=findings,
            )
            try:
                one.links(made_links.of_runs(logs))
                dangling = [notice.path for notice in scan.warnings if notice.kind == "dangling"]
                one.holes(self._holes(holdings, dangling))
                one.notices(scan.warnings)
                roots = [root.path for root in self._workspace.scanned(vaults=True)]
                one.damaged(self._of_another_length(holdings))
                one.liars(self._workspace.index.liars(roots))
                one.vaults(self._workspace.vaults())
                configured = {self._workspace.resolved(root).path for root in self._workspace.config.roots}
                one.roots((root.path for root in self._workspace.scanned()), configured)
                one.faults(self._workspace.faults)
                findings += self._shut_out(mender)
            finally:
                unsettled = mender.close() if mender is not None else ""
            if unsettled:
                message = "something of it could not be removed"
                findings.append(Finding("interrupted-run", unsettled, message, "`hubfold recover`"))
            if fix and any(finding.fixed for finding in findings):
                self._scanning.scan()
            told = self._workspace.policies.findings(self._workspace.scanned())
            findings += [Finding(*words) for words in told]
        return DoctorReport(findings_with_writers(findings, self._writers()))

    def _shut_out(self, mender: repairs.Mender | None) -> Iterator[Finding]:
        """What groups cannot use of their caches; with a mender what this user may open to them is opened."""
        for root in self._workspace.scanned():
            if self._is_cache(root):
                begin = None if mender is None else partial(getattr, mender, "journal")
                finding = sharing.shut_out(root.path, partial(self._has_names_elsewhere, root.path), begin)
                if finding is not None:
                    yield finding

    def _has_names_elsewhere(self, root: str, st: os.stat_result) -> bool:
        """Whether a file has a name that lies neither in a root nor in a vault, or is not known."""
        names = self._workspace.names_of(st)
        return len(names) < st.st_nlink or any(one.root != root and one.backend != VAULT for one in names)

    def _mender(self, command: str, used: Collection[str]) -> repairs.Mender:
        """What makes repairs; `used` are the vaults that runs keep objects in."""

        def place_for(root: str) -> str:
            return root if root in used else self._workspace.vault_for(root)

        return repairs.Mender(
            lambda: recovery.begin(self._workspace.state, command),
            place_for,
            self._locks_of,
            progress=self._workspace.progress,
            stop=self._workspace.stop,
        )

    def put_right(self, cache: Root, files: Sequence[BadFile]) -> list[Finding]:
        """Give files of a cache that is in the index the bytes that they should have: from another copy, else from the
        Hub. What was there is kept in the vault. Raises `Locked`, `JournalDamaged`, `Interrupted`, `OSError`."""
        origins = {file.path: self._origin(file) for file in files}
        findings: list[Finding] = []
        with recovery.alone(self._workspace.state, "download"):
            mender = self._mender(
                "download", {names.of_object(path) for log in self._logs() for path in log.objects}
            )
            around = replace(
                self._around(self._workspace.holdings([cache])),
                origins=lambda paths: [origins[path] for path in paths if path in origins],
            )
            one = doctor.Doctor(
                around, self._workspace.progress, self._workspace.stop, mender=mender, download=True
            )
            try:
                for file in files:
                    found = one.unfit(cache.path, file.path, file.listed.digests, file.reason)
                    findings += [found] if found is not None else []
            finally:
                mender.close()
        return findings

    def _origin(self, file: BadFile) -> Origin:
        listed = file.listed
        fetch = partial(self._fetch, file.model, file.commit, listed.path, listed.size)
        return Origin(f"{file.model}/{listed.path} at {file.commit}", fetch)

    def _logs(self) -> list[RunLog]:
        return others.as_they_lie_now(journal.logs(self._workspace.state.runs))

    def _look_where_links_are(self, logs: Iterable[RunLog]) -> None:
        """Count roots as given in which runs made links, or for links in which they keep the files: those that were
        folded by their paths and never added."""
        known = {root.path: root for root in self._workspace.index.roots()}
        for patient in made_links.of_runs(logs):
            for path in (patient.root, patient.keeper_root):
                if path in known:
                    self._workspace.give({path: self._workspace.given.get(path, known[path])})

    def _digest_unread(self, paths: Iterable[str]) -> None:
        """Digest what has a claim and was not read since it changed, so that the index knows whether it lies."""
        known = [replica for path in paths if (replica := self._workspace.index.replica(path)) is not None]
        unread = [replica for replica in known if not replica.claims.keys() & replica.computed.keys()]
        if unread:
            self.read_again([replica for replica in unread if replica.claims])

    def _around(self, holdings: Holdings) -> Around:
        index = self._workspace.index
        return Around(
            having=index.having,
            names=lambda st: index.payload(st.st_dev, st.st_ino, st.st_size),
            replica=index.replica,
            stated=self._stated,
            caches=frozenset(root.path for root in index.roots() if self._is_cache(root)),
            origins=partial(self._origins, holdings),
            here=self._workspace.here(),
            moved=self._moved(),
            unread=partial(self._unread, [root.path for root in holdings.usable]),
            learn=self._learn,
        )

    def _holes(self, holdings: Holdings, dangling: Sequence[str]) -> Iterator[Hole]:
        """What layouts say of links that lead nowhere, by the paths that these are changed by.

        Only the roots are asked of which a scan told that something is `dangling`.
        """
        told: set[str] = set()
        for root in holdings.usable if dangling else ():
            if not any(within(holdings.shown(path, root.path), root.path) for path in dangling):
                continue
            found: Sequence[Gap] = ()
            with holdings.leaving_out(root):
                found = holdings.backend(root).gaps(root, holdings.walk(root))
            for gap in found:
                hole = self._hole(holdings, root, gap)
                if hole is not None and hole.path not in told:
                    told.add(hole.path)
                    yield hole

    def _hole(self, holdings: Holdings, root: Root, gap: Gap) -> Hole | None:
        """None for what does not lie in its root, or in one behind a link of its layout."""
        path, content = (holdings.real(one, root.path) if one else "" for one in (gap.path, gap.content))
        tops = [holdings.top(one, root.path) for one in (path, content) if one]
        if None in tops or not os.path.islink(path) or not set(gap.digests) & {"sha256", "git-sha1"}:
            return None
        return Hole(
            path=path,
            root=tops[0] or "",
            before=os.readlink(path),
            digests=gap.digests,
            content=content,
            content_root=(tops[-1] or "") if content else "",
            text=gap.text,
            size=gap.size,
        )

    def _unread(
        self, roots: Sequence[str], hole: Hole
    ) -> tuple[Sequence[IndexedReplica], Sequence[IndexedReplica]]:
        found = self._workspace.index.unread(_algorithm(hole.digests), roots)
        if hole.size is not None:
            return [replica for replica in found if replica.signature.size == hole.size], ()
        near = [replica for replica in found if os.path.basename(replica.path) == hole.name]
        return near, [replica for replica in found if os.path.basename(replica.path) != hole.name]

    def _learn(self, replicas: Sequence[IndexedReplica], digests: Mapping[str, str]) -> None:
        jobs = {
            replica.payload: Job(replica.path, replica.signature, (_algorithm(digests),))
            for replica in replicas
        }
        progress = self._workspace.progress
        progress.start("reading", sum(job.signature.size for job in jobs.values()), "bytes")
        try:
            with self._workspace.readers() as readers:
                readings = [one for one in readers.read(in_order(jobs.values())) if one.digests]
        finally:
            progress.finish()
        self._workspace.index.record_all((one.job.signature, one.digests) for one in readings)

    def _moved(self) -> Callable[[Patient], str | None]:
        moved = self._workspace.moved()
        return lambda it: moved.object_of(it.target, it.path, it.run, it.places)

    def _is_cache(self, root: Root) -> bool:
        return root.backend in self._workspace.caches()

    def _of_another_length(self, holdings: Holdings) -> Iterator[tuple[str, int, int]]:
        told: set[str] = set()
        for held in holdings.held():
            expected = held.snapshot.expected or {} if holdings.is_cache(held.root) else {}
            for file in held.snapshot.files:
                size = expected.get(file.name)
                if file.size is not None and size is not None and file.size != size:
                    path = os.path.realpath(file.path)
                    if path not in told:
                        told.add(path)
                        yield path, file.size, size

    def _locks_of(self, root: str, path: str) -> Sequence[str]:
        known = self._workspace.index.root_at(root, vaults=True)
        if known is None or known.backend not in self._workspace.backends:
            return ()
        return self._workspace.lock_paths(known, path)

    def _stated(self, root: str, path: str) -> Mapping[str, str]:
        known = self._workspace.index.root_at(root)
        if known is None or known.backend not in self._workspace.backends:
            return {}
        known = self._workspace.with_link(known)
        walk = OnePath(known, self._workspace.backends, path)
        found: list[Replica] = []
        self._workspace.backends[known.backend].replicas(known, walk, found.append)
        return next((replica.claims for replica in found if replica.path == path), {})

    def _origins(self, holdings: Holdings, paths: Sequence[str]) -> Iterator[Origin]:
        """Files of models that belong at one of `paths`, whether they are there or not."""
        told: set[str] = set()
        for path in dict.fromkeys(map(os.path.realpath, paths)):
            for held, file in holdings.reading(path):
                what = f"{held.name}/{file.name} at {held.snapshot.revision}"
                if held.snapshot.repo_id and held.snapshot.revision and what not in told:
                    told.add(what)
                    size = (held.snapshot.expected or {}).get(file.name, 0)
                    yield Origin(
                        what, partial(self._fetch, held.name, held.snapshot.revision, file.name, size)
                    )

    def _fetch(self, name: Name, revision: str, file: str, size: int, folder: str) -> str:
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < size:
            raise LeftAlone(f"{folder} has not the {size:,} bytes free that it takes")
        return self._workspace.hub().fetch_file(name, revision, file, folder)


def _algorithm(digests: Mapping[str, str]) -> str:
    """What is computed to find content by."""
    return "sha256" if "sha256" in digests else "git-sha1"
