"""Folders of other programs: what they are given, what stays when that is refreshed, and what undo leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hubfold import HubfoldError
from hubfold.errors import UsageError
from hubfold.farm import give as farm_give
from hubfold.farm.store import FOREIGN, LAST, NothingToGive
from hubfold.reports.runs import FarmReport
from tests.building import tree
from tests.building.people import open_place
from tests.building.shelf import install
from tests.building.stores import Machine, model

Q4, Q8, PICTURES = model("q4"), model("q8"), model("pictures")
REPO = {"base-Q4_K_M.gguf": Q4, "big/base-Q8_0.gguf": Q8, "mmproj-f16.gguf": PICTURES, "README.md": b"base\n"}
IN_STUDIO = {f"org/base-GGUF/{os.path.basename(name)}": data for name, data in REPO.items() if "gguf" in name}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.cached("org/base-GGUF", REPO)
    made.cached("org/plain", {"model.safetensors": model("plain")})
    return made


@pytest.fixture
def folder(machine: Machine) -> Path:
    return machine.home / "studio"


def fill(machine: Machine, folder: Path, *models: str, program: str = "lm-studio") -> FarmReport:
    with machine.engine() as engine:
        return engine.farm(folder, models, program=program)


def there(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reasons(report: FarmReport) -> dict[str, str]:
    return {os.path.relpath(one.path, report.path): one.reason for one in report.left}


def shelf(machine: Machine, links: str = "LinkKind.SYMLINK", across: str = "LinkKind.SYMLINK") -> Path:
    """Install the program that takes symlinks; its folder."""
    with machine.engine() as engine:
        install(Path(engine.state.plugins), links, across)
    return machine.home / "shelf"


def test_a_program_without_symlinks_gets_more_names_of_the_files(machine: Machine, folder: Path) -> None:
    blobs = [path for path in machine.hub.rglob("blobs/*") if path.stat().st_size >= len(Q4)]
    report = fill(machine, folder)
    assert there(folder) == IN_STUDIO
    assert len(report.added) == 3 and not report.left and not report.failed
    for name in IN_STUDIO:
        shown = folder / name
        assert not shown.is_symlink() and any(shown.samefile(blob) for blob in blobs)
        assert shown.stat().st_mode & 0o222 == 0, "a program could write into the cache by it"
    again = fill(machine, folder)
    assert (again.run, again.added, again.kept) == (None, (), 3)


def test_undo_takes_the_names_and_leaves_the_cache_as_it_was(machine: Machine, folder: Path) -> None:
    folder.mkdir()
    before = machine.census()
    fill(machine, folder)
    machine.undo()
    assert machine.census() == before
    assert list(folder.iterdir()) == []


def test_the_models_of_a_name_are_given_and_no_others(machine: Machine, folder: Path) -> None:
    machine.cached("org/other-GGUF", {"other.gguf": model("other")})
    fill(machine, folder, "org/other-GGUF")
    assert set(there(folder)) == {"org/other-GGUF/other.gguf"}
    report = fill(machine, folder, "org/base-GGUF")
    assert not report.removed, "what is there of others stays"
    assert set(there(folder)) == {"org/other-GGUF/other.gguf", *IN_STUDIO}


def test_a_model_of_no_use_to_the_program_is_an_error_where_it_is_named(
    machine: Machine, folder: Path
) -> None:
    with pytest.raises(HubfoldError, match="org/plain has no file that lm-studio has a use for"):
        fill(machine, folder, "org/plain")
    assert not folder.exists()


def test_only_programs_that_can_be_given_something_are_a_choice(machine: Machine, folder: Path) -> None:
    with machine.engine() as engine:
        assert {"lm-studio", "llama-cpp"} <= set(engine.programs())
        assert "hub-cache" not in engine.programs()
    with pytest.raises(UsageError, match="'hub-cache'") as caught:
        fill(machine, folder, program="hub-cache")
    assert "lm-studio" in caught.value.hint


def test_a_cache_is_no_folder_of_a_program(machine: Machine) -> None:
    with pytest.raises(UsageError, match="is a part of the hub-cache"):
        fill(machine, machine.hub / "studio")
    assert not (machine.hub / "studio").exists()


def test_the_home_of_the_program_stands_for_its_models(machine: Machine) -> None:
    (machine.home / ".lmstudio/models").mkdir(parents=True)
    (machine.home / ".lmstudio/settings.json").write_text("{}")
    report = fill(machine, machine.home / ".lmstudio")
    assert report.path == str(machine.home / ".lmstudio/models")
    with machine.engine() as engine:
        assert engine.program_folder("lm-studio") == report.path
    assert machine.models()["org/base-GGUF"]["lm-studio"] == sorted(map(os.path.basename, IN_STUDIO))


def test_a_file_of_somebody_else_stays(machine: Machine, folder: Path) -> None:
    mine = folder / "org/base-GGUF/base-Q4_K_M.gguf"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    for report in (fill(machine, folder), fill(machine, folder)):
        assert reasons(report) == {"org/base-GGUF/base-Q4_K_M.gguf": FOREIGN}
    machine.undo()
    assert there(folder) == {"org/base-GGUF/base-Q4_K_M.gguf": b"mine"}


def test_what_became_another_file_stays_on_refresh_and_on_undo(machine: Machine, folder: Path) -> None:
    """LM Studio has downloaded it anew, or the user has put his own there."""
    fill(machine, folder)
    name = "org/base-GGUF/base-Q4_K_M.gguf"
    (folder / name).unlink()
    (folder / name).write_bytes(Q4)
    assert reasons(fill(machine, folder)) == {name: FOREIGN}
    machine.undo()
    assert there(folder) == {name: Q4}


def test_a_new_revision_takes_the_place_of_the_old_one(machine: Machine, folder: Path) -> None:
    fill(machine, folder)
    newer = REPO | {"base-Q4_K_M.gguf": model("newer")}
    del newer["mmproj-f16.gguf"]
    machine.cached("org/base-GGUF", newer, commit="b" * 40)
    report = fill(machine, folder)
    assert there(folder) == {
        "org/base-GGUF/base-Q4_K_M.gguf": model("newer"),
        "org/base-GGUF/base-Q8_0.gguf": Q8,
    }
    assert [os.path.basename(path) for path in report.removed] == ["mmproj-f16.gguf"]
    assert [os.path.basename(path) for path in report.added] == ["base-Q4_K_M.gguf"]


def test_what_a_cache_has_no_more_stays_as_the_last_copy(machine: Machine, folder: Path) -> None:
    fill(machine, folder)
    machine.remove("org/base-GGUF")
    report = fill(machine, folder)
    assert reasons(report) == dict.fromkeys(IN_STUDIO, LAST)
    assert there(folder) == IN_STUDIO
    with machine.engine() as engine:
        left = engine.undo().left
    assert len(left) == 3 and there(folder) == IN_STUDIO


def test_a_last_copy_is_not_replaced_by_the_new_revision_either(machine: Machine, folder: Path) -> None:
    fill(machine, folder)
    for blob in machine.hub.glob("models--org--base-GGUF/blobs/*"):
        if blob.read_bytes() == Q4:
            blob.unlink()
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": model("newer")}, commit="b" * 40)
    report = fill(machine, folder)
    assert reasons(report)["org/base-GGUF/base-Q4_K_M.gguf"] == LAST
    assert there(folder)["org/base-GGUF/base-Q4_K_M.gguf"] == Q4


def test_the_last_copy_is_looked_for_again_right_before_it_would_go(
    machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(machine, folder)
    [blob] = [path for path in machine.hub.rglob("blobs/*") if path.read_bytes() == Q4]
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": model("newer")}, commit="b" * 40)
    real = farm_give.give

    def late(*args: object, **kwargs: object) -> object:
        blob.unlink()
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(farm_give, "give", late)
    report = fill(machine, folder)
    assert [(os.path.basename(one.path), one.error) for one in report.failed] == [("base-Q4_K_M.gguf", LAST)]
    assert there(folder)["org/base-GGUF/base-Q4_K_M.gguf"] == Q4
    assert not [name for name in os.listdir(folder / "org/base-GGUF") if name.startswith(".hubfold")]


def test_the_last_copy_stays_where_the_other_goes_while_it_is_made_durable(
    machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An fsync of gigabytes takes its time, and a client deletes meanwhile."""
    fill(machine, folder)
    [blob] = [path for path in machine.hub.rglob("blobs/*") if path.read_bytes() == Q4]
    machine.cached("org/base-GGUF", {"base-Q4_K_M.gguf": model("newer")}, commit="b" * 40)
    inode, real = blob.stat().st_ino, os.fsync

    def slow(fd: int) -> None:
        real(fd)
        if os.fstat(fd).st_ino == inode:
            blob.unlink(missing_ok=True)

    monkeypatch.setattr(os, "fsync", slow)
    report = fill(machine, folder)
    assert not blob.exists()
    assert [(os.path.basename(one.path), one.error) for one in report.failed] == [("base-Q4_K_M.gguf", LAST)]
    assert there(folder)["org/base-GGUF/base-Q4_K_M.gguf"] == Q4


def test_a_file_on_another_drive_is_told_with_what_to_do(machine: Machine, other_drive: Path) -> None:
    folder = other_drive / "studio"
    for asked in (["org/base-GGUF"], []):
        with pytest.raises(NothingToGive, match=r"on another file system.*name a folder there") as caught:
            fill(machine, folder, *asked)
        assert "lm-studio takes no symlink" in str(caught.value)
    assert not folder.exists()


def test_of_models_on_two_drives_those_of_its_own_are_given(
    machine: Machine, other_drive: Path, folder: Path
) -> None:
    tree.cache(str(other_drive / "hub"), "org/far-GGUF", {"far.gguf": model("far")})
    with machine.engine() as engine:
        engine.add_root(other_drive / "hub")
    report = fill(machine, folder)
    assert there(folder) == IN_STUDIO
    assert list(reasons(report)) == ["org/far-GGUF/far.gguf"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to somebody else")
def test_a_folder_of_another_owner_gets_no_name_of_my_file(machine: Machine, folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(NothingToGive, match="it belongs to user 0 and the folder to user 12345"):
        fill(machine, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("closed", [True, False])
def test_nobody_gets_to_read_what_he_could_not(closed: bool) -> None:
    with open_place() as place:
        machine = Machine(place)
        machine.cached("org/base-GGUF", REPO)
        (machine.home / "studio").mkdir()
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o755)
        machine.hub.chmod(0o700 if closed else 0o755)
        if closed:
            with pytest.raises(NothingToGive, match="other users could read it there, who cannot now"):
                fill(machine, machine.home / "studio")
        else:
            assert len(fill(machine, machine.home / "studio").added) == 3


def test_a_folder_on_the_way_that_is_a_link_is_not_followed(
    machine: Machine, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    (folder / "org").symlink_to(tmp_path / "elsewhere")
    report = fill(machine, folder)
    assert len(report.failed) == 3 and not any((tmp_path / "elsewhere").iterdir())
    assert all(path.stat().st_mode & 0o200 for path in machine.hub.rglob("blobs/*")), (
        "and they are as they were"
    )


def test_a_program_that_takes_symlinks_gets_links_that_outlive_the_cache(machine: Machine) -> None:
    folder = shelf(machine)
    report = fill(machine, folder, program="shelf")
    link = folder / "weights/org--plain.model.safetensors"
    assert link.is_symlink() and link.read_bytes() == model("plain")
    assert json.loads((folder / "lists/org--plain.json").read_text()) == ["a" * 40, "model.safetensors"]
    assert {os.path.basename(path) for path in report.added} == {link.name, "org--plain.json"}
    assert fill(machine, folder, program="shelf").kept == 2
    machine.remove("org/plain")
    assert link.read_bytes() == model("plain")


def test_a_link_of_a_fold_beside_them_is_none_of_ours(machine: Machine) -> None:
    folder = shelf(machine)
    fill(machine, folder, program="shelf")
    link = folder / "weights/org--plain.model.safetensors"
    other = folder / "weights/mine.safetensors"
    other.symlink_to(os.readlink(link))
    link.resolve().unlink()
    machine.remove("org/plain")
    report = fill(machine, folder, program="shelf")
    assert report.removed[0] == str(link) and not link.is_symlink()
    assert other.is_symlink()


def test_in_a_work_tree_of_git_it_gets_hard_links(machine: Machine, other_drive: Path) -> None:
    """There git would see a symlink, and clean it away."""
    folder = shelf(machine, links="LinkKind.SYMLINK, LinkKind.HARDLINK")
    (folder / ".git").mkdir(parents=True)
    fill(machine, folder, program="shelf")
    link = folder / "weights/org--plain.model.safetensors"
    assert not link.is_symlink() and link.stat().st_nlink == 2
    (other_drive / ".git").mkdir()
    with pytest.raises(HubfoldError, match="a git work tree takes no symlink"):
        fill(machine, other_drive / "shelf", "org/plain", program="shelf")


def test_where_git_ignores_the_shelves_of_a_program_it_gets_symlinks(machine: Machine) -> None:
    checkout = machine.home / "ComfyUI"
    for name in (".git", "comfy", "models/checkpoints"):
        (checkout / name).mkdir(parents=True)
    (checkout / "folder_paths.py").touch()
    machine.cached("org/painter", {"painter.safetensors": model("painter")})
    report = fill(machine, checkout, "org/painter", program="comfyui")
    [link] = map(Path, report.added)
    assert link == checkout / "models/checkpoints/org/painter/painter.safetensors"
    assert link.is_symlink() and link.read_bytes() == model("painter")


def test_undo_of_links_and_notes_leaves_the_folder_empty(machine: Machine) -> None:
    folder = shelf(machine)
    folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    fill(machine, folder, program="shelf")
    machine.undo()
    assert there(folder) == {"mine": b"mine"}
    assert os.listdir(folder) == ["mine"]


def test_undo_of_hard_links_asks_a_layout_that_cannot_say_who_needs_them_nothing(machine: Machine) -> None:
    folder = shelf(machine, links="LinkKind.HARDLINK")
    fill(machine, folder, program="shelf")
    machine.undo()
    assert not list(folder.iterdir())


def test_a_note_is_written_anew_and_one_that_was_edited_stays(machine: Machine) -> None:
    folder = shelf(machine)
    fill(machine, folder, program="shelf")
    machine.cached("org/plain", {"model.safetensors": model("plain")}, commit="b" * 40)
    fill(machine, folder, program="shelf")
    note = folder / "lists/org--plain.json"
    assert json.loads(note.read_text())[0] == "b" * 40
    edited = note.read_text().replace("b" * 40, "c" * 40)
    note.write_text(edited)
    machine.cached("org/plain", {"model.safetensors": model("plain")}, commit="d" * 40)
    assert reasons(fill(machine, folder, program="shelf")) == {"lists/org--plain.json": FOREIGN}
    machine.undo()
    assert note.read_text() == edited


def test_what_a_plugin_cannot_say_now_is_no_reason_to_remove(machine: Machine) -> None:
    folder = shelf(machine, links="LinkKind.HARDLINK")
    fill(machine, folder, program="shelf")
    before = there(folder)
    with machine.engine() as engine:
        file = Path(engine.state.plugins) / "shelf.py"
    file.write_text(file.read_text().replace("weights = [", "raise OSError('away'); weights = ["))
    report = fill(machine, folder, program="shelf")
    assert not report.removed and there(folder) == before


def test_no_note_tells_of_a_file_that_could_not_be_given(machine: Machine, other_drive: Path) -> None:
    shelf(machine, links="LinkKind.HARDLINK", across="")
    tree.cache(str(other_drive / "hub"), "org/near", {"model.safetensors": model("near")})
    with machine.engine() as engine:
        engine.add_root(other_drive / "hub")
    fill(machine, other_drive / "shelf", program="shelf")
    assert set(there(other_drive / "shelf")) == {
        "lists/org--near.json",
        "weights/org--near.model.safetensors",
    }


def test_of_two_models_with_one_name_for_a_file_the_first_has_it(machine: Machine) -> None:
    machine.cached("org/Plain", {"model.safetensors": model("other")})
    folder = shelf(machine, links="LinkKind.HARDLINK")
    report = fill(machine, folder, program="shelf")
    assert set(reasons(report).values()) == {"org/Plain has another file of this name there"}
    assert there(folder)["weights/org--plain.model.safetensors"] == model("other")


def test_two_models_may_share_a_file_of_one_content(machine: Machine) -> None:
    """Both have a note that tells of it; the first is not the only one that needs it."""
    machine.cached("org/other", {"model.safetensors": model("plain")})
    with machine.engine() as engine:
        plugins = Path(engine.state.plugins)
    folder = shelf(machine, links="LinkKind.HARDLINK")
    (plugins / "shelf.py").write_text(
        (plugins / "shelf.py").read_text().replace('f"weights/{name}.{one}"', '"weights/" + one')
    )
    assert not fill(machine, folder, program="shelf").left
    assert set(there(folder)) == {
        "weights/model.safetensors",
        "lists/org--plain.json",
        "lists/org--other.json",
    }


def test_a_cut_short_run_is_taken_back_by_undo(
    machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.census()
    number = iter(range(9))
    real = farm_give._Giver._file

    def second(self: object, *args: object) -> None:
        if next(number):
            raise KeyboardInterrupt
        real(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(farm_give._Giver, "_file", second)
        with pytest.raises(KeyboardInterrupt):
            fill(machine, folder)
    assert len(there(folder)) == 1
    with machine.engine() as engine:
        engine.recover()
    machine.undo()
    folder.rmdir()
    assert machine.census() == before
