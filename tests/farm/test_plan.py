"""Which links a farm is to have: one revision of each model, names that stay inside, and what is there already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Signature, Snapshot, SnapshotFile
from hubfold.errors import LeftAlone
from hubfold.farm.plan import FarmPlan, WantedLink, chosen, compare, link_name
from hubfold.models.names import UnknownModel, parse
from hubfold.vault import objects

SHA = "ab" * 32


def revision(name: str, commit: str, *refs: str, size: int | None = 1, kind: str = "model") -> Snapshot:
    files = (SnapshotFile("f", "/f", size),)
    return Snapshot(name, kind, commit, refs, f"/{name}/{commit}", files)


SNAPSHOTS = [
    revision("org/b", "1" * 40),
    revision("org/b", "2" * 40, "main"),
    revision("org/b", "3" * 40, "v1"),
    revision("org/a", "4" * 40, "main", size=None),
    revision("org/a", "5" * 40),
    revision("org/a", "6" * 40, kind="dataset"),
]


def commits(*asked: tuple[str, str | None]) -> list[str]:
    models = [parse(name, revision=revision) for name, revision in asked]
    return [snapshot.revision[0] for snapshot in chosen(SNAPSHOTS, models)]


def test_each_model_has_one_revision_a_whole_one_before_main_before_other_names() -> None:
    assert commits() == ["6", "5", "2"]
    assert commits(("org/b", None), ("org/a", None)) == ["5", "2"]


def test_a_revision_can_be_asked_for() -> None:
    assert commits(("org/b", "v1")) == ["3"]
    assert commits(("org/b", "111111")) == ["1"]
    assert commits(("datasets/org/a", None)) == ["6"]


def test_a_model_that_no_cache_holds_is_told_with_what_was_meant() -> None:
    with pytest.raises(UnknownModel) as caught:
        commits(("org/bb", None))
    assert "org/b" in caught.value.hint
    with pytest.raises(UnknownModel, match="org/b at 'v2'"):
        commits(("org/b", "v2"))


@pytest.mark.parametrize(
    ("kind", "file", "flat", "expected"),
    [
        ("model", "sub/f", False, "org/a/sub/f"),
        ("dataset", "f", False, "datasets/org/a/f"),
        ("dataset", "sub/f", True, "sub/f"),
    ],
)
def test_a_link_is_named_as_people_name_the_model(kind: str, file: str, flat: bool, expected: str) -> None:
    assert link_name(revision("org/a", "1", kind=kind), file, flat=flat) == expected


@pytest.mark.parametrize(
    "file", ["../x", "/x", "a//x", "", ".", "a/../x", "a\0b", ".hubfold-1", "a/.hubfold-x/b"]
)
def test_no_name_leads_out_of_the_farm(file: str) -> None:
    for flat in (False, True):
        with pytest.raises(LeftAlone):
            link_name(revision("org/a", "1"), file, flat=flat)
    with pytest.raises(LeftAlone):
        link_name(revision("../a", "1"), "f")


class Farm:
    """A farm, and a vault with one object that links can lead to."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "farm"
        self.folder.mkdir()
        vault = base / "vault"
        objects.prepare(str(vault))
        self.object = vault / "objects" / "ab" / SHA
        self.object.parent.mkdir(parents=True, exist_ok=True)
        self.object.write_bytes(b"content")
        self.wanted = WantedLink("m/f", "/src", "/", str(vault), str(self.object), Signature(1, 1, 1, 1, 1))

    @property
    def link(self) -> Path:
        (self.folder / "m").mkdir(exist_ok=True)
        return self.folder / "m/f"

    def compare(self, *wanted: WantedLink) -> FarmPlan:
        return compare(str(self.folder), wanted, ())


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def test_a_link_that_is_missing_is_added_and_a_right_one_is_kept(farm: Farm) -> None:
    assert farm.compare(farm.wanted).add == (farm.wanted,)
    farm.link.symlink_to(farm.object)
    found = farm.compare(farm.wanted)
    assert (found.keep, found.changes) == (1, False)


def test_a_link_to_another_object_is_replaced_and_its_text_known(farm: Farm) -> None:
    other = farm.object.with_name("cd" * 32)
    farm.link.symlink_to(other)
    assert farm.compare(farm.wanted).replace == ((farm.wanted, str(other)),)


@pytest.mark.parametrize("what", ["file", "folder", "link elsewhere"])
def test_what_is_somebody_elses_stays_and_is_told(farm: Farm, what: str) -> None:
    if what == "file":
        farm.link.write_bytes(b"mine")
    elif what == "folder":
        farm.link.mkdir()
    else:
        farm.link.symlink_to("/somewhere")
    found = farm.compare(farm.wanted)
    assert not found.changes
    [left] = found.left
    assert (left.path, "somebody else" in left.reason) == (str(farm.link), True)


def test_a_right_link_whose_object_is_gone_is_kept_and_its_object_made_again(farm: Farm) -> None:
    farm.link.symlink_to(farm.object)
    farm.object.unlink()
    found = farm.compare(farm.wanted)
    assert (found.keep, found.add) == (1, (farm.wanted,))


def test_of_links_that_nobody_wants_only_ours_that_lead_nowhere_go(farm: Farm) -> None:
    (farm.folder / "deep").mkdir()
    gone = farm.object.with_name("cd" * 32)
    (farm.folder / "deep/gone").symlink_to(gone)
    (farm.folder / "there").symlink_to(farm.object)
    (farm.folder / "theirs").symlink_to("nowhere")
    assert farm.compare().remove == ((os.path.join("deep", "gone"), str(gone)),)
