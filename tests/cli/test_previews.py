"""A preview tells each path that goes or is replaced: held against what was there before, and what is there after."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, safetensors
from tests.building.program import Program

pytestmark = pytest.mark.slow

SHARED = safetensors("shared", 2 << 20)
#: Lists of links are hubfold's own, and written anew where a line leaves them.
OWN = re.compile(r"\.links$")


@dataclass
class Place:
    """Two models in a cache, both once more as local copies, and a farm."""

    hubfold: Program
    tree: Tree

    @property
    def hub(self) -> Path:
        return self.tree["hf/hub"]

    def repo(self, name: str) -> Path:
        return self.hub / f"models--org--{name}"

    def fold(self, *flags: str) -> None:
        assert self.hubfold("consolidate", "hf", "models", *flags, "-y").code == 0

    def census(self) -> dict[str, tuple[int, int]]:
        """Each path with its inode and the time of its birth, as far as there is one; folders end in a slash."""
        found = {}
        for top in ("hf", "models", "farm"):
            for folder, folders, names in os.walk(self.tree.folder / top):
                for name in [*names, *(f"{name}/" for name in folders), "./" if not found else ""]:
                    path = os.path.join(folder, name)
                    st = os.lstat(path)
                    found[path] = (st.st_ino, st.st_ctime_ns if os.path.islink(path) else 0)
        return found

    def held(self, *argv: str | Path, replaced: str = "", terminal: bool = False) -> dict[str, object]:
        """Run a command, and hold its preview against what came of it: in JSON, in a pipe, and on a `terminal`.

        `replaced` is the key of what it replaces.
        """
        before = self.census()
        preview = self.hubfold(*argv, "--dry-run", "--json").json
        texts = [self.hubfold(*argv, "--dry-run").out]
        if terminal:
            texts.append(self.hubfold.on_terminal(*argv, "--dry-run", "--full", columns=1000).out)
        assert self.census() == before, "a preview changes nothing"
        done = self.hubfold(*argv, "-y", "--json")
        assert done.code == 0, done
        self.judge(before, preview, texts, replaced)
        assert told(done.json) == told(preview), "what was done is told as it was shown"
        return preview  # type: ignore[no-any-return]

    def judge(
        self,
        before: dict[str, tuple[int, int]],
        preview: dict[str, object],
        texts: Sequence[str],
        replaced: str = "",
    ) -> None:
        after = self.census()
        gone = {path for path in before if path not in after}
        assert told(preview) == gone
        changed = {
            path
            for path, seen in before.items()
            if path in after and after[path] != seen and not path.endswith("/") and not OWN.search(path)
        }
        listed = set(paths(preview, replaced)) - gone if replaced else set()
        assert listed == changed
        for path in gone | changed:
            for text in texts:
                assert path in text, f"{path} is not in what is shown: {text}"


def paths(report: dict[str, object], *keys: str) -> Iterator[str]:
    for key in keys:
        for one in report.get(key, ()):  # type: ignore[attr-defined]
            yield one["path"]


def told(report: dict[str, object]) -> set[str]:
    """What a report says that goes."""
    files = [*paths(report, "removed", "vault_files")]
    return {
        *(path if not os.path.isdir(path) else f"{path}/" for path in files),
        *(f"{path}/" for path in paths(report, "folders")),
    }


@pytest.fixture
def place(hubfold: Program, loopback_hub: LoopbackHub) -> Place:
    for name in ("base", "chat"):
        files = {**model_files(name), "nested/deeper/tokenizer.safetensors": SHARED}
        loopback_hub.add(f"org/{name}", files)
    tree = Tree(hubfold.home, loopback_hub)
    tree.build(
        {
            "hf/hub": hub_cache("org/base", "org/chat"),
            "models/base": local_dir("org/base"),
            "models/chat": local_dir("org/chat"),
        }
    )
    hubfold("roots", "add", "models")
    hubfold("scan")
    return Place(hubfold, tree)


def test_a_model(place: Place) -> None:
    preview = place.held("rm", "org/base", terminal=True)
    assert f"{place.repo('base')}/" in told(preview)


@pytest.mark.parametrize("undone", [False, True])
def test_a_model_that_was_folded(place: Place, undone: bool) -> None:
    """Once undone, its objects go with it, and once there are none, the vault."""
    place.fold("--link", "symlink")
    if undone:
        assert place.hubfold("undo", "-y").code == 0
    for name in ("base", "chat"):
        place.held("rm", f"org/{name}")
    assert place.tree["hf/hubfold"].exists() is not undone


def test_a_model_with_its_links_and_copies(place: Place) -> None:
    place.fold("--link", "symlink")
    place.held("rm", "org/base", "--with-links")
    place.held("rm", "org/chat", "--with-copies")


def test_a_revision(place: Place, loopback_hub: LoopbackHub) -> None:
    old = next((place.repo("base") / "snapshots").iterdir()).name
    files = {**model_files("base"), "config.json": b'{"model_type": "newer"}', "more/new.bin": b"n" * 9}
    loopback_hub.add("org/base", files)
    place.tree.build({"hf/hub": hub_cache("org/base")})
    place.held("rm", "org/base", "--revision", old)


def test_files_of_a_model_and_of_a_local_copy(place: Place) -> None:
    place.held("rm", "org/base", "tokenizer/*")
    place.held("rm", place.tree["models/base"], "nested/*", "README.md", terminal=True)
    place.held("rm", "org/chat", "*.safetensors", "--with-copies")


@pytest.mark.parametrize("mine", [False, True])
def test_a_local_copy(place: Place, mine: bool) -> None:
    """What the user put there, and the folders on its way, stay, and are not told."""
    if mine:
        (place.tree["models/base"] / "nested" / "notes.txt").write_text("mine")
    preview = place.held("rm", place.tree["models/base"])
    assert (f"{place.tree['models/base']}/" in told(preview)) is not mine


def test_a_local_copy_that_is_in_no_root(place: Place) -> None:
    assert place.hubfold("roots", "rm", "models").code == 0
    place.held("rm", place.tree["models/base"])
    assert not list(place.tree["models/base"].glob("*.safetensors"))


def test_what_was_left_behind(place: Place) -> None:
    then = time.time() - 2 * 24 * 3600
    for number in range(6):
        left = place.repo("base") / "blobs" / f"{number}{'a' * 63}.incomplete"
        left.write_bytes(b"x")
        os.utime(left, (then, then))
    empty = place.repo("nothing")
    for name in ("blobs", "refs", "snapshots"):
        (empty / name).mkdir(parents=True)
    for found in (empty, *empty.iterdir()):
        os.utime(found, (then, then))
    place.held("clean")
    assert not empty.exists()


def test_old_revisions_and_locks(place: Place) -> None:
    for ref in (place.repo("base") / "refs").iterdir():
        ref.unlink()
    place.held("clean", "--old-revisions", "--older-than", "0", terminal=True)
    assert not (place.repo("base") / "blobs").exists()


def test_a_whole_cache(place: Place) -> None:
    place.fold("--link", "symlink")
    assert place.hubfold("undo", "-y").code == 0
    (place.repo("chat") / "notes.txt").write_text("mine")
    place.held("clean", "--all", place.hub)
    assert (place.repo("chat") / "notes.txt").exists() and not place.repo("base").exists()


def test_dangling_links(place: Place) -> None:
    place.fold("--link", "symlink")
    for object_ in place.tree["hf/hubfold/objects"].rglob("*"):
        if object_.is_file() and object_.suffix != ".links":
            object_.unlink()
    place.held("clean")


@pytest.mark.parametrize("all_of_it", [False, True])
def test_vault_objects(place: Place, all_of_it: bool) -> None:
    place.fold("--link", "symlink")
    if all_of_it:
        assert place.hubfold("undo", "-y").code == 0
    else:
        os.unlink(place.tree["models/base/model.safetensors"])
    preview = place.held("gc")
    assert preview["removed"] and place.tree["hf/hubfold"].exists() is not all_of_it
    place.held("gc")


def test_what_a_machine_noted(place: Place) -> None:
    place.fold("--link", "symlink")
    for list_ in place.tree["hf/hubfold"].rglob("*.links"):
        list_.write_text(re.sub(r'"host": "[^"]*"', '"host": "laptop"', list_.read_text()))
        list_.write_text(re.sub(r'"machine": "[^"]*"', '"machine": "abc"', list_.read_text()))
    assert place.hubfold("undo", "-y").code == 0
    place.held("gc", "--forget-machine", "laptop", terminal=True)
    assert not place.tree["hf/hubfold"].exists()


def test_folding_and_taking_back(place: Place) -> None:
    before = place.census()
    preview = place.hubfold("consolidate", "hf", "models", "--dry-run", "--json").json
    shown = place.hubfold("consolidate", "hf", "models", "--dry-run").out
    assert place.census() == before
    place.fold()
    place.judge(before, preview, [shown], "actions")
    place.held("undo", replaced="restored", terminal=True)


@pytest.mark.parametrize("mine", [False, True])
def test_taking_a_farm_back(place: Place, mine: bool) -> None:
    place.fold("--link", "hardlink")
    assert place.hubfold("farm", "farm").code == 0
    (place.tree["farm"] / "org" / "empty").mkdir()
    if mine:
        (place.tree["farm"] / "org" / "base" / "notes.txt").write_text("mine")
    place.held("undo", replaced="restored")
    assert place.tree["farm"].exists() is mine


def test_a_farms_links_that_lead_nowhere(place: Place) -> None:
    place.fold("--link", "hardlink")
    assert place.hubfold("farm", "farm").code == 0
    for link in place.tree["farm/org/base"].rglob("*"):
        if link.is_symlink():
            os.unlink(link.resolve())
    place.hubfold("rm", "org/base", "-y")
    preview = place.held("farm", "farm", terminal=True)
    assert preview["removed"]


def test_what_a_repair_replaces(place: Place) -> None:
    place.fold("--link", "symlink")
    kept = place.tree["models/other.safetensors"]
    kept.write_bytes(place.tree["models/base/model.safetensors"].read_bytes())
    place.hubfold("scan", "models")
    through = place.tree["models/base/model.safetensors"]
    through.chmod(0o644)
    with through.open("r+b") as file:
        file.write(b"trained")
    before = place.census()
    findings = place.hubfold("doctor", "--json").json["findings"]
    shown = place.hubfold("doctor", "--fix").out
    assert place.census() == before
    done = place.hubfold("doctor", "--fix", "-y", "--json")
    assert any(finding["fixed"] for finding in done.json["findings"]), done
    replaces = [one for finding in findings for one in finding["replaces"]]
    assert len(replaces) > 1
    place.judge(before, {"replaces": replaces}, [shown], "replaces")


def test_links_whose_vault_moved(place: Place) -> None:
    place.fold("--link", "symlink")
    os.makedirs(place.tree["hf"] / "there")
    os.rename(place.hub, place.tree["hf/there/hub"])
    os.rename(place.tree["hf/hubfold"], place.tree["hf/there/hubfold"])
    place.hubfold.environ["HF_HUB_CACHE"] = str(place.tree["hf/there/hub"])
    place.hubfold("scan", "hf", "models")
    before = place.census()
    findings = place.hubfold("doctor", "--json").json["findings"]
    piped = place.hubfold("doctor", "--fix").out
    on_terminal = place.hubfold.on_terminal(
        "doctor", "--fix", "--full", columns=1000, answers=[("[y/N]", "n\n")]
    )
    assert place.hubfold("doctor", "--fix", "-y").code == 0
    replaces = [one for finding in findings for one in finding["replaces"]]
    assert len(replaces) > 3, "more than a terminal is told at once"
    place.judge(before, {"replaces": replaces}, [piped, on_terminal.out], "replaces")
    place.held("undo", replaced="restored")


def test_a_terminal_gets_a_handful_and_how_to_see_the_rest(place: Place) -> None:
    told = place.hubfold("rm", "org/base", "--dry-run", "--json").json
    number = len([*paths(told, "removed", "folders")])
    shown = place.hubfold.on_terminal("rm", "org/base", "--dry-run", columns=1000).out
    assert f"what goes, {number} paths:" in shown
    assert f"  and {number - 3} more (--full lists them)" in shown
