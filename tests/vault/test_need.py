"""Whether a link still needs its object: only what was seen to be gone, on its own file system, is gone."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold.disk.identity import Location
from hubfold.vault import gc, names, objects
from hubfold.vault.need import Here, Need, need
from tests.building.folding import Scene

MODEL = os.urandom(1 << 20)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A copy in a folder of a root, folded; the cache lost its blob, so that the vault has the only bytes."""
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "deep/m", MODEL)
    assert not scene.apply(scene.plan(blob, copy))[0].error
    blob.unlink()
    scene.copy = copy  # type: ignore[attr-defined]
    return scene


def object_of(scene: Scene) -> str:
    (object_,) = objects.objects(str(scene.vault))
    return object_


def line_of(scene: Scene) -> objects.NeededBy:
    (line,) = objects.read_links(object_of(scene))
    return line


def asked(scene: Scene, **changes: str) -> Need:
    return need(object_of(scene), replace(line_of(scene), **changes), Here.now())


def rewrite(object_: str, lines: list[dict[str, str]]) -> None:
    Path(object_ + names.LINKS).write_text("".join(json.dumps(line) + "\n" for line in lines))


def collect(scene: Scene, *runs: str, forget: str | None = None) -> tuple[list[gc.Garbage], list[str]]:
    here = Here.now(lambda: runs)
    garbage, kept = gc.find_garbage([str(scene.vault)], list(scene.roots), here=here, forget=forget)
    return garbage, [left.reason for left in kept]


def test_a_line_says_which_vault_machine_and_file_system(scene: Scene) -> None:
    line, here = line_of(scene), Here.now()
    assert line.vault == objects.id_of(str(scene.vault)) != ""
    assert (line.machine, line.host) == (here.machine.id, here.machine.name)
    assert line.root == str(scene.base / "models")
    assert Location(line.fs, line.inside) == here.mounts.of(str(scene.copy))
    assert str(scene.copy) in here.mounts.paths(Location(line.fs, line.inside))


def test_a_link_that_dangles_since_the_vault_moved_needs_its_object(scene: Scene) -> None:
    (scene.base / "hf").rename(scene.base / "elsewhere")
    assert not scene.copy.exists()
    vault = str(scene.base / "elsewhere/hubfold")
    garbage, kept = gc.find_garbage([vault], [], here=Here.now())
    assert garbage == [] and kept[0].reason == f"{scene.copy} needs it"


def test_a_link_that_was_moved_and_dangles_needs_it_too(scene: Scene) -> None:
    (scene.base / "hf").rename(scene.base / "elsewhere")
    scene.copy.rename(scene.base / "models/other")
    garbage, kept = gc.find_garbage([str(scene.base / "elsewhere/hubfold")], [], here=Here.now())
    assert garbage == [] and "does not list" in kept[0].reason


def test_what_was_deleted_is_gone(scene: Scene) -> None:
    scene.copy.unlink()
    assert asked(scene) is Need.GONE
    scene.copy.parent.rmdir()
    assert asked(scene) is Need.GONE
    garbage, _ = collect(scene)
    assert [(item.path, item.last) for item in garbage] == [(object_of(scene), True)]


def test_below_a_root_that_is_missing_nothing_is_gone(scene: Scene) -> None:
    (scene.base / "models").rename(scene.base / "locked")
    assert asked(scene) is Need.UNKNOWN
    garbage, kept = collect(scene)
    assert garbage == [] and "cannot be looked at now" in kept[0]


def test_a_folder_that_is_a_dangling_symlink_now_is_no_proof(scene: Scene) -> None:
    """Its content was moved to a drive that is away."""
    shutil.rmtree(scene.copy.parent)
    scene.copy.parent.symlink_to("/no/such/drive")
    assert asked(scene) is Need.UNKNOWN


def test_a_read_error_is_no_proof(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real, path = os.lstat, str(scene.copy)
    line, object_ = line_of(scene), object_of(scene)

    def failing(name: str, **kwargs: object) -> os.stat_result:
        if name == path:
            raise OSError(5, "Input/output error", name)
        return real(name, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "lstat", failing)
    assert need(object_, line, Here.now()) is Need.UNKNOWN


def test_another_file_system_at_its_path_is_no_proof(scene: Scene) -> None:
    scene.copy.unlink()
    assert asked(scene, fs="ext4:" + "0" * 31 + "1") is Need.UNKNOWN


def test_what_another_machine_made_is_unknown_till_it_is_given_up(scene: Scene) -> None:
    scene.copy.unlink()
    line = replace(line_of(scene), machine="f" * 32, host="laptop")
    object_ = object_of(scene)
    objects.note_links(object_, [line])
    assert need(object_, line, Here.now()) is Need.UNKNOWN
    garbage, kept = collect(scene)
    assert garbage == [] and "laptop" in kept[0]
    for name in ("laptop", "f" * 32):
        assert [item.path for item in collect(scene, forget=name)[0]] == [object_]
    assert [
        (one, [entry.link for entry in lines]) for one, lines in gc.noted_by([str(scene.vault)], "laptop")
    ] == [(object_, [str(scene.copy)])]
    assert gc.forget_machine([str(scene.vault)], "laptop") == []
    assert [entry.host for entry in objects.read_links(object_)] == [Here.now().machine.name]
    assert not os.path.exists(object_ + names.LINKS + names.NEW)
    assert [item.path for item in collect(scene)[0]] == [object_]


def test_a_machine_that_is_given_up_and_seen_to_need_it_keeps_it(scene: Scene) -> None:
    line = replace(line_of(scene), machine="f" * 32, host="laptop")
    rewrite(object_of(scene), [{name: getattr(line, name) for name in line.__slots__}])
    assert collect(scene, forget="laptop")[0] == []


def test_one_path_on_two_machines_is_two_links(scene: Scene) -> None:
    objects.note_links(object_of(scene), [replace(line_of(scene), machine="f" * 32)])
    assert len(objects.read_links(object_of(scene))) == 2


def test_lines_of_the_version_before(scene: Scene) -> None:
    """Of a run of this state they are judged as they were; of anybody else's they are unknown."""
    old = {"link": str(scene.copy), "mount": line_of(scene).mount, "run": "20250101-000000-000000"}
    rewrite(object_of(scene), [old])
    assert collect(scene)[1] == [f"{scene.copy} needs it"]
    scene.copy.unlink()
    garbage, kept = collect(scene)
    assert garbage == [] and "an older version" in kept[0]
    assert [item.path for item in collect(scene, old["run"])[0]] == [object_of(scene)]


def test_a_vault_of_the_version_before_gets_an_id_that_stays(scene: Scene) -> None:
    marker = scene.vault / ".hubfold-vault"
    text = marker.read_text()
    marker.write_text(text[: text.index("\nid ")])
    assert objects.id_of(str(scene.vault)) == ""
    with objects.lock(str(scene.vault)):
        objects.prepare(str(scene.vault))
    id_ = objects.id_of(str(scene.vault))
    assert len(id_) == 32
    objects.prepare(str(scene.vault))
    assert objects.id_of(str(scene.vault)) == id_ and marker.read_text().startswith("hubfold vault 1\n")


def test_an_id_that_a_crash_cut_short_is_none(scene: Scene) -> None:
    marker = scene.vault / ".hubfold-vault"
    text = marker.read_text()
    marker.write_text(text[: text.index("\nid ") + 9])
    assert objects.id_of(str(scene.vault)) == ""
    objects.prepare(str(scene.vault))
    assert len(objects.id_of(str(scene.vault))) == 32


def test_what_became_the_last_copy_since_it_was_shown_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m", MODEL)
    scene.apply(scene.plan(blob, copy))
    copy.unlink()
    here = Here.now()
    garbage, _ = gc.find_garbage([str(scene.vault)], [], here=here)
    assert [item.last for item in garbage] == [False]
    blob.unlink()
    report = gc.remove(garbage, here=here)
    assert report.removed == () and "last copy" in report.kept[0].reason
    garbage, _ = gc.find_garbage([str(scene.vault)], [], here=here)
    report = gc.remove(garbage, here=here)
    assert report.removed == report.last_copies == (garbage[0].path,)
