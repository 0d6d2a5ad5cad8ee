"""What is away waits: a run stays open, nothing is settled, dropped or made, and the same command ends it."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.program import Program

OLD = Path(__file__).parent / "version_before"
MODEL = random.Random("version before").randbytes(1060864)


class Folded:
    """A copy below `user/models`, folded into a cache below `share`."""

    def __init__(self, base: Path) -> None:
        self.hubfold = Program(base / "home")
        self.share, self.models = base / "home/share", base / "home/user/models"
        self.copy = Path(tree.write(str(self.models / "deep/m.safetensors"), MODEL))
        (blob,) = tree.cache(str(self.share / "hub"), "org/one", {"model.safetensors": MODEL}).values()
        self.blob = Path(blob)
        self.roots = str(self.share / "hub"), str(self.models)
        assert self.hubfold("consolidate", *self.roots, "--link", "symlink", "-y").code == 0
        assert self.copy.is_symlink()

    def away(self, folder: Path) -> Path:
        aside = folder.with_name("away")
        folder.rename(aside)
        return aside


@pytest.fixture
def folded(tmp_path: Path) -> Folded:
    return Folded(tmp_path)


@pytest.mark.parametrize("what", ["share", "models"])
def test_undo_waits_for_the_content_and_for_the_path(folded: Folded, what: str) -> None:
    folder = getattr(folded, what)
    aside = folded.away(folder)
    for flags in (["--dry-run"], ["-y"], ["-y"]):
        waits = folded.hubfold("undo", "--json", *flags)
        assert waits.code == 3
        assert [one["path"] for one in waits.json["left"]] == [str(folded.copy)] and waits.json[
            "restored"
        ] == []
        assert "is not there" in waits.json["left"][0]["reason"]
    assert folded.hubfold("runs", "--json").json["runs"][0]["state"] in ("finished", "partly undone")
    aside.rename(folder)
    done = folded.hubfold("undo", "-y", "--json")
    assert done.code == 0 and [one["path"] for one in done.json["restored"]] == [str(folded.copy)]
    assert not folded.copy.is_symlink() and folded.copy.read_bytes() == MODEL
    assert folded.blob.stat().st_mode & 0o777 == 0o644


def test_undo_restores_what_is_there_and_goes_on_with_the_rest(tmp_path: Path) -> None:
    other = Path(tree.write(str(tmp_path / "home/other/o.safetensors"), MODEL))
    hubfold = Program(tmp_path / "home")
    copy = Path(tree.write(str(tmp_path / "home/models/m.safetensors"), MODEL))
    tree.cache(str(tmp_path / "home/share/hub"), "org/one", {"model.safetensors": MODEL})
    roots = tmp_path / "home/share/hub", copy.parent, other.parent
    assert hubfold("consolidate", *roots, "--link", "symlink", "-y").code == 0
    copy.parent.rename(tmp_path / "away")
    first = hubfold("undo", "-y", "--json")
    assert first.code == 3 and [one["path"] for one in first.json["restored"]] == [str(other)]
    assert [one["path"] for one in first.json["left"]] == [str(copy)]
    assert not other.is_symlink() and hubfold("recover").code == 0
    (tmp_path / "away").rename(copy.parent)
    then = hubfold("undo", "-y", "--json")
    assert then.code == 0 and [one["path"] for one in then.json["restored"]] == [str(copy)]
    assert copy.read_bytes() == other.read_bytes() == MODEL and not copy.is_symlink()


def test_a_folder_below_a_root_that_is_there_was_deleted(folded: Folded) -> None:
    shutil.rmtree(folded.copy.parent)
    done = folded.hubfold("undo", "-y", "--json")
    assert done.code == 0 and done.json["left"] == [
        {"path": str(folded.copy), "reason": "it was deleted since"}
    ]


def test_clean_leaves_links_whose_vault_is_away(folded: Folded) -> None:
    aside = folded.away(folded.share)
    for flags in ([], ["--older-than", "0"]):
        assert folded.hubfold("clean", "-y", "--json", *flags).json["removed"] == []
    folded.share.mkdir()
    (folded.share / "hubfold").mkdir()
    assert folded.hubfold("clean", "-y", "--json").json["removed"] == [], "an empty folder is no vault"
    shutil.rmtree(folded.share)
    aside.rename(folded.share)
    assert folded.copy.read_bytes() == MODEL
    for object_ in (folded.share / "hubfold/objects").rglob("*"):
        if object_.is_file() and object_.suffix != ".links":
            object_.unlink()
    gone = folded.hubfold("clean", "-y", "--json").json["removed"]
    assert [one["path"] for one in gone] == [str(folded.copy)], "its object was seen to be gone"


def test_doctor_makes_no_object_where_the_vault_is_away(folded: Folded) -> None:
    tree.write(str(folded.models / "spare.safetensors"), MODEL)
    aside = folded.away(folded.share)
    told = folded.hubfold("doctor", "--fix", "-y", "--json")
    finding = next(one for one in told.json["findings"] if one["path"] == str(folded.copy))
    assert told.code == 3 and finding["kind"] == "dangling-link" and not finding["fixed"]
    assert not folded.share.exists()
    aside.rename(folded.share)
    assert folded.copy.read_bytes() == MODEL


def test_gc_and_rm_keep_what_a_root_that_is_away_needs(folded: Folded) -> None:
    for root in folded.roots:
        assert folded.hubfold("roots", "add", root).code == 0
    aside = folded.away(folded.models)
    assert folded.hubfold("gc", "-y", "--json").json["removed"] == []
    gone = folded.hubfold("rm", "org/one", "-y", "--json").json
    assert not any("/objects/" in one["path"] for one in gone["removed"])
    assert [one["path"] for one in gone["needed"]] == [str(folded.copy)]
    aside.rename(folded.models)
    assert folded.copy.read_bytes() == MODEL


# -- a run of the version before, as it wrote it ---------------------------------------------------------------------


class Before:
    """The journal and the `.links` that hubfold 0.1.0 left, with the files that they are about."""

    def __init__(self, base: Path) -> None:
        self.hubfold = Program(base / "home")
        self.base = base / "home"
        (blob,) = tree.cache(str(self.base / "hf/hub"), "org/one", {"m.safetensors": MODEL}).values()
        self.blob, name = Path(blob), os.path.basename(blob)
        self.object = self.base / "hf/hubfold/objects" / name[:2] / name
        self.object.parent.mkdir(parents=True)
        os.link(self.blob, self.object)
        os.chmod(self.blob, 0o444)
        self.copy = self.base / "models/m.safetensors"
        self.copy.parent.mkdir()
        self.copy.symlink_to(f"../hf/hubfold/objects/{name[:2]}/{name}")
        journal = self.fill("run.jsonl")
        self.run = journal.split('"run": "')[1].partition('"')[0]
        for path, text in (
            (self.base / f"state/runs/{self.run}.jsonl", journal),
            (Path(f"{self.object}.links"), self.fill("object.links")),
            (self.base / "hf/hubfold/.hubfold-vault", self.fill("marker")),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def fill(self, name: str) -> str:
        st, text = self.blob.stat(), (OLD / name).read_text()
        known = {"@BASE@": str(self.base), "@KEEPER@": str(st.st_ino), "@MTIME@": str(st.st_mtime_ns)}
        for word, value in known.items():
            text = text.replace(word, value)
        return text


@pytest.fixture
def before(tmp_path: Path) -> Before:
    return Before(tmp_path)


def test_a_run_of_the_version_before_is_verified_kept_and_undone(before: Before) -> None:
    assert before.hubfold("scan", str(before.base / "hf"), str(before.copy.parent)).code == 0
    assert before.hubfold("verify").code == 0
    assert before.hubfold("gc", "-y", "--json").json["removed"] == []
    assert before.hubfold("doctor", "--json").json["findings"] == []
    assert before.hubfold("undo", "-y").code == 0
    assert not before.copy.is_symlink() and before.copy.read_bytes() == MODEL
    assert before.blob.stat().st_mode & 0o777 == 0o644
    removed = before.hubfold("gc", "-y", "--json").json["removed"]
    assert [one["path"] for one in removed] == [str(before.object)]


def test_a_run_of_the_version_before_waits_for_its_root_too(before: Before) -> None:
    aside = before.base / "aside"
    (before.base / "hf").rename(aside)
    assert before.hubfold("undo", "-y").code == 3
    aside.rename(before.base / "hf")
    assert before.hubfold("undo", "-y").code == 0 and before.copy.read_bytes() == MODEL
