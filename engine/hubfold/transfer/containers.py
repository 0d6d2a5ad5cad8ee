"""Backups as folders and as tar files: how they are written and read (the format is in `archive`)."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Any, Protocol

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import TEMPORARY_PREFIX
from hubfold.disk import directory
from hubfold.disk.directory import Directory
from hubfold.disk.paths import named
from hubfold.errors import BackupError, UsageError
from hubfold.scanning.discover import instead_of
from hubfold.transfer.archive import LIST, BackedUp, Listed, dump, load, object_name, pour

#: In a folder until its list is written, so that an interrupted backup is known again.
MARKER = ".hubfold-backup"
#: A list of a million files takes about this many bytes.
_LIST_LIMIT = 512 << 20
#: What looks like the ending of a file, and not like a version (``models-1.5``) or a date (``2026.11.28``).
_ENDING = re.compile(r"(?<=[^/])(\.tar)?\.[A-Za-z]\w{0,7}$|(?<=[^/])\.7z$", re.ASCII)
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{64})")


# -- writing -----------------------------------------------------------------------------------------------------


class Writer(Protocol):
    """Where a backup goes."""

    def has(self, sha256: str, size: int) -> bool:
        """Whether the content is there already, from this run or one that was interrupted."""
        ...

    def add(self, sha256: str, size: int, source: IO[bytes], tick: Callable[[int], None]) -> bool:
        """Write a content; False, and nothing of it counts, if its bytes are others."""
        ...

    def finish(self, models: list[BackedUp]) -> None:
        """Write the list; the backup is whole then."""
        ...

    def abandon(self) -> None:
        """Clear away what is half done."""
        ...


class FolderWriter:
    """A backup as a folder; an interrupted one, or one of other models, is gone on with."""

    def __init__(self, path: str, temporary: str, backends: Mapping[str, GuardedBackend]) -> None:
        self.path = path
        self._temporary = temporary
        directory.make_folders(path)
        self._before = Listed(())
        with Directory.open(path) as folder:
            names = set(folder.names())
            if LIST in names:
                with open(os.path.join(path, LIST), "rb") as file:
                    self._before = load(file.read(_LIST_LIMIT), path, backends)
            elif names and MARKER not in names:
                raise BackupError(f"{path} holds something else", "name an empty folder, or a new one")
            if not names & {MARKER, LIST}:
                os.close(folder.create_file(MARKER, 0o644))
                folder.sync()

    def has(self, sha256: str, size: int) -> bool:
        if not sha256:
            return False
        try:
            return os.lstat(os.path.join(self.path, object_name(sha256))).st_size == size
        except OSError:
            return False

    def add(self, sha256: str, size: int, source: IO[bytes], tick: Callable[[int], None]) -> bool:
        name = os.path.join(self.path, object_name(sha256))
        with (
            Directory.open(self.path) as top,
            Directory.make_below(self.path, os.path.dirname(name)) as folder,
        ):
            with suppress(FileNotFoundError):
                top.unlink(self._temporary)
            with open(top.create_file(self._temporary, 0o644), "wb") as target:
                if pour(source, target.write, size, tick) != sha256:
                    top.unlink(self._temporary)
                    return False
                target.flush()
                os.fsync(target.fileno())
            with suppress(FileNotFoundError):  # of another size: cut short by somebody
                folder.unlink(sha256)
            top.move(self._temporary, folder, sha256)
            folder.sync()
        return True

    def finish(self, models: list[BackedUp]) -> None:
        new = {model.key: model for model in [*self._before.models, *models]}
        with Directory.open(self.path) as folder:
            with suppress(FileNotFoundError):
                folder.unlink(self._temporary)
            with open(folder.create_file(self._temporary, 0o644), "wb") as file:
                file.write(dump(list(new.values()), self._before.refused))
                file.flush()
                os.fsync(file.fileno())
            folder.rename(self._temporary, LIST)
            folder.sync()
            with suppress(FileNotFoundError):  # the list tells what the folder is
                folder.unlink(MARKER)

    def abandon(self) -> None:
        with Directory.open(self.path) as folder, suppress(FileNotFoundError):
            folder.unlink(self._temporary)


class TarWriter:
    """A backup as one file; it has its name when it is whole, and is begun anew after an interruption."""

    def __init__(self, path: str, temporary: str) -> None:
        self.path = path
        self._folder = Directory.open(os.path.dirname(path))
        if self._folder.lstat_or_none(os.path.basename(path)) is not None:
            raise BackupError(f"{path} is there already", "name a new file: a finished backup is not changed")
        self._temporary = temporary
        self._file = open(self._folder.create_file(temporary, 0o644), "wb")  # noqa: SIM115 - closed by `finish`
        self._packed: IO[bytes] = zstd().open(self._file, "wb") if path.endswith(".zst") else self._file
        self._tar = tarfile.open(fileobj=self._packed, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._there: set[str] = set()

    def has(self, sha256: str, size: int) -> bool:
        return sha256 in self._there

    def add(self, sha256: str, size: int, source: IO[bytes], tick: Callable[[int], None]) -> bool:
        digest = hashlib.sha256()

        class Told:
            def read(self, amount: int = -1) -> bytes:
                data = source.read(amount)
                digest.update(data)
                tick(len(data))
                return data

        member = tarfile.TarInfo(object_name(sha256))
        member.size, member.mode = size, 0o644
        self._tar.addfile(member, Told())
        if digest.hexdigest() != sha256:
            return False  # no model's part names it, so no restore reads it
        self._there.add(sha256)
        return True

    def finish(self, models: list[BackedUp]) -> None:
        text = dump(models)
        member = tarfile.TarInfo(LIST)
        member.size, member.mode = len(text), 0o644
        self._tar.addfile(member, BytesIO(text))
        self._tar.close()
        if self._packed is not self._file:
            self._packed.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._folder:
            self._folder.rename(self._temporary, os.path.basename(self.path))
            self._folder.sync()

    def abandon(self) -> None:
        # What is left open closes itself when it is collected, and complains on stderr that the file below is closed.
        for layer in (self._tar, self._packed, self._file):
            with suppress(OSError, ValueError):
                layer.close()
        with self._folder, suppress(FileNotFoundError):
            self._folder.unlink(self._temporary)


def zstd() -> Any:
    """The module that reads and writes zstd. Raises `UsageError` where there is none."""
    try:
        from compression import zstd as module
    except ImportError:
        try:
            from backports import zstd as module
        except ImportError:
            raise UsageError(
                "this Python has no zstd", "pip install 'hubfold[zstd]', or use a folder or a .tar"
            ) from None
    return module


def is_tar(path: str) -> bool:
    return path.endswith((".tar", ".tar.zst"))


def check_ending(target: str) -> None:
    """Raise `UsageError` for a new backup whose name, as the user typed it, ends as some other kind of file's would.

    A folder that is there, or a name with a slash at its end, is a folder however it ends.
    """
    ending = _ENDING.search(target)
    if ending is None or is_tar(target) or os.path.isdir(named(target)):
        return
    raise UsageError(
        f"{ending[0]} is no kind of backup",
        f"name it .tar or .tar.zst for one file; for a folder of this name: {os.path.join(target, '')}",
    )


# -- reading -----------------------------------------------------------------------------------------------------


class Reader(Protocol):
    """Where a backup comes from."""

    def read_list(self, backends: Mapping[str, GuardedBackend]) -> Listed:
        """The models of the backup. Raises `BackupError`."""
        ...

    def objects(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, IO[bytes]]]:
        """(sha256 it is said to have, its bytes) of those of `wanted` (sha256 → size) that are there."""
        ...


class FolderReader:
    def __init__(self, path: str) -> None:
        self.path = path

    def read_list(self, backends: Mapping[str, GuardedBackend]) -> Listed:
        try:
            with open(os.path.join(self.path, LIST), "rb") as file:
                return load(file.read(_LIST_LIMIT), self.path, backends)
        except FileNotFoundError:
            raise BackupError(
                f"{self.path} has no {LIST}: it is no backup, or one that was interrupted",
                "finish it with the `hubfold backup` that began it",
            ) from None

    def objects(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, IO[bytes]]]:
        for sha256 in wanted:
            try:
                with Directory.parent_of(self.path, os.path.join(self.path, object_name(sha256)))[
                    0
                ] as folder:
                    fd = folder.open_file(sha256)
            except FileNotFoundError:
                continue
            with open(fd, "rb") as file:
                yield sha256, file


class TarReader:
    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def _members(self) -> Iterator[Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]]:
        with open(self.path, "rb") as file:
            packed = self.path.endswith(".zst")
            # A plain file is stepped through by seeking; a packed one has to be unpacked to its end.
            source = zstd().open(file, "rb") if packed else file
            damage: tuple[type[Exception], ...] = (tarfile.TarError, EOFError)
            if packed:
                damage = (*damage, zstd().ZstdError)
            try:
                with tarfile.open(fileobj=source, mode="r|" if packed else "r:") as tar:
                    yield self._checked(tar)
            except damage as error:
                raise BackupError(
                    f"{self.path} is damaged, or was cut short: {error}", "restore from another backup"
                ) from None

    def _checked(self, tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        for member in tar:
            known = _OBJECT.fullmatch(member.name)
            good = member.name == LIST or (known is not None and known[2].startswith(known[1]))
            if not member.isreg() or not good:
                raise BackupError(
                    f"{self.path} holds {member.name!r}, which hubfold would not have written",
                    "nothing was restored from it",
                )
            yield member, tar

    def read_list(self, backends: Mapping[str, GuardedBackend]) -> Listed:
        text = None
        with self._members() as members:
            for member, tar in members:
                if member.name == LIST:
                    file = tar.extractfile(member)
                    text = file.read(_LIST_LIMIT) if file is not None else None
        if text is None:
            raise BackupError(f"{self.path} has no list: it was cut short", "restore from another backup")
        return load(text, self.path, backends)

    def objects(self, wanted: Mapping[str, int]) -> Iterator[tuple[str, IO[bytes]]]:
        given: set[str] = set()
        with self._members() as members:
            for member, tar in members:
                sha256 = os.path.basename(member.name)
                if wanted.get(sha256) == member.size and sha256 not in given:
                    file = tar.extractfile(member)
                    if file is not None:
                        given.add(sha256)
                        yield sha256, file


def reader(path: str) -> Reader:
    """The backup at `path`. Raises `BackupError` where there is none."""
    if os.path.isdir(path):
        return FolderReader(path)
    if not os.path.exists(path):
        raise BackupError(f"{path} does not exist", instead_of(path))
    if not is_tar(path):
        raise BackupError(f"{path} is no backup", "name a folder, a .tar or a .tar.zst")
    return TarReader(path)


def temporary_name(run: str) -> str:
    return f"{TEMPORARY_PREFIX}{run}-backup"
