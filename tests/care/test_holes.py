"""Links that lead nowhere are made to read their content, and nothing that is there is replaced."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.care import exchange, holes, repairs
from hubfold.care.holes import Hole
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone
from tests.building import tree

DATA = tree.model("hole")
SHA256 = hashlib.sha256(DATA).hexdigest()
NAME = "w.safetensors"


class Place:
    """A cache without the blob of its one file, and a copy of that in `models`."""

    def __init__(self, base: Path) -> None:
        self.hub, self.copy = base / "hf/hub", base / "models/copy.safetensors"
        (blob,) = tree.cache(str(self.hub), "org/one", {NAME: DATA}).values()
        self.blob = Path(blob)
        self.link = self.hub / "models--org--one/snapshots" / ("a" * 40) / NAME
        self.blob.unlink()
        tree.write(str(self.copy), DATA)
        self.engine = Engine(base / "state", environ={**os.environ, "HF_HOME": str(base / "hf")})
        self.engine.add_root(self.copy.parent)

    def mended(self) -> list[tuple[str, bool]]:
        return [(finding.path, finding.fixed) for finding in self.engine.doctor(fix=True).findings]

    def left(self) -> list[Path]:
        folders = (self.hub, self.copy.parent)
        found = (path for folder in folders for path in folder.rglob(".hubfold-*"))
        return [path for path in found if path.name != ".hubfold-vault"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.engine:
        yield made


def test_a_hole_without_bytes_is_told_from_one_that_only_needs_its_text(place: Place) -> None:
    hole = Hole(
        path=str(place.link),
        root=str(place.hub),
        before=os.readlink(place.link),
        digests={"sha256": SHA256},
        content=str(place.blob),
        content_root=str(place.hub),
        text="",
        size=None,
    )
    assert hole.needs_bytes and hole.name == NAME
    place.blob.write_bytes(DATA)
    assert not hole.needs_bytes


def test_what_somebody_puts_there_in_the_last_moment_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that downloads the blob while it is being copied."""
    real = exchange.name_if_free

    def too_late(directory: Directory, temporary: str, name: str) -> None:
        place.blob.write_bytes(b"downloaded meanwhile")
        real(directory, temporary, name)

    monkeypatch.setattr(exchange, "name_if_free", too_late)
    assert place.mended() == [(str(place.link), False)]
    assert place.blob.read_bytes() == b"downloaded meanwhile" and place.left() == []
    assert place.copy.read_bytes() == DATA


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_second_names_it_is_renamed(place: Place, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Directory, "link_from", refused)
    assert place.mended() == [(str(place.link), True)]
    assert place.link.read_bytes() == DATA and place.left() == []


def test_an_error_while_it_is_made_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(exchange, "name_if_free", full)
    assert place.mended() == [(str(place.link), False)]
    assert not place.blob.exists() and place.left() == []


def test_what_changed_while_it_was_copied_is_not_put_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = repairs.compare.copy_bytes

    def with_another_byte(source: int, target: int, **options: object) -> int:
        size = real(source, target, **options)  # type: ignore[arg-type]
        os.pwrite(target, b"!", 1 << 10)
        return size

    monkeypatch.setattr(repairs.compare, "copy_bytes", with_another_byte)
    assert place.mended() == [(str(place.link), False)]
    assert not place.blob.exists() and place.left() == []


def test_the_lock_of_a_client_is_respected(place: Place) -> None:
    from filelock import FileLock

    lock = place.hub / ".locks/models--org--one" / f"{SHA256}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert place.mended() == [(str(place.link), False)]
    assert place.mended() == [(str(place.link), True)]


def test_a_link_that_changed_since_it_was_looked_at_keeps_its_text(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = place.copy.parent / NAME
    other.symlink_to(f"../../blobs/{SHA256}")
    real = holes.fill

    def after_a_change(hole: Hole, *arguments: object) -> str:
        if hole.path == str(other):
            other.unlink()
            other.symlink_to("copy.safetensors")
        return real(hole, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("hubfold.care.doctor.fill", after_a_change)
    assert (str(other), False) in place.mended()
    assert os.readlink(other) == "copy.safetensors" and place.left() == []


def test_what_no_vault_can_hold_is_left_alone(place: Place) -> None:
    class NoVault:
        def place_for(self, root: str) -> str:
            return f"{root}/.hubfold"

    hole = Hole("/p/link", "/p", "gone", {"xet": "0" * 64}, content="", content_root="", text="", size=None)
    with pytest.raises(LeftAlone):
        holes.fill(hole, NoVault(), repairs.Donor("/p/w", "/p"), lambda vault: None)  # type: ignore[arg-type,return-value]
