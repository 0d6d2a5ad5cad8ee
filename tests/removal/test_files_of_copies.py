"""`rm COPY FILE`: single files of a folder that the real client downloaded into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, HubfoldError, LinkKind, UsageError
from hubfold.disk.locks import passing_lock
from hubfold.reports.models import ModelPlace
from hubfold.testing.trees import Tree, hub_cache, link_to, local_dir, model_files, safetensors
from tests.building.clients import NEWEST, OLDER

SIZE = 2 << 20
FILES = {
    **model_files("base", SIZE),
    "pytorch_model.bin": safetensors("bin", SIZE),
    "sub/more.bin": safetensors("more", SIZE),
}
NOTES = ".cache/huggingface/download"


@pytest.fixture
def copy(tree: Tree) -> Path:
    tree.hub.add("org/base", FILES)
    tree.build({"hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    return tree["models/base"]


@pytest.fixture
def engine(tree: Tree, copy: Path) -> Iterator[Engine]:
    with Engine() as made:
        made.add_root(tree["hub"])
        made.add_root(tree["models"])
        yield made


def names(copy: Path) -> set[str]:
    return {
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*")
        if path.is_file() and not {".cache", ".huggingface"} & {*path.relative_to(copy).parts}
    }


def notes(copy: Path) -> dict[str, bytes]:
    top = copy / NOTES
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*.metadata")}


def judged(engine: Engine, copy: Path) -> ModelPlace:
    [model] = engine.library([copy.parent]).models
    [place] = model.places
    assert place.path == str(copy)
    return place


def missing(engine: Engine, copy: Path) -> dict[str, str]:
    [revision] = judged(engine, copy).revisions
    assert (revision.state == "whole") == (not revision.missing)
    return {file.name: file.reason for file in revision.missing}


def test_a_file_goes_and_nothing_else(copy: Path, engine: Engine, tree: Tree) -> None:
    noted = notes(copy)
    plan = engine.plan_remove([str(copy), "pytorch_model.bin"])
    preview = engine.preview_removal(plan)
    assert preview.removed == (str(copy / "pytorch_model.bin"),)
    assert [(one.kind, one.name) for one in preview.models] == [("files of", "org/base")]
    report = engine.apply_removal(plan)
    assert not report.failed and report.removed == preview.removed
    assert report.bytes == preview.bytes >= SIZE
    assert names(copy) == FILES.keys() - {"pytorch_model.bin"}
    assert notes(copy) == noted
    assert all(path.exists() for path in tree["hub"].rglob("pytorch_model.bin"))


def test_what_is_left_is_not_whole_and_the_client_completes_it(
    copy: Path, engine: Engine, tree: Tree
) -> None:
    engine.remove([str(copy), "sub/*"])
    assert missing(engine, copy) == {"sub/more.bin": "is not there"}
    tree.sync("models/base")
    assert (copy / "sub/more.bin").read_bytes() == FILES["sub/more.bin"]
    assert missing(engine, copy) == {}


@pytest.mark.clients
@pytest.mark.parametrize("release", (*OLDER, NEWEST))
def test_each_client_fetches_anew_what_went(copy: Path, engine: Engine, tree: Tree, release: str) -> None:
    """Of releases that write no listing too, `check` knows by the client's notes what is not there."""
    if release != NEWEST:
        tree.python = os.path.join(os.environ["HUBFOLD_TEST_CLIENTS"], release, "bin", "python")
    other = tree["models/other"]
    tree.build({"models/other": local_dir("org/base")})
    engine.remove([str(other), "pytorch_model.bin", "README.md"])
    place = next(
        place
        for model in engine.library([tree["models"]]).models
        for place in model.places
        if place.path == str(other)
    )
    assert {file.name for file in place.revisions[0].missing} == {"pytorch_model.bin", "README.md"}
    tree.sync("models/other")
    assert {name: (other / name).read_bytes() for name in names(other)} == FILES
    # Once more, where no cache has the bytes: they come from the Hub.
    engine.remove(["org/base", "pytorch_model.bin"])
    engine.remove([str(other), "pytorch_model.bin"])
    tree.sync("models/other")
    assert (other / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]


@pytest.mark.slow
def test_what_config_leaves_out_may_go_and_the_copy_is_whole(copy: Path, engine: Engine) -> None:
    Path(engine.state.config).parent.mkdir(exist_ok=True)
    Path(engine.state.config).write_text('[models.base]\nrepo = "org/base"\nexclude = ["*.bin"]\n')
    with Engine() as again:
        again.remove(["org/base", "config.json"])
        again.remove([str(copy), "*.bin"])
        [checked] = again.check(anywhere=True).models
        assert (checked.status, checked.path) == ("cached", str(copy))
        again.remove([str(copy), "tokenizer/*"])
        assert again.check(anywhere=True).models[0].status == "incomplete"


def test_by_the_name_of_the_model_copies_lose_files_only_when_asked_to(
    copy: Path, engine: Engine, tree: Tree
) -> None:
    plan = engine.plan_remove(["org/base", "pytorch_model.bin"])
    assert [left.path for left in plan.left] == [str(copy)] and "--with-copies" in plan.left[0].reason
    report = engine.apply_removal(engine.plan_remove(["org/base", "pytorch_model.bin"], with_copies=True))
    assert str(copy / "pytorch_model.bin") in report.removed and len(report.removed) == 3
    assert "pytorch_model.bin" not in names(copy)
    # Only the copy has it now, and the caches have not lost what else they have.
    with pytest.raises(HubfoldError, match="no cache holds such a file"):
        engine.plan_remove(["org/base", "pytorch_model.bin"])


def test_what_was_changed_stays(copy: Path, engine: Engine) -> None:
    (copy / "config.json").write_bytes(b"mine")
    os.utime(copy / "config.json", (2_000_000_000, 2_000_000_000))
    with pytest.raises(HubfoldError, match="was changed since it was downloaded"):
        engine.plan_remove([str(copy), "config.json"])
    report = engine.remove([str(copy), "config.json", "README.md"])
    assert [left.path for left in report.left] == [str(copy / "config.json")]
    assert (copy / "config.json").read_bytes() == b"mine" and "README.md" not in names(copy)


def test_what_changes_between_preview_and_removal_stays(copy: Path, engine: Engine) -> None:
    plan = engine.plan_remove([str(copy), "*.bin"])
    (copy / "pytorch_model.bin").write_bytes(b"other")
    report = engine.apply_removal(plan)
    assert [failed.path for failed in report.failed] == [str(copy / "pytorch_model.bin")]
    assert (copy / "pytorch_model.bin").read_bytes() == b"other"


def test_while_a_client_downloads_the_file_it_stays(copy: Path, engine: Engine) -> None:
    plan = engine.plan_remove([str(copy), "pytorch_model.bin"])
    with passing_lock(str(copy / NOTES / "pytorch_model.bin.lock"), str(copy)):
        report = engine.apply_removal(plan)
    assert report.failed and not report.removed
    assert names(copy) == FILES.keys()


@pytest.mark.parametrize("to", ["pytorch_model.bin", ""])
def test_what_a_link_elsewhere_leads_to_stays(copy: Path, engine: Engine, tree: Tree, to: str) -> None:
    tree["mine"].mkdir()
    tree.build({"mine/link": link_to(str(copy / to).rstrip("/"))})
    engine.add_root(tree["mine"])
    with pytest.raises(HubfoldError, match="mine/link needs this revision"):
        engine.plan_remove([str(copy), "pytorch_model.bin"])
    assert names(copy) == FILES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", [LinkKind.HARDLINK, LinkKind.SYMLINK])
def test_a_folded_file_goes_and_every_other_name_reads_its_bytes(
    copy: Path, engine: Engine, tree: Tree, kind: LinkKind, cached: bool
) -> None:
    if not cached:
        engine.remove(["org/base"])
    tree.build({"models/twin.bin": FILES["pytorch_model.bin"]})
    engine.scan()
    engine.apply(engine.plan(link=kind))
    readers = [*tree["hub"].rglob("pytorch_model.bin"), tree["models/twin.bin"]]
    assert all(path.read_bytes() == FILES["pytorch_model.bin"] for path in readers)
    report = engine.remove([str(copy), "pytorch_model.bin"])
    assert not report.failed and "pytorch_model.bin" not in names(copy)
    assert report.bytes < SIZE
    assert all(path.read_bytes() == FILES["pytorch_model.bin"] for path in readers)
    assert not engine.gc().failed
    assert all(path.read_bytes() == FILES["pytorch_model.bin"] for path in readers)


def test_the_last_name_of_a_content_is_told(copy: Path, engine: Engine) -> None:
    engine.scan()
    engine.remove(["org/base"])
    preview = engine.preview_removal(engine.plan_remove([str(copy), "pytorch_model.bin"]))
    assert preview.last_copies == (str(copy / "pytorch_model.bin"),)


def test_a_copy_of_which_nobody_knows_the_name(copy: Path, engine: Engine) -> None:
    engine.remove(["org/base"])
    preview = engine.preview_removal(engine.plan_remove([str(copy), "*.bin"]))
    assert [one.name for one in preview.models] == [str(copy)]
    assert len(preview.removed) == 2
    engine.apply_removal(engine.plan_remove([str(copy), "*.bin"]))
    assert names(copy) == FILES.keys() - {"pytorch_model.bin", "sub/more.bin"}
    with pytest.raises(HubfoldError, match="has no such file"):
        engine.plan_remove([str(copy), "*.bin"])


def test_a_word_that_is_no_file_of_the_copy_takes_nothing(copy: Path, engine: Engine) -> None:
    with pytest.raises(HubfoldError, match=f"called 'pytorch_modle.bin', and {copy} has no such file"):
        engine.plan_remove([str(copy), "pytorch_modle.bin"])
    with pytest.raises(HubfoldError):
        engine.plan_remove([str(copy), "pytorch_model.bin", "pytorch_modle.bin"])
    with pytest.raises(UsageError, match="take no links"):
        engine.plan_remove([str(copy), "pytorch_model.bin"], with_links=True)
    assert names(copy) == FILES.keys()
