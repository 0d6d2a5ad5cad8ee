"""A plugin is at fault in one of its methods: every command goes on with the other roots, says so once, and exits 3."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubfold.backend import boundary
from hubfold.cli.app import run
from hubfold.cli.errors import FAILED, SOME_LEFT
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building import plugin
from tests.building.plugin import METHODS, Box, raising

FAULT = "plugin 'box' of hubfold-box 1.0 failed in "
SIZE = 2 << 20


class Scene:
    """A hub cache with org/base and org/other, a local copy of org/base, and a box with a model of its own."""

    def __init__(self, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
        self.tree = tree
        self.box = tree.folder / "box"
        self.weights = plugin.fill(self.box, content=b"b" * SIZE)
        (self.box / "begun.part").touch()
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, list[str]]:
        """(exit code, stdout, the lines of stderr that tell of the plugin)."""
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        self.err = said.err
        # `doctor` has it among its findings.
        lines = (said.out if arguments[:1] == ("doctor",) else said.err).splitlines()
        return code, said.out, [line for line in lines if "plugin 'box'" in line]

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments, "--json")[1])

    def asked(self, method: str) -> int:
        return sum(name == method for name, _ in Box.calls)

    def boxed(self) -> dict[str, bytes]:
        """All that is in the box."""
        return {str(path): path.read_bytes() for path in self.box.rglob("*") if path.is_file()}


@pytest.fixture
def scene(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Scene:
    for name in ("base", "other"):
        tree.hub.add(f"org/{name}", model_files(name, SIZE))
    tree.build({"hub": hub_cache("org/base", "org/other"), "models/base": local_dir("org/base")})
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hub"]))
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE")
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    plugin.install(tmp_path / "plugin", monkeypatch)
    made = Scene(tree, capsys)
    for root in (made.box, tree["models"]):
        assert made("roots", "add", root)[0] == 0
    assert made("scan")[0] == 0
    return made


#: Commands that change nothing, each with what tells that the other roots were looked at.
LOOKS: list[list[tuple[list[str], str]]] = [
    [
        (["ls"], "org/base"),
        (["ls", "org/other", "--revisions"], "org/other"),
        (["check", "org/base"], "cached"),
        (["path", "org/base"], "models--org--base"),
        (["watch", "--once", "--interval", "0.1"], "org/base"),
    ],
    [
        (["roots"], "hub-cache"),
        (["roots", "ls"], "hub-cache"),
        (["plugins"], "local-dir"),
        (["scan"], "hub-cache"),
        (["dupes"], "model.safetensors"),
        ([], "hub-cache"),
    ],
    [
        (["consolidate", "--dry-run"], "to replace"),
        (["rm", "org/base", "--dry-run"], "remove org/base"),
        (["clean", "--dry-run", "--older-than", "0"], "to reclaim"),
        (["gc", "--dry-run"], ""),
        (["verify"], ""),
    ],
    [
        (["farm", "{}/farm", "org/base", "--dry-run"], ""),
        (["backup", "{}/backup", "--dry-run"], "org/base"),
        (["download", "org/base", "--dry-run"], ""),
    ],
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands",
    [LOOKS[0], LOOKS[2], *(pytest.param(looks, marks=pytest.mark.slow) for looks in (LOOKS[1], LOOKS[3]))],
    ids=lambda commands: commands[0][0][0],
)
def test_a_look_goes_on_with_the_others_says_so_once_and_exits_3(
    scene: Scene, commands: list[tuple[list[str], str]]
) -> None:
    for command, shows in commands:
        arguments = [word.format(scene.tree.folder) for word in command]
        Box.calls.clear()
        code, out, told = scene(*arguments)
        assert (code, told) == (0, []), (arguments, scene.err)
        for method in {name for name, _ in Box.calls}:
            Box.faults = {method: raising(SystemExit(0))}
            code, out, told = scene(*arguments)
            assert shows in out, (arguments, method)
            assert (code, len(told)) == (SOME_LEFT, 1), (arguments, method, scene.err)
            assert FAULT + method in told[0]
        Box.faults = {}


#: What a contributor's own `pytest` tries; the slow tier tries each method.
DEAREST = ("replicas", "snapshots", "all_removals")


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=() if name in DEAREST else pytest.mark.slow)
        for name in METHODS
        if name not in ("recognise", "default_roots", "removals", "content_path", "partial_path")
    ],
)
def test_what_changes_something_changes_the_others_and_leaves_its_root(scene: Scene, method: str) -> None:
    """Twice the same bytes lie in the box, so that there is something to fold; one download was cut short there."""
    hub, models = scene.tree["hub"], scene.tree["models"]
    copy = models / "base" / "model.safetensors"
    (scene.box / "copy.safetensors").write_bytes(scene.weights.read_bytes())
    boxed = scene.boxed()
    Box.faults[method] = raising(RuntimeError("boom"))

    def does(*arguments: str | Path) -> None:
        Box.calls.clear()
        code, out, told = scene(*arguments)
        assert code in (0, SOME_LEFT), (arguments, out, scene.err)
        assert len(told) == bool(scene.asked(method)), (arguments, told)
        assert code == SOME_LEFT or not scene.asked(method), arguments

    does("consolidate", "-y")
    assert copy.samefile(next((hub / "models--org--base/snapshots").iterdir()) / "model.safetensors")
    does("undo", "-y")
    assert not copy.samefile(next((hub / "models--org--base/snapshots").iterdir()) / "model.safetensors")
    does("gc", "-y")
    does("doctor", "--fix", "-y")
    does("backup", scene.tree.folder / "backup", "org/base", "org/other")
    does("rm", "org/base", "-y")
    assert not (hub / "models--org--base").exists()
    assert copy.exists()
    does("restore", scene.tree.folder / "backup", "-y")
    assert (hub / "models--org--base").exists()
    does("download", "org/other")
    does("clean", "--older-than", "0", "-y")
    does("farm", scene.tree.folder / "farm", "org/base")
    assert (scene.tree.folder / "farm/org/base/config.json").exists()
    if method in ("snapshots", "lock_paths"):
        assert scene.boxed().items() >= boxed.items(), "what is left out is left alone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("default_roots", lambda: "/home/me/box"),
        ("default_roots", lambda: ["relative/box"]),
        ("default_roots", lambda: None),
        ("recognise", lambda: 3),
        ("recognise", lambda: "box"),
        ("replicas", lambda: None),
        ("replicas", lambda: ["/a/file"]),
        ("snapshots", lambda: None),
        ("snapshots", lambda: iter(["acme/boxed"])),
        ("vault_places", lambda: "/vault"),
    ],
)
def test_a_wrong_answer_is_a_fault_as_well(scene: Scene, method: str, answer: Callable[[], object]) -> None:
    Box.faults[method] = answer
    for command in (["scan"], ["ls"], ["path", "org/base"], ["roots"]):
        Box.calls.clear()
        code, out, told = scene(*command)
        assert "hub" in out or "org/base" in out
        assert (code, len(told)) == ((SOME_LEFT, 1) if scene.asked(method) else (0, 0)), told
    assert all(root["path"] != "/" for root in scene.json("roots")["roots"])


@pytest.mark.slow
def test_json_has_the_fault_where_it_has_warnings(scene: Scene) -> None:
    Box.faults["snapshots"] = raising(RuntimeError("boom"))
    for command in (["ls"], ["check", "org/base"], ["watch", "--once", "--interval", "0.1"]):
        [warning] = [one for one in scene.json(*command)["warnings"] if "plugin" in one["message"]]
        assert warning["path"] == str(scene.box)
        assert f"{FAULT}snapshots: RuntimeError: boom" in warning["message"]
    [finding] = [one for one in scene.json("doctor")["findings"] if one["kind"] == "faulty-plugin"]
    assert (finding["path"], finding["fixed"]) == (str(scene.box), False)
    Box.faults["replicas"] = raising(RuntimeError("boom"))
    [root] = [one for one in scene.json("scan")["roots"] if one["path"] == str(scene.box)]
    assert f"{FAULT}replicas: RuntimeError: boom" in root["error"]
    assert root["files"] == 1, "what was known of it is kept"


@pytest.mark.slow
def test_a_fault_in_mid_scan_forgets_nothing_and_folds_nothing_there(scene: Scene) -> None:
    """Two copies in the box, which the scan before knows: nobody knows now whether they may be replaced."""
    (scene.box / "copy.safetensors").write_bytes(scene.weights.read_bytes())
    known = scene.json("scan")
    assert known["reclaimable_bytes"] >= 2 * SIZE
    boxed = scene.boxed()

    def half() -> Any:
        yield from ()
        raise RuntimeError("half way")

    Box.faults["replicas"] = half
    code, _, told = scene("scan")
    assert (code, len(told)) == (SOME_LEFT, 1)
    again = scene.json("scan")
    files = {root["path"]: root["files"] for root in again["roots"]}
    assert files == {root["path"]: root["files"] for root in known["roots"]}
    report = scene.json("consolidate", "-y")
    assert [action["path"] for action in report["actions"]] == [
        str(scene.tree["models"] / "base" / "model.safetensors")
    ]
    assert scene.boxed() == boxed
    Box.faults.clear()
    assert [Path(action["path"]).parent for action in scene.json("consolidate", "-y")["actions"]] == [
        scene.box
    ]


@pytest.mark.slow
def test_a_model_that_only_the_faulty_plugin_could_tell_of_is_an_error_that_names_it(scene: Scene) -> None:
    Box.faults["snapshots"] = raising(RuntimeError("boom"))
    for command in (["path", "acme/boxed"], ["rm", "acme/boxed", "-y"], ["ls", "acme/boxed"]):
        code, _, told = scene(*command)
        assert (code, len(told)) == (FAILED, 1)
    Box.faults = {"all_removals": raising(RuntimeError("boom"))}
    boxed = scene.boxed()
    code, _, told = scene("rm", "acme/boxed", "-y")
    assert (code, len(told)) == (FAILED, 1)
    assert scene.boxed() == boxed


@pytest.mark.slow
def test_a_plugin_that_cannot_be_loaded_is_told_once_by_whatever_asks_for_plugins(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Box, "capabilities", {"cache": True})
    for command in (["plugins"], ["ls", "--paths"], ["roots"], ["path", "org/base"], ["scan"]):
        code, out, told = scene(*command)
        assert (code, len(told)) == (SOME_LEFT, 1), command
        assert "is left out: capabilities is a dict" in told[0]
        assert "hub" in out
    [broken] = scene.json("plugins")["broken"]
    assert (broken["plugin"], broken["distribution"]) == ("box", "hubfold-box 1.0")


def test_links_in_a_root_that_is_left_out_keep_what_they_need(scene: Scene) -> None:
    """Its plugin cannot be asked; its links can be seen all the same."""
    snapshot = next((scene.tree["hub"] / "models--org--base/snapshots").iterdir())
    blob = (snapshot / "model.safetensors").resolve()
    (scene.box / "link.safetensors").symlink_to(blob)
    Box.faults["snapshots"] = raising(RuntimeError("boom"))
    code, out, _ = scene("rm", "org/base", "-y", "--with-links")
    assert code == SOME_LEFT
    assert "link.safetensors" in out
    assert blob.exists()
    assert (scene.box / "link.safetensors").is_symlink()


@pytest.mark.slow
def test_a_backup_is_gone_on_with_where_the_plugin_of_what_is_in_it_fails(scene: Scene) -> None:
    target = scene.tree.folder / "backup"
    assert scene("backup", target, "acme/boxed")[0] == 0
    Box.faults["place"] = raising(RuntimeError("boom"))
    code, _, told = scene("backup", target, "org/base")
    assert (code, len(told)) == (SOME_LEFT, 1), scene.err
    listed = json.loads((target / "hubfold-backup.json").read_text())
    assert [model["repo_id"] for model in listed["models"]] == ["acme/boxed", "org/base"]
    assert scene("rm", "org/base", "-y")[0] == 0
    code, out, told = scene("restore", target, "-y")
    assert (code, len(told)) == (SOME_LEFT, 1)
    assert "restored 1 revision" in out
    assert scene("path", "org/base")[0] == 0


@pytest.mark.slow
def test_every_call_of_a_plugin_comes_from_the_boundary(scene: Scene) -> None:
    Box.calls.clear()
    for command, _ in [one for commands in LOOKS for one in commands]:
        scene(*[word.format(scene.tree.folder) for word in command])
    scene("consolidate", "-y")
    scene("undo", "-y")
    scene("backup", scene.tree.folder / "backup")
    scene("rm", "acme/boxed", "--revision", "main", "-y")
    scene("restore", scene.tree.folder / "backup", "org/base", "-y")
    scene("clean", "--older-than", "0", "-y")
    scene("doctor", "--fix", "-y")
    scene("farm", "--for", "box", scene.tree.folder / "shown", "--dry-run")
    box = os.path.realpath(plugin.__file__)
    callers = {(method, file) for method, file in Box.calls if file != box}
    # `gaps` is asked where a scan met a link that leads nowhere, `partial_path` by a download, `model_named` of what
    # is no repo id; the others by `adopt`.
    silent = {"gaps", "partial_path", "model_named", "offers", "arranged"}
    assert {method for method, _ in callers} == {*METHODS} - silent
    assert {file for _, file in callers} == {boundary.__file__}
