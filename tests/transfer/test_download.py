"""Downloads by the real client into a cache, with what other roots have already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.disk.directory import Directory
from hubfold.errors import HubAway, HubRefused, NoSpace, UsageError
from hubfold.journal import journal
from hubfold.reports.transfers import DownloadReport
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, fine_tune_of, hub_cache, local_dir, model_files, safetensors
from hubfold.transfer.hub import Hub
from tests.building.library import configure

MIB = 1 << 20
BASE = safetensors("base")


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Engine:
    tree["hf"].mkdir()
    environ = {
        "HF_HUB_CACHE": str(tree["hf/hub"]),
        "HF_ENDPOINT": loopback_hub.endpoint,
        "HOME": str(tree.folder),
    }
    return Engine(tree.folder / "state", environ=environ)


@pytest.fixture(autouse=True)
def no_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def download(engine: Engine, *models: str, share: bool = True, to: Path | None = None) -> DownloadReport:
    return engine.download(replace(engine.plan_download(models), share=share), to=to)


def big_downloads(hub: LoopbackHub) -> list[str]:
    return sorted(f"{hit.repo_id}/{hit.filename}" for hit in hub.downloads(MIB))


def offline(tree: Tree, repo_id: str) -> Path:
    return Path(snapshot_download(repo_id, cache_dir=tree["hf/hub"], local_files_only=True))


def test_nothing_is_here_so_all_is_fetched(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    report = download(engine, "org/base")
    assert report.models[0].path == str(offline(tree, "org/base"))
    assert report.models[0].fetch_bytes == sum(file.size for file in loopback_hub.files("org/base").values())
    assert not report.reused and report.run is None
    assert big_downloads(loopback_hub) == ["org/base/model.safetensors"]
    loopback_hub.forget_hits()
    again = download(engine, "org/base")
    assert again.models[0].fetch_bytes == 0
    assert not loopback_hub.downloads()


def test_content_of_another_model_is_linked(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    loopback_hub.add("me/copy", {**model_files("base"), "extra.bin": safetensors("extra", 2 * MIB)})
    loopback_hub.forget_hits()
    plan = engine.plan_download(["me/copy"])
    assert not plan.shared_files
    report = engine.download(plan)
    assert [(item.how, item.bytes) for item in report.reused] == [("hardlink", 3 * MIB)]
    assert big_downloads(loopback_hub) == ["me/copy/extra.bin"]
    one, two = offline(tree, "org/base"), offline(tree, "me/copy")
    assert os.path.samefile(one / "model.safetensors", two / "model.safetensors")
    assert (two / "model.safetensors").read_bytes() == BASE
    path = hf_hub_download("me/copy", "model.safetensors", cache_dir=tree["hf/hub"], local_files_only=True)
    assert Path(path).read_bytes() == BASE
    found = scan_cache_dir(tree["hf/hub"])
    assert sorted(repo.repo_id for repo in found.repos) == ["me/copy", "org/base"]
    assert not found.warnings
    # The other one goes, and this one stays whole.
    engine.remove(["org/base"])
    assert (offline(tree, "me/copy") / "model.safetensors").read_bytes() == BASE


@pytest.mark.parametrize("share", [True, False])
def test_a_local_copy_is_linked_if_the_user_agrees(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, share: bool
) -> None:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"models/base": local_dir("org/base")})
    engine.scan([tree["models/base"]])
    loopback_hub.forget_hits()
    local = tree["models/base"] / "model.safetensors"
    before = local.stat()
    assert engine.plan_download(["org/base"]).shared_files == [str(local)]
    report = download(engine, "org/base", share=share)
    assert not big_downloads(loopback_hub)
    blob = (offline(tree, "org/base") / "model.safetensors").resolve()
    assert os.path.samefile(blob, local) is share
    assert [item.how for item in report.reused] == ["hardlink" if share else "copy"]
    assert local.stat().st_mtime_ns == before.st_mtime_ns
    assert bool(local.stat().st_mode & 0o222) is not share
    # The client goes on believing its own copy.
    loopback_hub.forget_hits()
    tree.sync("models/base")
    assert not big_downloads(loopback_hub)
    assert local.read_bytes() == BASE


def test_a_plain_copy_of_no_known_origin_is_found_by_its_bytes(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    tree.build({"plain/a-copy.bin": BASE, "plain/tuned.bin": fine_tune_of(BASE)})
    loopback_hub.add("org/base", model_files("base"))
    engine.scan([tree["plain"]], min_size=1 << 60)
    report = download(engine, "org/base", share=False)
    assert [item.source for item in report.reused] == [str(tree["plain/a-copy.bin"])]
    assert report.models[0].fetch_bytes < MIB
    assert not big_downloads(loopback_hub)
    assert (offline(tree, "org/base") / "model.safetensors").read_bytes() == BASE
    assert (tree["plain/a-copy.bin"].stat().st_mode & 0o200) != 0


def test_a_repository_behind_a_link_is_filled_where_it_lies(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    """What a crash would leave there is named by a path that recovery can go without following a link."""
    tree.build({"plain/a-copy.bin": BASE})
    loopback_hub.add("org/base", model_files("base"))
    (tree["large"] / "base/blobs").mkdir(parents=True)
    tree["hf/hub"].mkdir(parents=True, exist_ok=True)
    (tree["hf/hub"] / "models--org--base").symlink_to(tree["large"] / "base")
    engine.scan([tree["plain"]], min_size=1 << 60)
    report = download(engine, "org/base", share=False)
    assert [item.source for item in report.reused] == [str(tree["plain/a-copy.bin"])]
    assert (offline(tree, "org/base") / "model.safetensors").read_bytes() == BASE
    announced = [item for log in journal.logs(engine.state.runs) for item in log.temporaries]
    assert announced
    for item in announced:
        directory, _ = Directory.parent_of(item.root, item.temporary)
        directory.close()


def test_a_name_that_lies_is_told_and_the_file_is_fetched(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    blob = (offline(tree, "org/base") / "model.safetensors").resolve()
    blob.write_bytes(fine_tune_of(BASE))
    loopback_hub.add("me/copy", model_files("base"))
    loopback_hub.forget_hits()
    report = download(engine, "me/copy")
    assert [failure.path for failure in report.failed] == [str(blob)]
    assert "not the" in report.failed[0].error
    assert big_downloads(loopback_hub) == ["me/copy/model.safetensors"]
    assert report.models[0].fetch_bytes >= 3 * MIB
    assert (offline(tree, "me/copy") / "model.safetensors").read_bytes() == BASE
    assert not os.path.samefile(blob, (offline(tree, "me/copy") / "model.safetensors"))


@pytest.mark.slow
def test_to_gives_the_folder_of_links(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    loopback_hub.add("org/chat", model_files("chat"))
    report = download(engine, "org/base", to=tree["mine"])
    assert (tree["mine"] / "model.safetensors").read_bytes() == BASE
    assert (tree["mine"] / "tokenizer/tokenizer.json").is_symlink()
    assert len(report.links) == 4
    download(engine, "org/base", "org/chat", to=tree["all"])
    assert (tree["all"] / "org/chat/model.safetensors").read_bytes() == safetensors("chat")
    # The links outlive the model, as those of `farm` do.
    engine.remove(["org/base"])
    assert (tree["mine"] / "model.safetensors").read_bytes() == BASE


def test_into_another_cache(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    plan = engine.plan_download(["org/base"], into=tree["big/hub"])
    engine.download(plan, to=tree["mine"])
    assert snapshot_download("org/base", cache_dir=tree["big/hub"], local_files_only=True)
    assert (tree["mine"] / "model.safetensors").read_bytes() == BASE


def test_only_what_is_included(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    plan = engine.plan_download(["org/base"], include=["*.json"], exclude=["tokenizer/*"])
    report = engine.download(plan)
    assert report.models[0].path is not None
    assert os.listdir(report.models[0].path) == ["config.json"]
    assert not big_downloads(loopback_hub)
    with pytest.raises(UsageError, match="no file of org/base matches"):
        engine.plan_download(["org/base"], include=["*.gguf"])


def test_a_full_disk_is_refused_with_the_figures_before_anything(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback_hub.add("org/base", model_files("base"))
    usage = shutil.disk_usage(tree.folder)._replace(free=2 * MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    plan = engine.plan_download(["org/base"])
    with pytest.raises(NoSpace, match=r"2\.1M free, and this takes 3\.1M"):
        engine.download(plan)
    assert not big_downloads(loopback_hub)
    assert not tree["hf/hub"].exists()


def test_the_hub_says_no_in_its_own_words(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    loopback_hub.add("org/gated", model_files("gated"))
    loopback_hub.gated.add("org/gated")
    with pytest.raises(HubRefused, match="Repository Not Found"):
        engine.plan_download(["org/nope"])
    with pytest.raises(HubRefused, match="Revision Not Found"):
        engine.plan_download(["org/base"], "v9")
    with pytest.raises(HubRefused, match="Access to model org/gated is restricted") as gated:
        engine.plan_download(["org/gated"])
    assert "\n" not in str(gated.value)
    for name in ("../x", "a/b/c", "org/\x1b[2Jx"):
        with pytest.raises(UsageError):
            engine.plan_download([name])


def test_offline_gives_what_is_there_and_asks_nobody(tree: Tree, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    loopback_hub.forget_hits()
    environ = {
        "HF_HUB_CACHE": str(tree["hf/hub"]),
        "HF_ENDPOINT": loopback_hub.endpoint,
        "HF_HUB_OFFLINE": "1",
        "HOME": str(tree.folder),
    }
    engine = Engine(tree.folder / "state", environ=environ)
    report = download(engine, "org/base")
    assert report.models[0].path == str(offline(tree, "org/base"))
    with pytest.raises(HubRefused, match="Cannot find"):
        download(engine, "org/other")
    assert not loopback_hub.hits


def test_a_download_that_stopped_goes_on(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    files = {f"part-{number}.safetensors": safetensors(f"{number}", 2 * MIB) for number in range(4)}
    loopback_hub.add("org/big", files)
    plan = engine.plan_download(["org/big"], include=["part-0*", "part-1*"])
    engine.download(plan)
    loopback_hub.forget_hits()
    plan = engine.plan_download(["org/big"])
    assert plan.models[0].present_bytes == 4 * MIB
    assert engine.download(plan).models[0].fetch_bytes == 4 * MIB
    assert big_downloads(loopback_hub) == ["org/big/part-2.safetensors", "org/big/part-3.safetensors"]


# what lies there already and is damaged


def blob_of(tree: Tree, repo_id: str, name: str, cache: str = "hf/hub") -> Path:
    [file] = tree[f"{cache}/models--{repo_id.replace('/', '--')}/snapshots"].glob(f"*/{name}")
    return file.resolve()


def is_whole(tree: Tree, engine: Engine, files: dict[str, bytes], repo_id: str = "org/base") -> None:
    """Whole by `check`, loaded by the client, and right to the last byte."""
    assert engine.check([repo_id]).whole
    folder = Path(engine.model_path(repo_id))
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } == (files)


TEXT = b"a word\n" * 20_000
FILES = {**model_files("base"), "vocab.txt": TEXT}


def cut(blob: Path) -> None:
    os.truncate(blob, 100)


def lengthen(blob: Path) -> None:
    with blob.open("ab") as file:
        file.write(b"more")


def empty(blob: Path) -> None:
    os.truncate(blob, 0)


def remove(blob: Path) -> None:
    blob.unlink()


def lead_nowhere(blob: Path) -> None:
    blob.unlink()
    blob.symlink_to("nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, lengthen, empty, remove, lead_nowhere])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_is_got_anew(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, damage: Callable[[Path], None], name: str
) -> None:
    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    blob = blob_of(tree, "org/base", name)
    damage(blob)
    assert not engine.check(["org/base"]).whole
    report = download(engine, "org/base")
    assert not report.failed
    assert report.models[0].fetch_bytes == len(FILES[name])
    is_whole(tree, engine, FILES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "config.json"])
def test_a_file_that_was_read_and_found_corrupt_is_got_anew(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, name: str
) -> None:
    """One of few bytes is read in passing."""
    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    blob = blob_of(tree, "org/base", name)
    blob.chmod(0o644)
    blob.write_bytes(b"?" * blob.stat().st_size)
    if name != "config.json":
        assert engine.check(["org/base"]).whole, "nobody has read it yet"
        engine.scan(min_size=0)
        engine.verify()
    assert not engine.check(["org/base"]).whole
    assert not download(engine, "org/base").failed
    is_whole(tree, engine, FILES)


@pytest.mark.slow
def test_the_right_bytes_come_from_another_root_and_the_wrong_ones_are_kept(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", FILES)
    tree.build({"hf/hub": hub_cache("org/base"), "models/base": local_dir("org/base")})
    engine.add_root(tree["models"])
    blob = blob_of(tree, "org/base", "model.safetensors")
    cut(blob)
    short = blob.read_bytes()
    loopback_hub.forget_hits()
    report = download(engine, "org/base")
    assert not big_downloads(loopback_hub)
    assert report.models[0].fetch_bytes == 0
    is_whole(tree, engine, FILES)
    [kept] = tree["hf/hubfold/replaced"].iterdir()
    assert kept.read_bytes() == short


def test_nothing_is_written_through_to_what_others_read(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    """Somebody made a link of his own to the blob: what he reads there is his."""
    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    blob = blob_of(tree, "org/base", "model.safetensors")
    cut(blob)
    os.link(blob, tree.folder / "mine")
    before = (tree.folder / "mine").read_bytes()
    download(engine, "org/base")
    assert (tree.folder / "mine").read_bytes() == before
    is_whole(tree, engine, FILES)


@pytest.mark.slow
def test_a_plain_file_in_the_place_of_a_link_is_got_anew_too(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    [file] = tree["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    file.unlink()
    file.write_bytes(b"short")
    shutil.rmtree(tree["hf/hub/models--org--base/trees"])
    assert not engine.check(["org/base"]).whole
    assert not download(engine, "org/base").failed
    is_whole(tree, engine, FILES)


def test_what_cannot_be_put_right_is_no_success(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.errors import LeftAlone

    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    cut(blob_of(tree, "org/base", "model.safetensors"))

    def no_place(root: str) -> str:
        raise LeftAlone("there is no place for a vault")

    monkeypatch.setattr(engine.workspace, "vault_for", no_place)
    report = download(engine, "org/base")
    assert not report.models
    assert "no place for a vault" in report.failed[0].error
    assert "doctor --fix --download" in report.failed[-1].error
    assert not engine.check(["org/base"]).whole


def test_a_success_is_what_check_calls_one(tree: Tree, engine: Engine, loopback_hub: LoopbackHub) -> None:
    """What was asked for before is still wanted, and is gone."""
    loopback_hub.add("org/base", FILES)
    engine.download(engine.plan_download(["org/base"], include=["*.safetensors", "*.json"]))
    [link] = tree["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    blob_of(tree, "org/base", "model.safetensors").unlink()
    link.unlink()
    report = engine.download(engine.plan_download(["org/base"], include=["*.txt"]))
    assert (report.models, engine.check(["org/base"]).whole) == ((), False)
    assert "model.safetensors is not there" in report.failed[0].error


# where it goes


@pytest.mark.parametrize(
    "given", ["a cache", "a base folder", "an empty base folder", "from here", "from home"]
)
def test_a_cache_that_was_named_is_known_from_then_on(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    loopback_hub.add("org/base", FILES)
    loopback_hub.add("org/other", model_files("other", 10_000))
    into, cache = str(tree["big/hub"]), tree["big/hub"]
    if given == "a base folder":
        snapshot_download("org/other", cache_dir=cache, endpoint=loopback_hub.endpoint, token=False)
        into = str(tree["big"])
    elif given == "an empty base folder":
        cache.mkdir(parents=True)
        into = str(tree["big"])
    elif given == "from here":
        monkeypatch.chdir(tree.folder)
        into = "big/hub"
    elif given == "from home":
        monkeypatch.setenv("HOME", str(tree.folder))
        into = "~/big/hub"
    report = engine.download(engine.plan_download(["org/base"], into=into))
    assert not report.failed
    assert Path(report.models[0].path or "").parent.parent.parent == cache
    is_whole(tree, engine, FILES)
    assert str(cache) in [root.path for root in engine.roots()]
    with Engine(engine.state.home, environ=engine.workspace.environ) as other:
        assert other.model_path("org/base") == report.models[0].path
    assert snapshot_download("org/base", cache_dir=cache, local_files_only=True) == report.models[0].path


def test_a_cache_is_known_after_a_download_that_failed_too(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", FILES)
    plan = engine.plan_download(["org/base"], into=tree["big/hub"])
    snapshot_download(
        "org/base",
        cache_dir=tree["big/hub"],
        endpoint=loopback_hub.endpoint,
        token=False,
        allow_patterns=["*.json"],
    )
    loopback_hub.gated.add("org/base")
    shutil.rmtree(tree["big/hub/models--org--base/trees"])
    with pytest.raises(HubRefused):
        engine.download(plan)
    assert engine.check(["org/base"]).models[0].status == "incomplete"


# whom is asked


def test_a_commit_that_is_whole_is_asked_nobody_about(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    commit = loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    loopback_hub.forget_hits()
    report = engine.download(engine.plan_download(["org/base"], commit))
    assert not loopback_hub.hits
    assert report.models[0].path == str(offline(tree, "org/base"))
    cut(blob_of(tree, "org/base", "model.safetensors"))
    assert not engine.download(engine.plan_download(["org/base"], commit)).failed
    is_whole(tree, engine, FILES)


def test_a_hub_that_does_not_answer_costs_nothing_that_is_whole(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/base", FILES)
    download(engine, "org/base")
    environ = {**engine.workspace.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    with Engine(engine.state.home, environ=environ) as away:
        report = away.download(away.plan_download(["org/base"]))
        assert report.models[0].path == str(offline(tree, "org/base"))
        assert report.models[0].fetch_bytes == 0
        with pytest.raises(HubAway, match=r"the Hub at 127\.0\.0\.1:9 does not answer") as told:
            away.plan_download(["org/other"])
        assert "HF_ENDPOINT names it (http://127.0.0.1:9)" in told.value.hint
        cut(blob_of(tree, "org/base", "model.safetensors"))
        with pytest.raises(HubAway):
            away.plan_download(["org/base"])


def test_offline_what_is_damaged_is_no_success(tree: Tree, loopback_hub: LoopbackHub) -> None:
    loopback_hub.add("org/base", FILES)
    tree.build({"hf/hub": hub_cache("org/base")})
    cut(blob_of(tree, "org/base", "model.safetensors"))
    environ = {"HF_HUB_CACHE": str(tree["hf/hub"]), "HF_HUB_OFFLINE": "1", "HOME": str(tree.folder)}
    with Engine(tree.folder / "state", environ=environ) as engine:
        report = download(engine, "org/base")
    assert not report.models
    assert "has 100 bytes" in report.failed[0].error


@pytest.mark.slow
def test_the_configured_models_that_are_not_whole(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    for name in ("whole", "short", "new"):
        loopback_hub.add(f"org/{name}", model_files(name, 2 * MIB))
    configure(engine, '[models]\na = "org/whole"\nb = "org/short"\nc = "org/new"\n')
    download(engine, "org/whole", "org/short")
    assert engine.missing_models() == ("c",)
    cut(blob_of(tree, "org/short", "model.safetensors"))
    assert engine.missing_models() == ("b", "c")
    loopback_hub.forget_hits()
    assert not download(engine, *engine.missing_models()).failed
    assert {hit.repo_id for hit in loopback_hub.hits} == {"org/short", "org/new"}
    assert engine.missing_models() == ()


@pytest.mark.parametrize(("resumes", "lost"), [(False, 4096), (True, 0)])
def test_what_an_earlier_attempt_left_and_the_client_begins_anew_is_told(
    tree: Tree,
    engine: Engine,
    loopback_hub: LoopbackHub,
    monkeypatch: pytest.MonkeyPatch,
    resumes: bool,
    lost: int,
) -> None:
    """It is too little to go on with."""
    loopback_hub.add("org/base", model_files("base"))
    tree.build({"hf/hub": hub_cache("org/base")})
    blob = blob_of(tree, "org/base", "model.safetensors")
    partial = blob.with_name(f"{blob.name}.1234abcd.incomplete")
    partial.write_bytes(blob.read_bytes()[:4096])
    monkeypatch.setattr(Hub, "resumes", resumes)
    assert engine.plan_download(["org/base"]).models[0].lost_bytes == 0, "nothing of it has to be fetched"
    next(tree["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")).unlink()
    blob.unlink()
    preview = engine.preview_download(engine.plan_download(["org/base"]))
    assert preview.models[0].lost_bytes == lost
    assert ("begun_anew_bytes" in preview.models[0].as_json()) is bool(lost)
    report = engine.download(engine.plan_download(["org/base"]))
    assert not report.failed and partial.exists(), "it is no success of this one, and `clean` knows it"
