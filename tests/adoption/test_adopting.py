"""A folder made a model of the cache: the client loads it offline by its name, and the folder reads what it read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.errors import HubfoldError, NoSpace, RootError, UsageError
from tests.adoption.folders import (
    COMMIT,
    FILES,
    bytes_below,
    clone,
    download,
    engine_in,
    etag_of,
    of_sentences,
    of_transformers,
    plain,
)
from tests.building.tree import cache as hub_cache
from tests.building.tree import model, write


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def engine(place: Path) -> Iterator[Engine]:
    with engine_in(place) as made:
        yield made


def hub(place: Path) -> Path:
    return place / "hf/hub"


def loaded(place: Path, repo: str, revision: str | None = None) -> dict[str, bytes]:
    folder = snapshot_download(repo, revision=revision, cache_dir=hub(place), local_files_only=True)
    return bytes_below(Path(folder))


def test_a_download_is_found_by_its_name(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    report = engine.adopt(engine.plan_adopt(folder, "org/base"))
    assert not report.failed
    assert loaded(place, "org/base") == FILES
    assert {name: data for name, data in bytes_below(folder).items() if not name.startswith(".")} == FILES
    blobs = hub(place) / "models--org--base/blobs"
    assert {path.name for path in blobs.iterdir()} == {etag_of(name, data) for name, data in FILES.items()}
    found = scan_cache_dir(hub(place))
    assert [repo.repo_id for repo in found.repos] == ["org/base"]
    assert not found.warnings
    assert engine.check(["org/base"]).models[0].status == "cached"


def test_large_files_are_shared_and_small_ones_stay_the_users(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    plan = engine.plan_adopt(folder, "org/base")
    weights = folder / "model.safetensors"
    assert engine.preview_adopt(plan).read_only == (str(weights),)
    engine.adopt(plan)
    blob = hub(place) / "models--org--base/blobs" / etag_of("model.safetensors", FILES["model.safetensors"])
    assert blob.samefile(weights)
    assert weights.stat().st_mode & 0o777 == 0o444
    assert (folder / "config.json").stat().st_nlink == 1
    assert (folder / "config.json").stat().st_mode & 0o200


def test_undo_leaves_all_as_it_was(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    before = bytes_below(folder), (folder / "model.safetensors").stat().st_mode
    report = engine.adopt(engine.plan_adopt(folder, "org/base"))
    preview = engine.preview_undo()
    assert set(preview.removed) == set(report.made)
    undone = engine.undo()
    assert not undone.left and not undone.failed
    assert set(undone.removed) == set(report.made)
    assert (bytes_below(folder), (folder / "model.safetensors").stat().st_mode) == before
    assert [path for path in hub(place).rglob("*") if path.name != ".locks"] == []
    assert engine.runs()[0].state == "undone"


def test_undo_keeps_what_becomes_the_last_copy_while_the_other_is_made_durable(
    place: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = download(place / "base")
    engine.adopt(engine.plan_adopt(folder, "org/base"))
    config, real = folder / "config.json", os.fsync
    blob = hub(place) / "models--org--base/blobs" / etag_of("config.json", FILES["config.json"])
    inode, seen = config.stat().st_ino, 0

    def slow(fd: int) -> None:
        nonlocal seen
        real(fd)
        seen += os.fstat(fd).st_ino == inode
        if seen == 2:  # the first time is for what the run takes back as a whole
            config.unlink(missing_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", slow)
        undone = engine.undo()
    assert not config.exists()
    assert [left.path for left in undone.left] == [str(blob)]
    assert blob.read_bytes() == FILES["config.json"]


def test_undo_keeps_what_is_the_last_copy(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    engine.adopt(engine.plan_adopt(folder, "org/base"))
    (folder / "model.safetensors").unlink()
    config = folder / "config.json"
    config.write_bytes(b"edited since")
    undone = engine.undo()
    kept = {Path(left.path).name for left in undone.left}
    assert kept == {etag_of(name, FILES[name]) for name in ("model.safetensors", "config.json")}
    assert not undone.removed
    assert loaded(place, "org/base") == FILES


def test_a_second_time_there_is_nothing_to_do(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    engine.adopt(engine.plan_adopt(folder, "org/base"))
    assert engine.preview_adopt(engine.plan_adopt(folder, "org/base")).made == ()


def test_what_no_one_says_is_asked_for(place: Path, engine: Engine) -> None:
    with pytest.raises(UsageError, match="which model") as raised:
        engine.plan_adopt(download(place / "base"))
    assert f"hubfold adopt {place}/base --repo ORG/NAME" in raised.value.hint
    with pytest.raises(UsageError, match="which revision of org/copied") as raised:
        engine.plan_adopt(plain(place / "copied"), "org/copied")
    assert "--repo org/copied --revision" in raised.value.hint


def test_a_cache_that_has_the_commit_says_which_model_it_is(place: Path, engine: Engine) -> None:
    hub_cache(
        str(place / "other/hub"), "org/known", {"model.safetensors": FILES["model.safetensors"]}, COMMIT
    )
    engine.add_root(place / "other/hub")
    plan = engine.plan_adopt(download(place / "base"))
    assert (plan.offer.repo_id, plan.offer.revision) == ("org/known", COMMIT)


def test_a_cache_with_the_same_files_says_which_revision_it_is(place: Path, engine: Engine) -> None:
    hub_cache(
        str(place / "other/hub"), "org/known", {"model.safetensors": FILES["model.safetensors"]}, COMMIT
    )
    engine.add_root(place / "other/hub")
    report = engine.adopt(engine.plan_adopt(plain(place / "copied")))
    assert (report.model, report.commit) == ("org/known", COMMIT)
    assert loaded(place, "org/known")["model.safetensors"] == FILES["model.safetensors"]
    changed = plain(place / "changed", {"model.safetensors": model("another")})
    with pytest.raises(UsageError, match="which model"):
        engine.plan_adopt(changed)
    with pytest.raises(HubfoldError, match="is not what org/known"):
        engine.plan_adopt(changed, "org/known", COMMIT)


def test_a_plain_copy_is_taken_by_the_users_word(place: Path, engine: Engine) -> None:
    report = engine.adopt(engine.plan_adopt(plain(place / "copied"), "org/copied", COMMIT))
    assert report.told_by == "your word"
    assert loaded(place, "org/copied") == FILES


def test_a_clone_says_all_of_it(place: Path, engine: Engine) -> None:
    commit = clone(place / "cloned")
    report = engine.adopt(engine.plan_adopt(place / "cloned"))
    assert (report.model, report.commit, report.failed) == ("org/cloned", commit, ())
    assert loaded(place, "org/cloned") == FILES
    blobs = hub(place) / "models--org--cloned/blobs"
    assert {path.name for path in blobs.iterdir()} == {etag_of(name, data) for name, data in FILES.items()}


def test_a_clone_without_its_files_is_adopted_without_them(place: Path, engine: Engine) -> None:
    clone(place / "cloned", {**FILES, "big.safetensors": model("big")})
    pointer = place / "cloned/big.safetensors"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n")
    report = engine.preview_adopt(engine.plan_adopt(place / "cloned"))
    assert report.missing == ("big.safetensors",)
    assert all("big" not in path for path in report.made)


def test_a_clone_of_another_host_is_no_model_by_itself(place: Path, engine: Engine) -> None:
    clone(place / "cloned", remote="https://example.com/org/cloned.git")
    with pytest.raises(UsageError, match="which model"):
        engine.plan_adopt(place / "cloned")


@pytest.mark.parametrize("make", [download, clone])
def test_what_was_edited_is_not_adopted_under_its_commit(place: Path, engine: Engine, make: object) -> None:
    make(place / "base")  # type: ignore[operator]
    (place / "base/config.json").write_bytes(b'{"model_type": "gpt"}\n')
    repo = "org/base" if make is download else None
    with pytest.raises(HubfoldError, match=r"config.json was edited since it came"):
        engine.plan_adopt(place / "base", repo)
    assert not hub(place).exists()


def test_two_words_that_contradict_each_other_are_told(place: Path, engine: Engine) -> None:
    clone(place / "cloned")
    with pytest.raises(HubfoldError, match="is org/cloned, by its clone"):
        engine.plan_adopt(place / "cloned", "org/other")
    with pytest.raises(HubfoldError, match="by its clone"):
        engine.plan_adopt(place / "cloned", revision="d" * 40)


def test_what_is_no_model_is_refused(place: Path, engine: Engine) -> None:
    (place / "empty").mkdir()
    with pytest.raises(HubfoldError, match="nothing that could be a model"):
        engine.plan_adopt(place / "empty", "org/x")
    with pytest.raises(RootError, match="is not there"):
        engine.plan_adopt(place / "nowhere", "org/x")
    download(place / "base")
    engine.adopt(engine.plan_adopt(place / "base", "org/base"))
    with pytest.raises(UsageError, match="lie in each other"):
        engine.plan_adopt(hub(place) / "models--org--base", "org/x")


def test_main_that_is_another_commit_stays(place: Path, engine: Engine) -> None:
    hub_cache(str(hub(place)), "org/base", {"model.safetensors": model("newer")}, "e" * 40)
    report = engine.adopt(engine.plan_adopt(download(place / "base"), "org/base"))
    assert "it is eeeeeeeeeeee there, and stays" in report.left[0].reason
    assert loaded(place, "org/base") == {"model.safetensors": model("newer")}
    assert loaded(place, "org/base", COMMIT) == FILES
    engine.undo()
    assert loaded(place, "org/base") == {"model.safetensors": model("newer")}


def test_a_model_of_sentence_transformers_says_all_of_it(place: Path, engine: Engine) -> None:
    folder = of_sentences(place / "sentence_transformers", "org/sentences")
    before = bytes_below(folder)
    report = engine.adopt(engine.plan_adopt(folder))
    assert (report.model, report.commit, report.failed) == ("org/sentences", COMMIT, ())
    assert loaded(place, "org/sentences") == FILES
    assert bytes_below(folder) == before


def test_models_of_earlier_transformers_are_told_apart(place: Path, engine: Engine) -> None:
    folder = of_transformers(place / "transformers", "org/bert")
    of_transformers(folder, "org/gpt", {"model.safetensors": model("gpt"), "config.json": b"{}"})
    with pytest.raises(UsageError, match="several models: org/bert, org/gpt") as raised:
        engine.plan_adopt(folder)
    assert raised.value.hint == f"say which: hubfold adopt {folder} --repo org/bert"
    with pytest.raises(UsageError, match="which revision of org/gpt"):
        engine.plan_adopt(folder, "org/gpt")  # an address with a branch tells no commit
    report = engine.adopt(engine.plan_adopt(folder, "org/bert", COMMIT))
    assert not report.failed
    assert loaded(place, "org/bert", COMMIT) == FILES


def test_a_file_that_an_earlier_client_has_changed_is_told(place: Path, engine: Engine) -> None:
    folder = of_sentences(place / "sentence_transformers", "org/sentences")
    (folder / "config.json").write_bytes(b"{}")
    with pytest.raises(HubfoldError, match=r"config.json was edited"):
        engine.plan_adopt(folder)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        '{"url": 1, "etag": 2}',
        '{"url": "https://h/o/n/resolve/main/../../x", "etag": "a"}',
        "{" * 5000,
    ],
)
def test_a_note_of_another_form_says_nothing(place: Path, engine: Engine, note: str) -> None:
    folder = plain(place / "copied", {"model.safetensors": FILES["model.safetensors"]})
    (folder / "model.safetensors.json").write_text(note)
    with pytest.raises(UsageError, match="which model"):
        engine.plan_adopt(folder)


@pytest.fixture
def drive(place: Path) -> Iterator[Path]:
    """A folder on another file system."""
    for top in ("/var/tmp", "/dev/shm", tempfile.gettempdir()):
        if os.path.isdir(top) and os.stat(top).st_dev != os.stat(place).st_dev:
            folder = Path(tempfile.mkdtemp(dir=top))
            yield folder
            shutil.rmtree(folder)
            return
    pytest.skip("there is one file system only")


def test_from_another_drive_the_cache_gets_a_copy_and_the_folder_links(
    place: Path, engine: Engine, drive: Path
) -> None:
    folder = download(drive / "base")
    report = engine.adopt(engine.plan_adopt(folder, "org/base"))
    assert not report.failed
    assert report.links == (str(folder / "model.safetensors"),)
    assert (folder / "model.safetensors").is_symlink()
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert loaded(place, "org/base") == FILES
    undone = engine.undo()
    assert not undone.left and not undone.failed
    assert not (folder / "model.safetensors").is_symlink()
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert not list(hub(place).glob("models--*"))
    assert engine.runs()[0].state == "undone"


def test_consolidate_into_a_cache_offers_what_no_cache_has(place: Path, engine: Engine) -> None:
    download(place / "models/one")
    download(place / "models/two")
    write(
        str(hub(place) / "models--org--base/refs/main"), COMMIT.encode()
    )  # the cache knows the commit, and no more
    engine.scan([place / "models", hub(place)])
    notes = engine.plan([place / "models"], into=hub(place)).notes
    assert f"org/base is in no cache: hubfold adopt {place}/models/one --into {hub(place)}" in notes
    assert not any("adopt" in note for note in engine.plan([place / "models"]).notes)


def test_a_caches_limit_is_kept(place: Path, engine: Engine) -> None:
    folder = download(place / "base")
    hub(place).mkdir(parents=True)
    for limit, fits in ((len(FILES["model.safetensors"]), False), (3 << 20, True)):
        engine.add_root(hub(place), backend="hub-cache", limit=limit)
        plan = engine.plan_adopt(folder, "org/base")
        if fits:
            assert not engine.adopt(plan).failed
        else:
            with pytest.raises(NoSpace, match=r"of the 1.1M that it may, and this takes 1.1M more"):
                engine.adopt(plan)
            assert list(hub(place).iterdir()) == []
