"""The places for everything, held by reading the code: who may import what, and who may change a disk.

The table below is the house of `engine/DESIGN.md`, row by row. The rules are in `tests/building/house.py`; that each of
them turns red where it is broken is shown by `test_architecture_rules.py`.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import hubfold
from hubfold.backend.registry import load
from tests import CHECKOUT
from tests.building import house as rules
from tests.building.house import House, Room, When

ENGINE = CHECKOUT / "engine" / "hubfold"
PLUGINS = CHECKOUT / "plugins" / "hubfold_plugins"
DESIGN = CHECKOUT / "engine" / "DESIGN.md"


def room(name: str, imports: str, *, annotates: str = "", never: str = "", holds: str = "") -> Room:
    """A row, with its rooms as words."""
    return Room(
        name, tuple((holds or name).split()), *(frozenset(w.split()) for w in (imports, annotates, never))
    )


#: From the top down: a room imports from rooms below it, and of those only what its row says, wherever in a module the
#: import stands. Imports for annotations load nothing, so what is allowed to them alone is said apart. `never` are the
#: rooms that it does not come to through anything that it imports either.
HOUSE = (
    room("cli", "ui demo kit front engine backend ground", annotates="folding reports", holds="cli __main__"),
    # It shows what the engine tells, and does what the command line lends it.
    room("ui", "reports ground", annotates="engine"),
    room("kit", "testing engine scanning backend ground"),
    room("demo", "testing ground", never="engine index state folding care"),
    room(
        "front",
        "engine library reports backend disk models ground",
        annotates="folding",
        never="testing",
        holds="__init__ manager",
    ),
    room(
        "engine",
        "moving adoption care mounted fleet serving transfer removal places library scanning farm folding"
        " duplicates vault journal workers reading index state"
        " reports backend disk models ground",
        never="testing",
    ),
    room(
        "moving",
        "transfer library folding reports backend disk models ground",
        never="care testing",
    ),
    room(
        "adoption",
        "transfer library journal reading reports backend disk models ground",
        never="removal farm folding index testing",
    ),
    room(
        "care",
        "removal farm folding vault journal reading index state reports backend disk ground",
        never="transfer scanning duplicates testing",
    ),
    room("fleet", "reports disk ground", never="index state folding journal library scanning vault backend"),
    room("mounted", "scanning vault reports disk ground", never="index state folding journal library"),
    room(
        "serving",
        "reading models disk ground",
        never="index state folding journal farm removal library backend testing",
    ),
    room(
        "transfer",
        "places library scanning journal reading state reports backend disk models ground",
        never="removal farm folding index testing",
    ),
    room(
        "removal",
        "library vault journal reading reports backend disk models ground",
        never="farm folding index state testing",
    ),
    room(
        "places",
        "state disk models ground",
        never="library scanning farm folding vault journal reading index reports backend testing",
    ),
    room(
        "library",
        "scanning vault reading reports backend disk models ground",
        never="farm folding journal index state testing",
    ),
    room("testing", "scanning backend disk ground", never="farm folding vault journal index state"),
    room(
        "scanning",
        "duplicates reading index reports backend disk ground",
        never="farm folding vault journal state",
    ),
    room(
        "farm",
        "vault journal reading reports disk models ground",
        annotates="index backend",
        never="folding index",
    ),
    room("folding", "vault journal reading reports backend disk ground", never="duplicates index state"),
    room(
        "duplicates",
        "reading disk index reports ground",
        annotates="backend",
        never="vault journal state backend",
    ),
    room("vault", "reports backend disk ground", never="journal reading index state"),
    room("journal", "state reports disk ground", never="reading index backend"),
    room("workers", "reading disk ground", never="index state reports backend"),
    room("reading", "disk ground", never="index state reports backend"),
    room("index", "ground", never="state reports backend disk models"),
    room("state", "models ground", never="reports backend disk"),
    room("reports", "models ground", never="backend disk"),
    room("backend", "ground", never="disk models", holds="backend changes peek"),
    room("disk", "ground", never="models"),
    room("models", "ground"),
    room("ground", "", holds="access content errors faults progress display json_form lazy"),
)

#: Imports inside functions that lead into another room: a command line is answered before what they load is.
LATE = {
    "hubfold": ["hubfold.backend.distributions"],
    # A name that is no command of hubfold's may be one of a plugin.
    "hubfold.cli.app": ["hubfold", "hubfold.engine.engine"],
    "hubfold.cli.options": ["hubfold.engine.engine", "hubfold.content"],
    "hubfold.cli.commands.consolidate": ["hubfold.content"],
    "hubfold.cli.commands.demo": ["hubfold.demo"],
    "hubfold.cli.commands.plugins": ["hubfold.kit.look", "hubfold.kit.scaffold"],
    "hubfold.cli.commands.roots": ["hubfold.content"],
    # Loads a toolkit for terminals.
    "hubfold.cli.commands.ui": [
        "hubfold.engine.engine",
        "hubfold.ui.app",
        "hubfold.ui.lent",
    ],
    "hubfold.cli.shell.completion": ["hubfold.engine.engine"],
    # A scan asks it for what was saved, and reads no journal for that.
    "hubfold.engine.memory": ["hubfold.journal.history", "hubfold.journal.journal"],
    "hubfold.engine.scanning": ["hubfold.removal.measure"],
    # They need packages that not everybody has.
    "hubfold.engine.serving": ["hubfold.serving.application", "hubfold.serving.server"],
    # Who scans and shows no plan does without its report.
    "hubfold.engine.planning": ["hubfold.folding.told"],
    # Every command makes one, and few need all that it can answer.
    "hubfold.engine.workspace": ["*"],
}

#: Modules that import by a name which is data: names handed on, commands, our own entry point.
COMPUTED = ["hubfold.lazy", "hubfold.cli.app", "hubfold.backend.registry"]

#: What is decided from its arguments alone, through everything that it imports: no disk, no clock, no chance.
PURE = [
    *("hubfold.access", "hubfold.content", "hubfold.errors", "hubfold.faults", "hubfold.progress"),
    *("hubfold.display", "hubfold.json_form", "hubfold.models", "hubfold.reports"),
    *(
        "hubfold.backend.contract",
        "hubfold.backend.changes",
        "hubfold.backend.hookspecs",
        "hubfold.backend.sides",
    ),
    *(
        "hubfold.folding.plan",
        "hubfold.folding.told",
        "hubfold.folding.planner",
        "hubfold.folding.rights",
        "hubfold.folding.confined",
    ),
    "hubfold.duplicates.grouping",
    *("hubfold.vault.names", "hubfold.transfer.archive"),
    *("hubfold.mounted.mounts", "hubfold.mounted.variables"),
    *("hubfold.fleet.layout", "hubfold.fleet.questions"),
    "hubfold.serving.shelf",
]

#: What a plugin may import: nothing else is promised to be there tomorrow.
API = {
    *("hubfold", "hubfold.content", "hubfold.changes", "hubfold.peek", "hubfold.backend"),
    *(f"hubfold.backend.{name}" for name in ("contract", "changes", "peek", "hookspecs")),
    # Not for plugins, but what hands these names on.
    *("hubfold.lazy", "hubfold.backend.distributions"),
}

MAKES_TREES = {
    "hubfold.demo",
    *(f"hubfold.testing{name}" for name in ("", ".contract", ".folds", ".loopback_hub", ".trees")),
    *("hubfold.kit.scaffold", "hubfold.kit.contract_of_store"),
}

#: Who changes disks: the journalled operations with what they call, hubfold's own state, and what makes trees.
MAY_CHANGE_DISKS = {
    *(
        f"hubfold.disk.{name}"
        for name in ("directory", "exchange", "held", "hosts.lock", "locks", "seen_twice")
    ),
    "hubfold.disk.whole_file",
    "hubfold.reading.compare",
    # A probe in hubfold's own folder.
    "hubfold.workers.meeting",
    *(f"hubfold.journal.{name}" for name in ("journal", "keepers", "lock")),
    *("hubfold.vault.objects", "hubfold.vault.gc"),
    *(f"hubfold.folding.{name}" for name in ("swapping", "settle", "undo")),
    *(f"hubfold.farm.{name}" for name in ("build", "give", "settle")),
    *(f"hubfold.removal.{name}" for name in ("empty", "remover", "settle")),
    *(f"hubfold.adoption.{name}" for name in ("renewing", "taking", "undo")),
    *(f"hubfold.transfer.{name}" for name in ("containers", "partials", "placer", "restore")),
    *(f"hubfold.care.{name}" for name in ("exchange", "follow", "sharing", "repairs", "repoint", "settle")),
    *("hubfold.index.index", "hubfold.state.home", "hubfold.state.verified", "hubfold.places.registry"),
    # The folders that a download, and a move, go to.
    *("hubfold.engine.transfer", "hubfold.engine.moving", "hubfold.engine.adopting"),
    # The file of an exported index.
    "hubfold.fleet.export",
    "hubfold.cli.commands.demo",
    *MAKES_TREES - {"hubfold.testing"},
}

#: Calls of functions that are not ours to change, and of the class that rows become by the ten thousand.
CROWDED = ["struct.pack", "_FIEMAP_HEADER.pack_into", "libc.mmap", "IndexedReplica"]

#: What only a layout's plugin may know.
LAYOUT = (
    "models--", "datasets--", "spaces--", "kernels--", "snapshots", "blobs", ".no_exist", ".incomplete", ".locks",
    "CACHEDIR", "huggingface/download", "manifests",
)  # fmt: skip


@cache
def real() -> House:
    return House.at(ENGINE, PLUGINS)


def test_there_is_something_to_look_at() -> None:
    some = {
        "hubfold",
        "hubfold.folding.planner",
        "hubfold.cli.commands.consolidate",
        "hubfold_plugins.huggingface.hub_cache",
    }
    assert some <= real().modules.keys()
    assert len(list(real().arrows(When.START))) > 200


def test_every_module_has_a_room() -> None:
    assert not rules.without_a_room(real(), HOUSE)


def test_a_room_imports_from_rooms_below_it() -> None:
    assert not rules.running_up(HOUSE)


def test_a_room_imports_what_the_table_says() -> None:
    assert not rules.not_allowed(real(), HOUSE)


def test_the_table_allows_nothing_that_nobody_needs() -> None:
    assert not rules.not_used(real(), HOUSE)


def test_what_a_room_is_kept_away_from_it_does_not_come_to_through_others() -> None:
    assert not rules.kept_away(real(), HOUSE)


def test_no_module_comes_back_to_itself() -> None:
    assert not rules.circles(real())


def test_imports_stand_at_the_top_but_where_a_command_line_waits_for_them() -> None:
    assert not rules.late(real(), HOUSE, LATE)


def loaded_with(*services: str) -> set[str]:
    """The modules of hubfold's that are loaded with these services, without those that load when they are used."""
    loads: dict[str, set[str]] = {}
    for name, one in real().arrows(When.START):
        loads.setdefault(name, set()).add(one.module)
    reached: set[str] = set()
    pending = [f"hubfold.engine.{name}" for name in services]
    while pending:
        reached.add(name := pending.pop())
        pending += loads.get(name, set()) - reached
    return {one.removeprefix("hubfold.") for one in reached}


def test_what_needs_more_packages_is_loaded_where_it_is_used_and_nowhere_else() -> None:
    wanting = {"starlette", "uvicorn", "h11"}
    found = {
        name
        for name, module in real().modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [it.name for it in node.names]
        )
        if one.partition(".")[0] in wanting
    }
    assert found == {"hubfold.serving.application", "hubfold.serving.server"}
    for services in (
        ("engine", "serving"),
        ("engine", "transfer"),
        ("engine", "scanning", "planning", "folding"),
    ):
        assert not loaded_with(*services) & {name.removeprefix("hubfold.") for name in found}


def of_rooms(modules: set[str], *rooms: str) -> set[str]:
    return {one for one in modules if one.partition(".")[0] in rooms and "." in one}


def test_what_every_scan_asks_loads_no_journal() -> None:
    reached = loaded_with("engine", "memory", "scanning", "workspace")
    assert of_rooms(reached, "journal") == {"journal.runs"}


def test_what_every_scan_asks_knows_no_models_and_changes_nothing() -> None:
    reached = loaded_with("engine", "memory", "scanning", "workspace")
    assert of_rooms(reached, "library") == {"library.unreferenced"}
    assert not of_rooms(reached, "adoption", "care", "farm", "folding", "moving", "removal", "transfer")
    assert not reached & {"backend.changes", "reports.models", "reports.removals", "reports.runs"}


def test_planning_a_fold_loads_nothing_that_carries_it_out() -> None:
    reached = loaded_with("engine", "memory", "scanning", "workspace", "planning")
    assert of_rooms(reached, "folding") == {
        f"folding.{name}" for name in ("confined", "plan", "planner", "rights", "survey", "vetoes")
    }
    assert of_rooms(reached, "journal") == {"journal.runs"}
    assert not of_rooms(reached, "adoption", "care", "farm", "moving", "transfer")


def test_names_of_modules_are_written_out() -> None:
    assert not rules.computed(real(), COMPUTED)


def test_what_is_pure_reaches_no_disk_through_anything_that_it_imports() -> None:
    assert not rules.reaching_a_disk(real(), PURE)


def test_plugins_import_the_plugin_api_and_nothing_else() -> None:
    assert not rules.more_than_the_api(real(), API, kit={"hubfold.testing"})


def test_the_engine_knows_no_plugin() -> None:
    engine = {name for name in real().modules if name.startswith("hubfold.")}
    assert not [
        (name, one.module)
        for name in engine
        for one in real().modules[name].written
        if one.module.startswith("hubfold_plugins")
    ]


@pytest.mark.parametrize("word", [*LAYOUT, *load({"HUBFOLD_NO_PLUGINS": "1"})])
def test_the_engine_knows_no_layout(word: str) -> None:
    # What the Hub calls a pointer names the format that it is in.
    pointers = {"hubfold.serving.protocol"} if word == "git-lfs" else set()
    assert not rules.naming(real(), [word], besides=MAKES_TREES | pointers)


def test_only_the_journalled_operations_and_what_they_call_change_disks() -> None:
    assert not rules.changing_disks(real(), MAY_CHANGE_DISKS)


def test_no_module_uses_what_is_private_to_another() -> None:
    assert not rules.private_elsewhere(real())


def test_functions_take_six_parameters_and_the_sixth_argument_has_a_name() -> None:
    assert not rules.crowded(real(), 6, 5, CROWDED)


def test_plugins_never_open_or_write_a_file() -> None:
    # `recognise` has no walk yet, so it may look at names; content and metadata come through the walk.
    allowed = {
        *("path", "fspath", "fsdecode", "fsencode", "sep", "PathLike", "stat_result", "environ"),
        *("listdir", "readlink"),
    }
    forbidden = {"io", "pathlib", "shutil", "subprocess", "tempfile", "glob", "mmap", "sqlite3", "fcntl"}
    plugins = {name: module for name, module in real().modules.items() if name.startswith("hubfold_plugins")}
    assert plugins
    for name, module in plugins.items():
        assert set(rules.attributes_of(module.tree, "os")) <= allowed, name
        assert not {one.module.partition(".")[0] for one in module.written} & forbidden, name
        called = {ast.unparse(call.func) for call in module.calls()}
        assert not called & {"open", "exec", "eval", "__import__"}, name


def test_the_command_line_sees_the_facade_and_nothing_below() -> None:
    facade = {
        *("hubfold", "hubfold.demo", "hubfold.engine.engine", "hubfold.backend.changes"),
        *("hubfold.kit.look", "hubfold.kit.scaffold", "hubfold.ui.app", "hubfold.ui.lent"),
        *("hubfold.content", "hubfold.display", "hubfold.errors", "hubfold.json_form", "hubfold.progress"),
    }
    typed = {"hubfold.folding.plan", "hubfold.backend.registry"}
    for name, one in real().arrows():
        if name.startswith("hubfold.cli"):
            seen = facade | (typed if one.when is When.TYPING else set())
            below = one.module.startswith(("hubfold.cli", "hubfold.reports"))
            assert below or one.module in seen, f"{name}:{one.line} imports {one.module}"


def test_only_the_output_sink_prints() -> None:
    for name, module in real().modules.items():
        called = {ast.unparse(call.func) for call in module.calls()}
        assert "print" not in called, name
        if name not in ("hubfold.cli.output", "hubfold.cli.app"):
            printing = ("sys.stdout.w", "sys.stderr.w", "click.echo")
            assert not {call for call in called if call.startswith(printing)}, name


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    parts = {part for name in real().modules for part in name.split(".")}
    assert not {part for part in parts for word in ("util", "helper", "common", "misc") if word in part}


def test_every_public_name_is_there_and_listed_once() -> None:
    for name in hubfold.__all__:
        assert getattr(hubfold, name) is not None
    homes = {f"hubfold.{module}.{name}" for module, names in hubfold._HOMES.items() for name in names}
    assert {home.rpartition(".")[2] for home in homes} | {"__version__"} == set(hubfold.__all__)
    assert len(homes) + 1 == len(hubfold.__all__)
    typed = [one for one in real().modules["hubfold"].written if one.when is When.TYPING]
    assert {f"{one.module}.{one.name}" for one in typed} == homes
    with pytest.raises(AttributeError):
        _ = hubfold.no_such_name


# -- the table of the design


def drawn() -> dict[str, tuple[list[str], str]]:
    """The rows of the table of rooms in DESIGN.md: modules and what it is for, by room."""
    rows = {}
    for line in DESIGN.read_text(encoding="utf-8").partition("\n## Shape\n")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            rows[cells[0].strip("`/")] = (re.findall(r"`(\w+/?)`", cells[1]), cells[2])
        elif rows and not line.startswith("|"):
            break
    return rows


def test_the_design_draws_the_rooms_of_the_table() -> None:
    assert list(drawn()) == [one.name for one in HOUSE]


@pytest.mark.parametrize("one", HOUSE, ids=lambda one: one.name)
def test_the_design_names_every_module_of_a_room(one: Room) -> None:
    there = set()
    for name in one.holds:
        folder = ENGINE / name
        below = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        below |= {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
        there |= (below or {name}) if name == one.name else {name}
    modules, purpose = drawn()[one.name]
    assert len(modules) == len(set(modules))
    assert set(modules) == there
    assert len(purpose.split()) > 1


# -- what is loaded for what


def loaded_for(*arguments: str, **environ: str) -> set[str]:
    """The modules that a command line imports."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n"
        "from hubfold.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )
    loaded = set(done.stderr.splitlines())
    assert "hubfold" in loaded
    return loaded


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


HEAVY = {"rich", "sqlite_utils", "huggingface_hub", "platformdirs", "asyncio", "http", "starlette", "uvicorn"}
#: What a scan that finds nothing to compare has no use for.
UNUSED = HEAVY | {"concurrent", "ctypes", "email", "logging", "lzma", "shutil", "socket", "tempfile"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["scan", "--help"], ["scan", "--nonsense"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not packages(loaded_for(*arguments)) & (HEAVY | {"sqlite3", "pluggy", "xxhash"})


def test_a_scan_without_anything_to_read_imports_no_more_than_it_uses(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    home = {"HUBFOLD_HOME": str(tmp_path / "state"), "HF_HOME": str(tmp_path / "hf")}
    loaded = loaded_for("scan", "--json", str(tmp_path / "models"), **home)
    assert not packages(loaded) & UNUSED
    services = {name for name in loaded if name.startswith("hubfold.engine.")}
    assert services == {
        f"hubfold.engine.{name}" for name in ("engine", "workspace", "scanning", "sources", "memory")
    }


@pytest.mark.slow
def test_a_scan_that_tells_what_a_fold_frees_loads_nothing_that_folds(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / "models" / f"{name}.safetensors").parent.mkdir(exist_ok=True)
        (tmp_path / "models" / f"{name}.safetensors").write_bytes(bytes(2_000_000))
    home = {"HUBFOLD_HOME": str(tmp_path / "state"), "HF_HOME": str(tmp_path / "hf")}
    loaded = loaded_for("scan", str(tmp_path / "models"), **home)
    assert "hubfold.engine.planning" in loaded
    assert not loaded & {"hubfold.engine.folding", "hubfold.folding.executor", "hubfold.care.recovery"}


# -- where the tests are


#: Modules with logic whose tests have another name, because what they do is shown by what is built on them.
TESTED_BY = {
    "hubfold": ["test_architecture.py", "test_lazy.py"],
    "hubfold.backend.changes": ["removal/test_removal.py", "plugins/huggingface/test_hub_cache.py"],
    "hubfold.backend.contract": ["backend/test_registry.py", "plugins/test_contract.py"],
    "hubfold.care.exchange": ["care/test_settle.py", "care/test_repairs.py"],
    "hubfold.care.follow": ["moving/test_names.py", "faults/test_move_sweeps.py"],
    "hubfold.cli": ["cli/test_app.py", "cli/test_output.py"],
    "hubfold.cli.commands.recall": ["cli/test_move.py"],
    "hubfold.cli.jobs": ["ui/test_view.py"],
    "hubfold.cli.commands.restore": ["cli/test_backup.py"],
    "hubfold.cli.page.document": ["cli/test_report.py"],
    "hubfold.cli.page.elements": ["cli/test_report.py"],
    "hubfold.cli.page.picture": ["cli/test_report.py"],
    "hubfold.cli.shell.completion": ["cli/test_completion.py"],
    "hubfold.cli.shell.manual": ["cli/test_manual.py"],
    "hubfold.engine.overview": ["cli/test_report.py"],
    "hubfold.reports.overview": ["reports/test_json.py"],
    "hubfold_plugins.flat_store": ["plugins/test_flat.py", "plugins/lmstudio/test_contract.py"],
    "hubfold_plugins.modelscope.upkeep": ["plugins/modelscope/test_cache.py"],
    "hubfold.cli.tell": ["cli/test_consolidate.py", "cli/test_rm.py"],
    "hubfold.demo": ["cli/test_demo.py"],
    "hubfold.engine.running": ["backend/test_policies.py"],
    "hubfold.folding.vetoes": ["backend/test_policies.py"],
    "hubfold.kit.contract_of_store": ["kit/test_look.py"],
    "hubfold.testing.built": ["testing/test_contract.py"],
    "hubfold.duplicates.cost": ["duplicates/test_sets.py", "index/test_tallies.py"],
    "hubfold.duplicates.digesting": ["scanning/test_scan.py", "index/test_tallies.py"],
    "hubfold.duplicates.evidence": ["duplicates/test_sets.py"],
    "hubfold.duplicates.pending": ["duplicates/test_sets.py", "index/test_tallies.py"],
    "hubfold.cli.commands.pin": ["cli/test_balance.py"],
    "hubfold.cli.commands.unpin": ["cli/test_balance.py"],
    "hubfold.engine.balancing": ["moving/test_balance.py"],
    "hubfold.engine.care": ["care/test_doctor.py", "care/test_verify.py"],
    "hubfold.engine.engine": ["cli/test_promises.py", "test_lazy.py"],
    "hubfold.engine.farming": ["farm/test_build.py"],
    "hubfold.engine.folding": ["whole/test_stacked_runs.py", "cli/test_consolidate.py", "cli/test_undo.py"],
    "hubfold.engine.following": ["moving/test_names.py"],
    "hubfold.engine.memory": ["cli/test_roots.py", "cli/test_dupes.py", "cli/test_runs.py"],
    "hubfold.engine.planning": ["folding/test_planner.py", "cli/test_consolidate.py"],
    "hubfold.engine.registering": ["cli/test_registered.py", "places/test_registry.py"],
    "hubfold.cli.commands.register": ["cli/test_registered.py"],
    "hubfold.cli.commands.unregister": ["cli/test_registered.py"],
    "hubfold.folding.followers": ["moving/test_names.py"],
    "hubfold.reports.places": ["cli/test_registered.py", "cli/test_check.py"],
    "hubfold.engine.sources": ["engine/test_places.py", "places/test_settings.py"],
    "hubfold.engine.models": [
        "library/test_gather.py",
        "library/test_availability.py",
        "library/test_checking.py",
    ],
    "hubfold.engine.moving": ["moving/test_move.py", "cli/test_move.py"],
    "hubfold.engine.mounting": ["cli/test_doctor_mounts.py"],
    "hubfold.engine.removal": ["removal/test_removal.py", "removal/test_leftovers.py"],
    "hubfold.engine.scanning": ["cli/test_scan.py", "cli/test_roots.py"],
    "hubfold.engine.serving": ["serving/test_application.py", "serving/test_server.py"],
    "hubfold.reports.serving": ["cli/test_serve.py"],
    "hubfold.engine.transfer": ["transfer/test_download.py", "transfer/test_backup.py"],
    "hubfold.mounted.judge": ["cli/test_doctor_mounts.py"],
    "hubfold.mounted.look": ["mounted/test_kernel.py"],
    "hubfold.farm.give": ["farm/test_programs.py"],
    "hubfold.farm.store": ["farm/test_programs.py"],
    "hubfold.engine.programs": ["farm/test_programs.py", "cli/test_farm_for.py"],
    "hubfold.farm.settle": ["farm/test_build.py", "faults/test_sweeps.py"],
    "hubfold.folding.holding": ["folding/test_executor.py", "folding/test_taking_back.py"],
    "hubfold.folding.outcomes": ["folding/test_executor.py", "folding/test_limits.py"],
    "hubfold.folding.plan": ["folding/test_planner.py"],
    "hubfold.folding.settle": ["care/test_recovery.py", "whole/test_users_changes.py"],
    "hubfold.folding.told": ["cli/test_consolidate.py", "reports/test_json.py"],
    "hubfold.folding.survey": ["reading/test_extents.py", "whole/test_stacked_runs.py"],
    "hubfold.folding.swapping": ["folding/test_taking_back.py", "folding/test_rights.py"],
    "hubfold.moving.links": ["moving/test_move.py"],
    "hubfold.moving.plan": ["moving/test_move.py"],
    "hubfold.reports.moves": ["cli/test_move.py", "reports/test_json.py"],
    "hubfold.faults": ["backend/test_boundary.py", "cli/test_faulty_plugin.py"],
    "hubfold.index.housekeeping": ["index/test_index.py", "index/test_tallies.py"],
    "hubfold.index.invalidation": ["index/test_tallies.py"],
    "hubfold.index.migrations": ["index/test_database.py"],
    "hubfold.removal.carry_out": ["removal/test_removal.py", "removal/test_empty.py"],
    "hubfold.ui": ["test_architecture.py"],
    "hubfold.ui.app": ["ui/test_view.py"],
    "hubfold.ui.browse": ["ui/test_view.py"],
    "hubfold.ui.known": ["ui/test_view.py"],
    "hubfold.ui.lent": ["ui/test_view.py"],
    "hubfold.ui.review": ["ui/test_view.py"],
    "hubfold.engine.remembering": ["engine/test_marking.py"],
    "hubfold.removal.marked": ["engine/test_marking.py", "engine/test_marked_disks.py"],
    "hubfold.removal.needs": ["removal/test_removal.py"],
    "hubfold.removal.plan": ["removal/test_removal.py"],
    "hubfold.removal.remover": ["removal/test_removal.py", "removal/test_empty.py"],
    "hubfold.adoption.renewing": ["adoption/test_migration.py"],
    "hubfold.removal.shared": ["removal/test_stores_without_folders.py", "removal/test_removal.py"],
    "hubfold.removal.settle": ["removal/test_empty.py", "care/test_away_after_a_crash.py"],
    "hubfold.removal.twins": ["removal/test_redundant.py", "faults/test_seen_twice.py"],
    "hubfold.cli.commands.export": ["cli/test_fleet.py"],
    "hubfold.fleet.questions": ["fleet/test_ask.py"],
    "hubfold.reports.fleet": ["fleet/test_ask.py", "reports/test_json.py"],
    "hubfold.reports.origins": ["engine/test_explaining.py", "reports/test_json.py"],
    "hubfold.reports.outcomes": ["reports/test_json.py", "cli/test_faulty_plugin.py"],
    "hubfold.scanning.recording": ["index/test_index.py", "scanning/test_scan.py"],
    "hubfold.testing.trees": ["plugins/test_contract.py", "plugins/huggingface/test_hub_cache.py"],
    "hubfold.transfer.hub": ["transfer/test_download.py"],
    "hubfold.transfer.placer": ["transfer/test_download.py"],
    **{
        f"hubfold.adoption.{name}": ["adoption/test_adopting.py"]
        for name in ("origin", "plan", "sources", "taking", "undo")
    },
    "hubfold.engine.migrating": ["adoption/test_migration.py"],
    "hubfold.engine.adopting": ["adoption/test_adopting.py"],
    "hubfold_plugins.dvc.work_tree": ["plugins/dvc/test_store.py", "plugins/dvc/test_program.py"],
    "hubfold_plugins.git_lfs.clone": ["plugins/git_lfs/test_store.py", "plugins/git_lfs/test_program.py"],
    "hubfold_plugins.git_lfs.git_files": ["plugins/git_lfs/test_store.py", "adoption/test_adopting.py"],
    "hubfold_plugins.huggingface.hub_arranged": ["adoption/test_adopting.py"],
    "hubfold_plugins.huggingface.legacy_offers": ["adoption/test_adopting.py"],
    "hubfold_plugins.huggingface.local_offers": ["adoption/test_adopting.py"],
    "hubfold_plugins.huggingface.claims": ["plugins/huggingface/test_hub_cache.py"],
    "hubfold_plugins.huggingface.hub_metadata": ["plugins/huggingface/test_local_dir.py"],
    "hubfold_plugins.huggingface.hub_repository": ["plugins/huggingface/test_hub_cache.py"],
    "hubfold_plugins.huggingface.hub_upkeep": ["removal/test_leftovers.py", "removal/test_removal.py"],
    "hubfold_plugins.huggingface.local_upkeep": ["removal/test_removal.py"],
    "hubfold_plugins.docker_model.index": ["plugins/docker_model/test_store.py"],
    "hubfold_plugins.docker_model.layout": ["plugins/docker_model/test_store.py"],
    "hubfold_plugins.ollama.manifests": ["plugins/ollama/test_store.py"],
    "hubfold_plugins.ramalama.layout": ["plugins/ramalama/test_store.py"],
    "hubfold_plugins.ramalama.refs": ["plugins/ramalama/test_store.py"],
    "hubfold.workers.answers": ["workers/test_spread.py"],
    "hubfold.reports.health": ["cli/test_doctor.py", "cli/test_verify.py"],
    "hubfold.reports.removals": ["cli/test_rm.py", "cli/test_clean.py"],
    "hubfold.reports.runs": ["cli/test_consolidate.py", "cli/test_runs.py"],
    "hubfold.reports.scans": ["cli/test_scan.py", "cli/test_roots.py"],
    "hubfold.reports.transfers": ["cli/test_backup.py", "transfer/test_download.py"],
}


def test_a_module_has_tests_of_its_name_in_the_folder_of_its_room_or_says_where_they_are() -> None:
    folder = CHECKOUT / "tests"
    tests = {path.relative_to(folder).as_posix() for path in folder.rglob("test_*.py")}
    assert not rules.untested(real(), tests, TESTED_BY)
