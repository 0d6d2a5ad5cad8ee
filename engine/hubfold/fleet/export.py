"""Writes the index of this host as one file that others can read while it is written anew (`layout`)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from hubfold.content import IndexedReplica
from hubfold.disk import whole_file
from hubfold.disk.filesystem import reaches_other_hosts
from hubfold.disk.identity import Machine, Mounts
from hubfold.errors import HubfoldError, describe
from hubfold.fleet import layout
from hubfold.reports.fleet import ExportReport

if TYPE_CHECKING:
    import pyarrow

_ROWS = 65_536
_DIGEST = re.compile(r"[0-9a-f]{32,64}")
#: As bytes that a Parquet file of ours is given by default: paths are nobody else's business.
_PRIVATE = 0o600

#: The replicas of a root, each time anew.
Replicas = Callable[[str], Iterator[IndexedReplica]]


class Source(NamedTuple):
    """What is exported, and by whom. `owner` None: the files of every user."""

    #: By path, when it was scanned last, in seconds.
    roots: Mapping[str, int]
    replicas: Replicas
    machine: Machine
    owner: int | None


def missing(package: str) -> HubfoldError:
    return HubfoldError(
        f"this needs the package {package}, which is not installed", "pip install 'hubfold[fleet]'"
    )


def export(folder: str, source: Source) -> ExportReport:
    """Write the file of this host into an existing folder, durable; one of before is replaced in one step.

    Raises `HubfoldError` where pyarrow is missing or the folder cannot be written to.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise missing("pyarrow") from None
    path = os.path.join(folder, _name(source))
    told = _Told(source)
    try:
        with whole_file.replacing(path, _PRIVATE) as file:
            schema = _schema(arrow)
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in told.batches(arrow, schema):
                    writer.write_batch(batch)
                writer.add_key_value_metadata(told.about)
            # What the user made of the file of before holds for the next.
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(os.lstat(path).st_mode) | _PRIVATE)
    except OSError as error:
        raise HubfoldError(
            f"{path} cannot be written: {describe(error)}",
            "make room or mend its permissions; a file of before stays as it was",
        ) from error
    return ExportReport(path, told.rows, told.payload_bytes, told.others)


def _name(source: Source) -> str:
    host = re.sub(r"[^\w.-]", "_", source.machine.name, flags=re.ASCII).strip(".")[:80] or "host"
    return f"{host}-{source.machine.id[:8]}-{os.getuid()}{layout.SUFFIX}"


def _schema(arrow: Any) -> pyarrow.Schema:
    kinds = {
        "words": arrow.dictionary(arrow.int32(), arrow.string()),
        "text": arrow.string(),
        "number": arrow.int64(),
        "truth": arrow.bool_(),
        "bytes": arrow.binary(),
    }
    fields = [arrow.field(name, kinds[kind]) for name, kind in layout.COLUMNS.items()]
    return arrow.schema(fields, metadata={layout.KEY: str(layout.VERSION)})


class _Told:
    """The rows, with what they come to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[tuple[int, int]] = set()
        self._mounts = Mounts.now()
        self.rows = 0
        self.payload_bytes = 0
        #: Files of other users that were left out.
        self.others = 0

    @property
    def about(self) -> dict[str, str]:
        machine, scans = self._source.machine, self._source.roots.values()
        values = (_shown(machine.name), machine.id, str(min(scans)), str(self.rows))
        return {f"{layout.KEY}.{name}": value for name, value in zip(layout.ABOUT, values, strict=True)}

    def batches(self, arrow: Any, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
        rows: list[tuple[object, ...]] = []
        for row in self._every():
            rows.append(row)
            if len(rows) == _ROWS:
                yield _batch(arrow, schema, rows)
                rows = []
        if rows or not self.rows:
            yield _batch(arrow, schema, rows)

    def _every(self) -> Iterator[tuple[object, ...]]:
        for root in self._source.roots:
            share = self._share(root)
            folders = _folders_of_models(self._source.replicas(root))
            for replica in self._source.replicas(root):
                if self._source.owner is not None and replica.uid != self._source.owner:
                    self.others += 1
                    continue
                yield self._row(replica, share, folders)

    def _share(self, root: str) -> str | None:
        """The identity of the file system of a root that other hosts may use too."""
        if not (os.path.isdir(root) and reaches_other_hosts(root)):
            return None
        return _shown(self._mounts.location(root).filesystem) or None

    def _row(
        self, replica: IndexedReplica, share: str | None, folders: Mapping[object, str]
    ) -> tuple[object, ...]:
        first = replica.payload not in self._seen
        self._seen.add(replica.payload)
        self.rows += 1
        self.payload_bytes += replica.allocated * first
        digests = replica.digests
        algorithm = next((name for name in layout.ALGORITHMS if name in digests), None)
        xxh3 = digests.get("xxh3_128") if algorithm != "xxh3_128" else None
        inode = replica.signature.inode
        return (
            _shown(self._source.machine.name),
            self._source.machine.id,
            self._source.roots[replica.root],
            share,
            _shown(replica.root),
            replica.backend,
            _shown(replica.path),
            _name_in_model(replica, folders),
            _shown(replica.repo_type),
            _shown(replica.repo_id),
            _shown(replica.revision),
            replica.signature.size,
            replica.allocated if first else 0,
            first,
            inode if inode < 1 << 63 else inode - (1 << 64),
            replica.uid,
            algorithm,
            bytes.fromhex(digests[algorithm]) if algorithm else None,
            layout.key_of(digests[algorithm]) if algorithm else None,
            layout.key_of(xxh3) if xxh3 else None,
        )


def _batch(arrow: Any, schema: pyarrow.Schema, rows: Collection[tuple[object, ...]]) -> pyarrow.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [arrow.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _model(replica: IndexedReplica) -> object:
    return replica.repo_type, replica.repo_id, replica.revision


def _folders_of_models(replicas: Iterator[IndexedReplica]) -> dict[object, str]:
    """The folder that all files of a model in one root lie below, by model."""
    found: dict[object, str] = {}
    for replica in replicas:
        if replica.repo_id is not None:
            model, folder = _model(replica), replica.folder
            before = found.get(model, folder)
            found[model] = folder if before == folder else os.path.commonpath([before, folder])
    return found


def _name_in_model(replica: IndexedReplica, folders: Mapping[object, str]) -> str | None:
    folder = folders.get(_model(replica))
    if folder is None or _DIGEST.fullmatch(os.path.basename(replica.path)):
        return None
    name: str = _shown(os.path.relpath(replica.path, folder))
    return name


def _shown(text: str | None) -> Any:
    """A text that Parquet takes: what is not UTF-8 as ``\\xNN``."""
    return None if text is None else os.fsencode(text).decode("utf-8", "backslashreplace")
