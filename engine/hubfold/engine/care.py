"""The part of `Engine` that looks after what is there: `doctor`, and what it asks of index, layouts and Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from hubfold.engine.models import ModelOperations
from hubfold.errors import LeftAlone

if TYPE_CHECKING:
    from hubfold.care.doctor import Around, Origin
    from hubfold.content import Root
    from hubfold.models.names import Name
    from hubfold.reports.health import DoctorReport


class Upkeep(ModelOperations):
    """The part of `Engine` that puts right what is not as it should be."""

    def doctor(self, *, fix: bool = False, download: bool = False) -> DoctorReport:
        """What is not as it should be in the known roots, links and vaults; with `fix`, mended where that is safe.

        Content of which there is no good copy is fetched from the Hub with `download`, but never in offline mode.
        Raises `Locked`, `JournalDamaged`, `Interrupted`, `OSError` if the journal cannot be written.
        """
        from hubfold.care import doctor, made_links, recovery, repairs
        from hubfold.journal import journal, lock
        from hubfold.reports.health import DoctorReport, Finding
        from hubfold.vault import names

        crashed = recovery.unsettled(self.state)
        with lock.exclusive(self.state, "doctor") if fix else nullcontext():
            findings = []
            if fix:
                recovery.recover(self.state)
            open_ = recovery.unsettled(self.state) if fix else crashed
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
            scan = self.scan()
            logs = list(journal.logs(self.state.runs))
            used = {names.of_object(path) for log in logs for path in log.objects}

            def place_for(root: str) -> str:
                return root if root in used else self._vault_for(root)

            mender = None
            if fix:
                mender = repairs.Mender(
                    lambda: self._begin("doctor"),
                    place_for,
                    self._locks_of,
                    progress=self.progress,
                    stop=self.stop,
                )
            self._read_again(made_links.suspects(logs))
            one = doctor.Doctor(self._around(), self.progress, self.stop, mender, download, findings)
            try:
                one.links(made_links.of_runs(logs))
                one.notices(scan.warnings)
                roots = [root.path for root in self._open_index.roots(vaults=True)]
                one.damaged(self._of_another_length())
                one.liars(self._open_index.liars(roots))
                one.vaults(self._vaults())
                one.roots(root.path for root in self._open_index.roots())
            finally:
                unsettled = mender.close() if mender is not None else ""
            if unsettled:
                message = "something of it could not be removed"
                findings.append(Finding("interrupted-run", unsettled, message, "`hubfold recover`"))
            if fix and any(finding.fixed for finding in findings):
                self.scan()
        return DoctorReport(tuple(findings))

    def _read_again(self, paths: Iterable[str]) -> None:
        """Digest what has a claim and was not read since it changed, so that the index knows whether it lies."""
        known = [replica for path in paths if (replica := self._open_index.replica(path)) is not None]
        unread = [replica for replica in known if not replica.claims.keys() & replica.computed.keys()]
        if unread:
            self._verify([replica for replica in unread if replica.claims])

    def _around(self) -> Around:
        from hubfold.care.doctor import Around

        index = self._open_index
        return Around(
            having=index.having,
            names=lambda st: index.payload(st.st_dev, st.st_ino, st.st_size),
            replica=index.replica,
            stated=self._stated,
            caches=frozenset(root.path for root in index.roots() if self._is_cache(root)),
            origins=self._origins,
        )

    def _is_cache(self, root: Root) -> bool:
        return root.backend in self._backends and self._backends[root.backend].capabilities.cache

    def _of_another_length(self) -> Iterator[tuple[str, int, int]]:
        told: set[str] = set()
        for held in self._holdings().held():
            expected = held.snapshot.expected or {} if self._is_cache(held.root) else {}
            for file in held.snapshot.files:
                size = expected.get(file.name)
                if file.size is not None and size is not None and file.size != size:
                    path = os.path.realpath(file.path)
                    if path not in told:
                        told.add(path)
                        yield path, file.size, size

    def _locks_of(self, root: str, path: str) -> Sequence[str]:
        known = self._open_index.root_at(root, vaults=True)
        if known is None or known.backend not in self._backends:
            return ()
        return self._backends[known.backend].lock_paths(known, path)

    def _stated(self, root: str, path: str) -> Mapping[str, str]:
        from hubfold.scanning.one_path import OnePath

        known = self._open_index.root_at(root)
        if known is None or known.backend not in self._backends:
            return {}
        walk = OnePath(known, self._backends, path)
        found = self._backends[known.backend].replicas(known, walk)
        return next((replica.claims for replica in found if replica.path == path), {})

    def _origins(self, paths: Sequence[str]) -> Iterator[Origin]:
        """Files of models that belong at one of `paths`, whether they are there or not."""
        from hubfold.care.doctor import Origin

        wanted = {os.path.realpath(path) for path in paths}
        told: set[str] = set()
        for held in self._holdings().held():
            for file in held.snapshot.files:
                what = f"{held.name}/{file.name} at {held.snapshot.revision}"
                known = held.snapshot.repo_id and held.snapshot.revision and what not in told
                if known and os.path.realpath(file.path) in wanted:
                    told.add(what)
                    size = (held.snapshot.expected or {}).get(file.name, 0)
                    yield Origin(
                        what, partial(self._fetch, held.name, held.snapshot.revision, file.name, size)
                    )

    def _fetch(self, name: Name, revision: str, file: str, size: int, folder: str) -> str:
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < size:
            raise LeftAlone(f"{folder} has not the {size:,} bytes free that it takes")
        return self._hub().fetch_file(name, revision, file, folder)
