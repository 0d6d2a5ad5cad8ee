"""The places for everything, held by reading the code: who may import what, and who may change a disk."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hubfold

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine" / "hubfold"
PLUGINS = ROOT / "plugins" / "hubfold_plugins"

#: The executor and the other journalled operations with what they call; hubfold's own state; and what makes trees for
#: the demo and for tests.
MAY_CHANGE_DISKS = {
    "executor",
    "farm",
    "gc",
    "runs",
    "fsops",
    "comparing",
    "extents",
    "journal",
    "locking",
    "mending",
    "repairs",
    "recovery",
    "removal",
    "download",
    "containers",
    "restore",
    "undo",
    "vault",
    "database",
    "index",
    "state",
    "cli/demo",
    "demo",
    "loopback_hub",
    "testing",
    "trees",
}

MAKES_TREES = {"demo", "loopback_hub", "testing", "trees"}

CHANGING_OS_CALLS = {
    "chflags", "chmod", "chown", "copy_file_range", "fchmod", "fchown", "ftruncate", "lchown", "link", "makedirs",
    "mkdir", "mkfifo", "mknod", "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs", "removexattr",
    "rename", "renames", "replace", "rmdir", "sendfile", "setxattr", "symlink", "truncate", "unlink", "utime",
    "writev",
}  # fmt: skip

CHANGING_METHODS = {
    "hardlink_to", "rmtree", "symlink_to", "touch", "write_bytes", "write_text", "copyfile", "copytree", "copy2",
    "copyfileobj", "mkdtemp", "mkstemp",
}  # fmt: skip

#: What only a layout's plugin may know.
LAYOUT = (
    "models--", "datasets--", "spaces--", "kernels--", "snapshots", "blobs", ".no_exist", ".incomplete", ".locks",
    "CACHEDIR", "huggingface/download", "manifests",
)  # fmt: skip

PURE_PATH_FUNCTIONS = {
    "basename",
    "commonpath",
    "commonprefix",
    "dirname",
    "isabs",
    "join",
    "normpath",
    "relpath",
}
PURE_PATH_FUNCTIONS |= {"sep", "split", "splitext"}


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield (
            path.relative_to(folder).with_suffix("").as_posix(),
            ast.parse(path.read_text(encoding="utf-8"), str(path)),
        )


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes_of(tree: ast.AST, name: str) -> Iterator[str]:
    """Every `x` of `name.x`, for a dotted `name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name:
            yield node.attr


def without_type_imports(tree: ast.Module) -> ast.Module:
    class Strip(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return Strip().visit(ast.parse(ast.unparse(tree)))  # type: ignore[no-any-return]


def texts(tree: ast.Module) -> Iterator[str]:
    """Text literals, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


def changing_calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        of_os = called == f"os.{name}" and name in CHANGING_OS_CALLS
        if of_os or (isinstance(node.func, ast.Attribute) and name in CHANGING_METHODS):
            yield called
        elif name in ("open", "fdopen") and called in ("open", "os.fdopen", "io.open"):
            mode = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
            if any(isinstance(m, ast.Constant) and set(str(m.value)) & set("wax+") for m in mode):
                yield f"{called} for writing"
        elif called == "os.open" and ast.unparse(node.args[0]) != "os.devnull":
            flags = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
            if any(flag in flags for flag in ("O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC", "O_APPEND")):
                yield "os.open for writing"


ENGINE_MODULES = list(modules(ENGINE))
PLUGIN_MODULES = list(modules(PLUGINS)) if PLUGINS.exists() else []


def test_there_is_something_to_look_at() -> None:
    names = {name for name, _ in ENGINE_MODULES}
    assert {"planner", "executor", "fsops", "cli/app", "cli/consolidate"} <= names
    assert PLUGIN_MODULES


@pytest.mark.parametrize(
    "line",
    [
        "os.rename(a, b)",
        "os.unlink(a, dir_fd=d)",
        "shutil.rmtree(a)",
        "open(a, 'w')",
        "open(a, mode='r+b')",
        "Path(a).write_text('')",
        "os.open(a, os.O_WRONLY | os.O_CREAT)",
    ],
)
def test_a_changing_call_is_seen(line: str) -> None:
    assert list(changing_calls(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "open(a)",
        "open(a, 'rb')",
        "os.open(a, os.O_RDONLY)",
        "os.path.basename(a).replace(b, c)",
        "text.replace(a, b)",
    ],
)
def test_a_reading_call_is_not_taken_for_one(line: str) -> None:
    assert not list(changing_calls(ast.parse(line)))


def test_the_engine_knows_no_plugin() -> None:
    found = [
        (name, word) for name, tree in ENGINE_MODULES for word in imports(tree) if "hubfold_plugins" in word
    ]
    assert not found


@pytest.mark.parametrize("word", LAYOUT)
def test_the_engine_knows_no_layout(word: str) -> None:
    found = [
        (name, text)
        for name, tree in ENGINE_MODULES
        if name not in MAKES_TREES
        for text in texts(tree)
        if word in text
    ]
    assert not found


def test_only_the_executor_and_what_it_calls_change_disks() -> None:
    found = {
        name: sorted(set(changing_calls(tree)))
        for name, tree in [*ENGINE_MODULES, *PLUGIN_MODULES]
        if name not in MAY_CHANGE_DISKS and any(changing_calls(tree))
    }
    assert not found


def test_plugins_never_open_or_write_a_file() -> None:
    # `recognise` has no walk yet, so it may look at names; content and metadata come through the walk.
    allowed = {
        "path",
        "fspath",
        "fsdecode",
        "fsencode",
        "sep",
        "PathLike",
        "stat_result",
        "environ",
        "listdir",
        "readlink",
    }
    forbidden = {"io", "pathlib", "shutil", "subprocess", "tempfile", "glob", "mmap", "sqlite3", "fcntl"}
    for name, tree in PLUGIN_MODULES:
        assert set(attributes_of(tree, "os")) <= allowed, name
        assert not {word.partition(".")[0] for word in imports(tree)} & forbidden, name
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & {"open", "exec", "eval", "__import__"}, name


def test_the_planner_is_pure() -> None:
    tree = dict(ENGINE_MODULES)["planner"]
    assert set(attributes_of(tree, "os")) <= {"path"}
    assert set(attributes_of(tree, "os.path")) <= PURE_PATH_FUNCTIONS
    impure = {
        "io",
        "pathlib",
        "shutil",
        "subprocess",
        "tempfile",
        "sqlite3",
        "time",
        "random",
        "hubfold.comparing",
        "hubfold.extents",
        "hubfold.fsops",
    }
    assert not set(imports(tree)) & impure
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"open", "print", "input"}


def test_the_command_line_sees_the_facade_and_nothing_below() -> None:
    facade = {
        "changes",
        "cli",
        "content",
        "demo",
        "display",
        "engine",
        "errors",
        "model_reports",
        "output",
        "progress",
    }
    facade |= {"reports", "__version__"}
    for name, tree in ENGINE_MODULES:
        if not name.startswith("cli/"):
            continue
        used = {
            word.split(".")[1] for word in imports(without_type_imports(tree)) if word.startswith("hubfold.")
        }
        assert used <= facade, f"{name} imports {used - facade}"
        typed = {word.split(".")[1] for word in imports(tree) if word.startswith("hubfold.")}
        assert typed <= facade | {"plan", "registry", "removing"}, f"{name} imports {typed - facade}"


def test_only_the_output_sink_prints() -> None:
    for name, tree in ENGINE_MODULES:
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert "print" not in called, name
        if name not in ("output", "cli/app"):
            assert not {
                call for call in called if call.startswith(("sys.stdout.w", "sys.stderr.w", "click.echo"))
            }, name


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    names = {part for name, _ in [*ENGINE_MODULES, *PLUGIN_MODULES] for part in name.split("/")}
    assert not {name for name in names for word in ("util", "helper", "common", "misc") if word in name}


def test_every_public_name_is_there_and_listed_once() -> None:
    for name in hubfold.__all__:
        assert getattr(hubfold, name) is not None
    assert set(hubfold._HOME_OF) | {"__version__"} == set(hubfold.__all__)
    tree = dict(ENGINE_MODULES)["__init__"]
    typed = {word for word in imports(tree) if word.startswith("hubfold.") and word.count(".") == 2}
    assert typed == {f"hubfold.{module}.{name}" for name, module in hubfold._HOME_OF.items()}
    with pytest.raises(AttributeError):
        _ = hubfold.no_such_name


def imported(*arguments: str, **environ: str) -> set[str]:
    """The packages that a command line imports."""
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
    loaded = {name.partition(".")[0] for name in done.stderr.splitlines()}
    assert "hubfold" in loaded
    return loaded


HEAVY = {"rich", "sqlite_utils", "huggingface_hub", "platformdirs", "asyncio", "http"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["scan", "--help"], ["nonsense"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not imported(*arguments) & (HEAVY | {"sqlite3", "pluggy", "xxhash"})


def test_a_scan_without_anything_to_read_imports_no_more_than_it_uses(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    home = {"HUBFOLD_HOME": str(tmp_path / "state"), "HF_HOME": str(tmp_path / "hf")}
    loaded = imported("scan", "--json", str(tmp_path / "models"), **home)
    assert not loaded & (HEAVY | {"concurrent", "logging", "email", "socket", "tempfile"})
