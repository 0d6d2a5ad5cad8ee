"""Where roots lay, kept in the index."""

from __future__ import annotations

from pathlib import Path

from hubfold.disk.identity import Mounts, place_of
from hubfold.index.index import Index
from hubfold.scanning import places


def test_what_is_noted_is_known_until_it_is_noted_anew(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9"
    odd.mkdir()
    mounts = Mounts.now()
    first, second = place_of(str(tmp_path), mounts), place_of(str(odd), mounts, "ab" * 16)
    with Index(tmp_path / "index.db") as index:
        places.note(index, [first, second])
        assert places.load(index) == {first.path: first, second.path: second}
        moved = first._replace(inode=7)
        places.note(index, [moved])
        assert places.load(index)[first.path] == moved


def test_what_cannot_be_told_is_not_noted(tmp_path: Path) -> None:
    with Index(tmp_path / "index.db") as index:
        places.note(index, [place_of(str(tmp_path / "missing"), Mounts.now())])
        assert places.load(index) == {}
