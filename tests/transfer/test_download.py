"""Downloads by the real client into a cache, with what other roots have already."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.disk.directory import Directory
from hubfold.errors import HubRefused, NoSpace, UsageError
from hubfold.journal import journal
from hubfold.reports.transfers import DownloadReport
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, fine_tune_of, hub_cache, local_dir, model_files, safetensors

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
