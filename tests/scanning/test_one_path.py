"""A walk that shows a backend one path: it says of it what it says in a scan."""

from __future__ import annotations

from pathlib import Path

from hubfold.content import Replica, Root
from hubfold.scanning.one_path import OnePath
from tests.building.scanned import Place


def shown(place: Place, root: str, path: str, backend: str = "local-dir") -> list[tuple[str, dict[str, str]]]:
    at = place.folder / path
    one = Root(str(place.folder / root), backend)
    walk = OnePath(one, place.backends, str(at))
    met: list[Replica] = []
    place.backends[backend].replicas(one, walk, met.append)
    return [(str(Path(found.path).relative_to(place.folder)), dict(found.claims)) for found in met]


def test_a_file_is_met_with_what_its_layout_states(tmp_path: Path) -> None:
    place = Place(tmp_path)
    digest = "a" * 64
    place.file(f"hub/models--org--base/blobs/{digest}", b"content")
    place.file(f"hub/models--org--base/blobs/{'b' * 64}", b"another")
    path = f"hub/models--org--base/blobs/{digest}"
    assert shown(place, "hub", path, "hub-cache") == [(path, {"sha256": digest})]


def test_a_link_is_met_as_the_content_that_is_read_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.file("models/deep/beside", b"not asked for")
    place.file("elsewhere", b"content")
    (tmp_path / "models/deep/link").symlink_to("../../elsewhere")
    assert shown(place, "models", "models/deep/link") == [("models/deep/link", {})]


def test_what_is_gone_or_outside_the_root_is_not_met(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.file("models/file", b"")
    place.file("outside", b"")
    assert shown(place, "models", "models/gone") == []
    assert shown(place, "models", "models/no/such/folder") == []
    assert shown(place, "models", "outside") == []
