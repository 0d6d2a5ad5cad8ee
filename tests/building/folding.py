"""Builds duplicate sets, plans and runs straight from files on a disk, without index and scan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from hubfold.backend.contract import Capabilities
from hubfold.care import recovery
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Role, Root, Signature, Trust
from hubfold.disk import permissions
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import HeldFile
from hubfold.disk.permissions import Ways
from hubfold.folding import undo
from hubfold.folding.executor import Executor
from hubfold.folding.outcomes import Outcome
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Policy, Surroundings, plan
from hubfold.journal import journal
from hubfold.progress import Silent, Stop
from hubfold.reading import extents
from hubfold.vault import backend as vault_backend
from hubfold.vault.names import VaultPlace

CACHE = Capabilities(
    cache=True,
    links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
    private_objects=True,
    claims=frozenset({"sha256"}),
)
CAPABILITIES = {
    "cache": CACHE,
    "plain": Capabilities(),
    VAULT: vault_backend.VaultBackend.capabilities,
}


class Scene:
    """A cache root and any number of plain roots under one folder, with the state beside them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.state = base / "state"
        self.roots: dict[str, Root] = {}
        self.cache = self.root("hf/hub", "cache", Role.PRIMARY)

    def root(self, name: str | Path, backend: str = "plain", role: Role = Role.SECONDARY) -> Path:
        path = self.base / name
        path.mkdir(parents=True, exist_ok=True)
        self.roots[str(path)] = Root(str(path), backend, role)
        return path

    @property
    def runs(self) -> str:
        return str(self.state / "runs")

    @property
    def vault(self) -> Path:
        return self.base / "hf" / "hubfold"

    def file(self, root: Path, name: str, content: bytes) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def replica(self, path: Path, **changes: object) -> IndexedReplica:
        st = os.lstat(path)
        root = next(root for root in self.roots.values() if str(path).startswith(root.path + os.sep))
        found = IndexedReplica(
            str(path),
            root.path,
            root.backend,
            Signature.of(st),
            st.st_blocks * 512,
            st.st_nlink,
            st.st_mode & 0o7777,
            st.st_uid,
            st.st_gid,
            {},
            {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        )
        return found._replace(**changes)  # type: ignore[arg-type]

    def surroundings(self, replicas: Sequence[IndexedReplica]) -> Surroundings:
        filesystems, ways = FileSystems(), Ways()
        places = {}
        for root in self.roots.values():
            place = self.vault if root.backend == "cache" else Path(root.path) / ".hubfold"
            places[root.path] = [
                VaultPlace(
                    str(place),
                    filesystems.of(root.path),
                    True,
                    way=ways.to_new(str(place / "objects"), root.path),
                    serves=root.path,
                )
            ]
        shared = {}
        for replica in replicas:
            with open(replica.path, "rb") as file:
                shared[replica.payload] = extents.physical(file.fileno())
        folders = {os.path.dirname(replica.path) for replica in replicas}
        return Surroundings(
            CAPABILITIES,
            self.roots,
            {folder: filesystems.of(folder) for folder in folders},
            places,
            {payload: found for payload, found in shared.items() if found},
            files={replica.payload: permissions.of_path(replica.path) for replica in replicas},
            ways={folder: ways.to(folder) for folder in folders},
        )

    def plan(self, *replicas: Path | IndexedReplica, policy: Policy | None = None) -> Plan:
        """The plan for one duplicate set of these files, whatever their bytes really are."""
        found = [r if isinstance(r, IndexedReplica) else self.replica(r) for r in replicas]
        duplicates = DuplicateSet(
            found[0].signature.size, {"sha256": found[0].digests["sha256"]}, Trust.COMPUTED, tuple(found)
        )
        return plan([duplicates], policy or Policy(), self.surroundings(found))

    def apply(self, what: Plan) -> list[Outcome]:
        with journal.Journal.create(self.runs, "consolidate", "test") as log:
            executor = Executor(log, locks=lambda action: (), readers=2, progress=Silent(), stop=Stop())
            outcomes = executor.apply(what)
            log.append("end", state="finished")
        return outcomes

    def log(self) -> journal.RunLog:
        return journal.read(self.runs, journal.run_names(self.runs)[-1])

    def undo(self) -> undo.Undone:
        log = self.log()
        with journal.Journal.reopen(log) as book:
            return undo.take_back(log, book, progress=Silent(), stop=Stop())

    def recover(self) -> recovery.Settled:
        log = self.log()
        with journal.Journal.reopen(log) as book:
            return recovery.settle(log, book)


class Folded(Scene):
    """`copy` is a link to the vault object of `blob`; both read `MODEL`."""

    MODEL = os.urandom(1 << 20)

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.blob = self.file(self.cache, "blobs/x", self.MODEL)
        self.copy = self.file(self.root("models"), "m", self.MODEL)
        self.apply(self.plan(self.blob, self.copy))


def hold(root: Path, path: Path) -> HeldFile:
    return HeldFile(str(root), str(path))


def errors(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.error for outcome in outcomes]


def leftovers(base: Path) -> list[Path]:
    return [path for path in base.rglob(".hubfold-*") if path.name not in (".hubfold-vault", ".hubfold-farm")]
