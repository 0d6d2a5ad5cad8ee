"""What roots hold is looked at once for a command: its cost is models + files, never models times files."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from hubfold.backend.boundary import GuardedBackend
from hubfold.content import Root, Snapshot
from hubfold.errors import Interrupted
from hubfold.library.inventory import Holdings
from hubfold.models.names import Name
from hubfold.progress import Stop
from tests.building.plugin import Box, fill, raising

#: How often one command may list one folder, whatever is in it: the walk for models, the one for what removing them
#: would take, the one for links, a scan. The folders of a download are asked about by name besides.
FEW = 4
FEW_OF_A_DOWNLOAD = 12


def blob(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def add_model(hub: Path, number: int, size: int = 100) -> str:
    """A model as a client leaves it, by hand: the real one would take a second for each. Its commit."""
    commit = hashlib.sha1(b"%d" % number).hexdigest()
    repository = hub / f"models--acme--m{number}"
    snapshot = repository / "snapshots" / commit
    for folder in (repository / "blobs", repository / "refs", snapshot):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    for name in ("config.json", "model.safetensors"):
        content = f"{name} {number} ".encode() * size
        (repository / "blobs" / blob(content)).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob(content)}")
    return commit


def add_copy(folder: Path, number: int, commit: str) -> None:
    """The same model as a download into a folder, with the client's notes."""
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        content = f"{name} {number} ".encode() * 100
        (folder / name).write_bytes(content)
        (notes / f"{name}.metadata").write_text(f"{commit}\n{blob(content)}\n9999999999.0\n")


@contextmanager
def counted(below: Path) -> Iterator[Counter[str]]:
    """How often each folder below is listed, and each path is asked about by `lstat`, `stat` or `readlink`."""
    found: Counter[str] = Counter()
    patch = pytest.MonkeyPatch()

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(path: Any = ".", *arguments: Any, **keywords: Any) -> Any:
            text = os.fsdecode(path) if not isinstance(path, int) else real_readlink(f"/proc/self/fd/{path}")
            if f"{text}/".startswith(f"{below}/"):
                found[f"{name} {text}"] += 1
            return call(path, *arguments, **keywords)

        return counting

    real_readlink = os.readlink
    with patch.context():
        for name in ("scandir", "listdir", "lstat", "stat", "readlink"):
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        try:
            yield found
        finally:
            patch.undo()


def listings(found: Counter[str]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for asked, number in found.items():
        call, _, path = asked.partition(" ")
        if call in ("scandir", "listdir"):
            sums[path] += number
    return dict(sums)


class Scene:
    """A cache, and a plain folder with 20 files in 5 folders as a further root."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub, self.plain = top / "hub", top / "plain"
        for number in range(20):
            path = self.plain / str(number % 5) / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % number)
        self.hub.mkdir()
        for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.setenv(variable, str(self.hub))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        self.state = top / "state"
        self.models = 0

    def add(self, models: int, *, copies: bool = False) -> None:
        for _ in range(models):
            commit = add_model(self.hub, self.models)
            if copies:
                add_copy(self.plain / f"copy{self.models}", self.models, commit)
            self.models += 1

    @property
    def names(self) -> list[str]:
        return [f"acme/m{number}" for number in range(self.models)]

    def engine(self) -> Engine:
        engine = Engine(self.state)
        if str(self.plain) not in {root.path for root in engine.roots()}:
            engine.add_root(self.plain)
        return engine


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def preview(engine: Engine, names: list[str]) -> None:
    engine.preview_removal(engine.plan_remove(names))


COMMANDS: dict[str, Callable[[Engine, Scene], object]] = {
    "ls": lambda engine, scene: engine.models(),
    "check": lambda engine, scene: engine.check(scene.names),
    "path": lambda engine, scene: engine.model_path(scene.names[-1]),
    "watch": lambda engine, scene: engine.look(),
    "rm": lambda engine, scene: preview(engine, scene.names),
    "rm copies": lambda engine, scene: preview(
        engine, [str(one) for one in scene.plain.glob("copy*")] or scene.names
    ),
    "clean": lambda engine, scene: engine.plan_clean(older_than=0),
    "clean all": lambda engine, scene: engine.plan_clean_all(scene.hub),
    "backup": lambda engine, scene: engine.plan_backup(scene.plain.parent / "backup"),
    "doctor": lambda engine, scene: engine.doctor(),
    "farm": lambda engine, scene: engine.preview_farm(scene.plain.parent / "farm"),
}


@pytest.mark.slow
@pytest.mark.parametrize("copies", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_plain_folder_is_looked_at_as_often_beside_many_models_as_beside_few(
    scene: Scene, command: str, copies: bool
) -> None:
    costs = []
    for more in (2, 6):
        scene.add(more, copies=copies)
        with scene.engine() as engine:
            engine.scan(min_size=0)
            with counted(scene.plain) as found:
                COMMANDS[command](engine, scene)
        costs.append({asked: number for asked, number in found.items() if f"{scene.plain}/copy" not in asked})
        # Of the folder itself also paths that lead through it ask.
        costs[-1] = {asked: n for asked, n in costs[-1].items() if not asked.endswith(f"stat {scene.plain}")}
        for folder, number in listings(found).items():
            assert number <= (FEW_OF_A_DOWNLOAD if f"{scene.plain}/copy" in folder else FEW), folder
    few, many = costs
    assert many == few


@pytest.mark.slow
def test_what_a_cache_costs_grows_as_its_models_do(scene: Scene) -> None:
    costs = []
    for more in (4, 4, 8):
        scene.add(more)
        with scene.engine() as engine:
            engine.scan(min_size=0)
            with counted(scene.hub) as found:
                engine.models()
            costs.append(sum(found.values()))
            assert max(listings(found).values()) <= FEW_OF_A_DOWNLOAD
    four, eight, sixteen = costs
    assert sixteen - eight == 2 * (eight - four)


@pytest.mark.slow
def test_what_is_wrong_with_many_files_is_found_by_one_look(scene: Scene) -> None:
    """`doctor` asks for each file that has no good copy where it came from: by the same look."""
    costs = []
    scene.add(6)
    broken = sorted(scene.hub.glob("models--*/blobs/*"))
    with scene.engine() as engine:
        engine.scan(min_size=0)
    for number in (1, 5):
        for path in broken[:number]:
            path.write_bytes(b"\0" * path.stat().st_size)
        with scene.engine() as engine:
            engine.scan(min_size=0)
            engine.verify()
            with counted(scene.plain) as found:
                report = engine.doctor()
        assert sum("download it again" in finding.fix for finding in report.findings) >= number
        costs.append(dict(found))
        assert max(listings(found).values()) <= FEW
    assert costs[0] == costs[1]


@pytest.mark.slow
def test_ls_says_of_each_model_what_removing_it_would_free(scene: Scene) -> None:
    """All of them are asked about at once; the answer is that of one."""
    scene.add(3, copies=True)
    scene.add(2)
    shared = scene.hub / "models--acme--m0" / "blobs"
    first = sorted(shared.iterdir())[0]
    other = scene.hub / "models--acme--m1" / "blobs" / first.name
    os.link(first, other)
    (scene.plain / "link").symlink_to(sorted((scene.hub / "models--acme--m3" / "blobs").iterdir())[0])
    with scene.engine() as engine:
        engine.scan(min_size=0)
        freed = {model.id: model.freed_bytes for model in engine.models().models}
        assert freed == {name: engine.plan_remove([name]).bytes for name in scene.names}
        assert len(set(freed.values())) > 1


def test_a_copy_without_a_name_is_asked_about_by_its_folder(scene: Scene) -> None:
    for number in range(3):
        add_copy(scene.plain / f"copy{number}", number, "c" * 40)
    with scene.engine() as engine:
        engine.scan(min_size=0)
        freed = {model.id: model.freed_bytes for model in engine.models().models}
        assert set(freed) == {str(scene.plain / f"copy{number}") for number in range(3)}
        assert freed == {folder: engine.plan_remove([folder]).bytes for folder in freed}


# one root that a plugin cannot tell of


@pytest.fixture
def two_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holdings:
    monkeypatch.setattr(Box, "faults", {})
    for name in ("one", "two"):
        fill(tmp_path / name, f"acme/{name}")
    roots = [Root(str(tmp_path / name), "box") for name in ("one", "two")]
    return Holdings(roots, {"box": GuardedBackend(Box())})


def test_a_root_whose_plugin_failed_is_not_asked_again_and_still_counts_for_its_links(
    two_boxes: Holdings,
) -> None:
    one, two = two_boxes.roots
    (Path(one.path) / "link").symlink_to(f"{two.path}/two/model.safetensors")
    with two_boxes.leaving_out(one):
        Box.faults["leftovers"] = raising(RuntimeError("boom"))
        two_boxes.backend(one).leftovers(one, two_boxes.walk(one))
    assert two_boxes.usable == (two,)
    assert two_boxes.roots == (one, two)
    [warning] = two_boxes.warnings
    assert (warning.path, "leftovers" in warning.message) == (one.path, True)
    assert two_boxes.links.to(f"{two.path}/two/model.safetensors") == [f"{one.path}/link"]


def test_an_error_of_another_sort_is_not_passed_over(two_boxes: Holdings) -> None:
    with pytest.raises(ZeroDivisionError), two_boxes.leaving_out(two_boxes.roots[0]):
        raise ZeroDivisionError
    assert len(two_boxes.usable) == 2


def test_half_of_what_a_root_holds_is_nothing_of_it(
    two_boxes: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Half(Box):
        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            yield from super().snapshots(root, walk)
            if root.path.endswith("one"):
                raise RuntimeError("half way")

    holdings = Holdings(two_boxes.roots, {"box": GuardedBackend(Half())})
    assert [held.name for held in holdings.held()] == [Name("model", "acme/two")]
    assert [root.path for root in holdings.usable] == [two_boxes.roots[1].path]


def test_a_layout_that_answers_for_one_model_at_a_time_is_asked_where_it_has_the_model(
    two_boxes: Holdings,
) -> None:
    Box.faults["all_removals"] = lambda: None
    one, two = two_boxes.roots
    Box.calls.clear()
    assert [removal.repo_id for removal in two_boxes.removals(one, Name("model", "acme/one"))] == ["acme/one"]
    assert two_boxes.removals(two, Name("model", "acme/one")) == ()
    assert sum(method == "removals" for method, _ in Box.calls) == 1
    # Of what no root tells a folder may be there all the same.
    two_boxes.removals(two, Name("model", "acme/three"))
    assert sum(method == "removals" for method, _ in Box.calls) == 2


def test_a_look_can_be_stopped(tmp_path: Path) -> None:
    fill(tmp_path / "box")
    stop = Stop()
    stop.set()

    class Walking(Box):
        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            list(walk.folders(root.path))
            return iter(())

    with pytest.raises(Interrupted):
        Holdings([Root(str(tmp_path / "box"), "box")], {"box": GuardedBackend(Walking())}, stop=stop).held()
