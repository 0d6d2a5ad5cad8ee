"""The house as its code says it: which modules there are, what each imports and when, and what it does to a disk.

Nothing is imported or run: a house is a mapping of module names to sources, so that the rules that `test_architecture`
lays on the real one can be tried on small ones that break them. A rule is a function that returns its complaints.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path


class When(Enum):
    """When an import happens."""

    START = "at the top"
    #: Inside a function: when that is called, if ever.
    CALL = "in a function"
    #: Below `if TYPE_CHECKING`: never.
    TYPING = "for its annotations"


@dataclass(frozen=True, slots=True)
class Import:
    """One name, or module, that a module imports: `name` is None where it is the module itself."""

    module: str
    name: str | None
    when: When
    line: int


@dataclass(frozen=True, slots=True)
class Room:
    """One row of the table: modules of the engine by their first name (folders, or single files)."""

    name: str
    #: What lies in it; by default the folder of its name.
    holds: tuple[str, ...]
    #: Rooms that its modules may import, all of them below it.
    imports: frozenset[str]
    #: Rooms that it imports for annotations only; nothing of them is loaded.
    annotates: frozenset[str] = frozenset()
    #: Rooms that it may not come to through anything that it imports.
    never: frozenset[str] = frozenset()


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree, kept: each rule looks at each module, and to walk one costs more than what it asks."""
    return tuple(ast.walk(tree))


class Module:
    """One module: its tree, and what it imports as it is written."""

    def __init__(self, name: str, source: str, is_package: bool) -> None:
        self.name = name
        self.tree = ast.parse(source, name)
        self.package = name if is_package else name.rpartition(".")[0]

    @cached_property
    def written(self) -> tuple[Import, ...]:
        return tuple(self._imports(self.tree.body, When.START))

    def _imports(self, nodes: Iterable[ast.AST], when: When) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, None, when, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    yield Import(base, alias.name, when, node.lineno)
            elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                yield from self._imports(node.body, When.TYPING)
                yield from self._imports(node.orelse, when)
            else:
                called = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                below = When.CALL if called and when is When.START else when
                yield from self._imports(ast.iter_child_nodes(node), below)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])

    @cached_property
    def texts(self) -> frozenset[str]:
        return frozenset(_texts(self.tree))

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in nodes_of(self.tree) if isinstance(node, ast.Call))


class House:
    """Modules by name, and where their imports lead."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        packages = {name.rpartition(".")[0] for name in sources}
        self.modules = {name: Module(name, text, name in packages) for name, text in sources.items()}
        self._ways: dict[str, dict[str, tuple[str, ...]]] = {}

    @classmethod
    def at(cls, *packages: Path) -> House:
        """The modules below the folders of packages."""
        sources = {}
        for package in packages:
            for path in sorted(package.rglob("*.py")):
                parts = path.relative_to(package.parent).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                sources[name] = path.read_text(encoding="utf-8")
        return cls(sources)

    @cached_property
    def imports(self) -> dict[str, list[Import]]:
        """What each module imports, from the module that it comes from: a package may hand on names of another."""
        return {
            name: [self._resolved(one) for one in module.written] for name, module in self.modules.items()
        }

    def _resolved(self, one: Import) -> Import:
        if one.name is None or one.module not in self.modules:
            return one
        if f"{one.module}.{one.name}" in self.modules:
            return Import(f"{one.module}.{one.name}", None, one.when, one.line)
        home = self._handed_on.get(one.module, {}).get(one.name)
        return one if home is None else Import(home, one.name, one.when, one.line)

    @cached_property
    def _handed_on(self) -> dict[str, dict[str, str]]:
        """The home of each name that a package with a `__getattr__` imports when it is first used."""
        return {
            name: {one.name: one.module for one in module.written if one.name and one.when is When.TYPING}
            for name, module in self.modules.items()
            if "__getattr__" in _defined(module.tree)
        }

    def arrows(self, *when: When) -> Iterator[tuple[str, Import]]:
        """(importer, import) of everything of the house that modules of it import, themselves left out."""
        for name in self.modules:
            for one in self.imports[name]:
                if one.module in self.modules and one.module != name and (not when or one.when in when):
                    yield name, one

    def ways(self, start: str) -> dict[str, tuple[str, ...]]:
        """Everything of the house that `start` may load, with the way to it, itself first."""
        if start not in self._ways:
            self._ways[start] = self._find_ways(start)
        return self._ways[start]

    @cached_property
    def _loads(self) -> dict[str, set[str]]:
        """What running a module may load: its imports in functions too, but annotations load nothing."""
        loads: dict[str, set[str]] = {name: set() for name in self.modules}
        for name, one in self.arrows(When.START, When.CALL):
            loads[name].add(one.module)
        return loads

    @cached_property
    def _starts(self) -> dict[str, set[str]]:
        starts: dict[str, set[str]] = {name: set() for name in self.modules}
        for name, one in self.arrows(When.START):
            starts[name].add(one.module)
        return starts

    def _find_ways(self, start: str) -> dict[str, tuple[str, ...]]:
        # A package that is on the way to a module is loaded with it, and so is what that package imports at its top.
        ways: dict[str, tuple[str, ...]] = {start: (start,)}
        todo = deque([(start, True)])
        while todo:
            name, whole = todo.popleft()
            below = dict.fromkeys((self._loads if whole else self._starts)[name], True)
            parents = name.split(".")
            for depth in range(1, len(parents)):
                below.setdefault(".".join(parents[:depth]), False)
            for other, is_whole in below.items():
                if other in self.modules and other not in ways:
                    ways[other] = (*ways[name], other)
                    todo.append((other, is_whole))
        return ways


def room_of(module: str, rooms: Iterable[Room]) -> Room | None:
    """The room that a module of the engine lies in; None if it is in none, or no module of the engine."""
    parts = module.split(".")
    first = parts[1] if len(parts) > 1 else "__init__"
    return next((room for room in rooms if parts[0] == "hubfold" and first in room.holds), None)


# -- the rules. Each returns what breaks it, as lines to read; none is what is wanted.


def without_a_room(house: House, rooms: Sequence[Room]) -> list[str]:
    """Modules of the engine that no row names, and names in rows that are no module."""
    homeless = [
        f"{name} is in no room"
        for name in house.modules
        if name.startswith("hubfold.") and room_of(name, rooms) is None
    ]
    there = {name.split(".")[1] if "." in name else "__init__" for name in house.modules}
    return homeless + [
        f"{room.name} holds {name}, which is nowhere"
        for room in rooms
        for name in room.holds
        if name not in there
    ]


def running_up(rooms: Sequence[Room]) -> list[str]:
    """What a row says of rooms that are not below it, or that are none."""
    below = {room.name: {other.name for other in rooms[number + 1 :]} for number, room in enumerate(rooms)}
    return [
        f"{room.name} would import {other}, which is not below it"
        for room in rooms
        for other in sorted((room.imports | room.annotates | room.never) - below[room.name])
    ]


def not_allowed(house: House, rooms: Sequence[Room]) -> list[str]:
    """Imports from one room into another that the table does not allow."""
    found = []
    for name, one in house.arrows():
        here, there = room_of(name, rooms), room_of(one.module, rooms)
        if here is None or there is None or here is there:
            continue
        allowed = here.imports | (here.annotates if one.when is When.TYPING else frozenset())
        if there.name not in allowed:
            found.append(f"{name}:{one.line} imports {one.module} {one.when.value}")
    return found


def not_used(house: House, rooms: Sequence[Room]) -> list[str]:
    """What the table allows and no module does: a permission that nobody needs is taken away."""
    used: set[tuple[str, str, bool]] = set()
    for name, one in house.arrows():
        here, there = room_of(name, rooms), room_of(one.module, rooms)
        if here is not None and there is not None:
            used.add((here.name, there.name, one.when is When.TYPING))
    wanted = {(room.name, other, False) for room in rooms for other in room.imports}
    wanted |= {(room.name, other, True) for room in rooms for other in room.annotates}
    return sorted(
        f"{here} never imports {there}{' for annotations' if typing else ''}"
        for here, there, typing in wanted - used
    )


def kept_away(house: House, rooms: Sequence[Room]) -> list[str]:
    """Ways, however long, into a room that the table keeps another one away from."""
    found = []
    for name in house.modules:
        here = room_of(name, rooms)
        if here is None or not here.never:
            continue
        for other, way in house.ways(name).items():
            there = room_of(other, rooms)
            if there is not None and there.name in here.never:
                found.append(" → ".join(way))
    return found


def circles(house: House) -> list[str]:
    """The shortest way back to each module that comes back to itself through what it imports, annotations included."""
    leads: dict[str, set[str]] = {name: set() for name in house.modules}
    for name, one in house.arrows():
        leads[name].add(one.module)
    found: dict[frozenset[str], str] = {}
    for start in leads:
        way = _way_back(start, leads)
        if way is not None:
            found.setdefault(frozenset(way), " → ".join(way))
    return sorted(found.values())


def _way_back(start: str, leads: Mapping[str, Collection[str]]) -> tuple[str, ...] | None:
    ways: dict[str, tuple[str, ...]] = {}
    todo: deque[tuple[str, ...]] = deque([(start,)])
    while todo:
        way = todo.popleft()
        for name in sorted(leads[way[-1]]):
            if name == start:
                return (*way, start)
            if name not in ways:
                ways[name] = (*way, name)
                todo.append(ways[name])
    return None


def late(house: House, rooms: Sequence[Room], listed: Mapping[str, Collection[str]]) -> list[str]:
    """Imports inside functions across rooms but those `listed` (room or module: what it imports), and stale entries."""
    found, used = [], set()
    for name, one in house.arrows(When.CALL):
        here, there = room_of(name, rooms), room_of(one.module, rooms)
        if here is None or here is there:
            continue
        by = name if name in listed else here.name
        if one.module in listed.get(by, ()) or "*" in listed.get(by, ()):
            used.add((by, one.module))
            used.add((by, "*"))
        else:
            found.append(f"{name}:{one.line} imports {one.module} inside a function")
    stale = {(by, module) for by, modules in listed.items() for module in modules} - used
    return found + [f"{by} does not import {module} inside a function" for by, module in sorted(stale)]


def more_than_the_api(house: House, api: Collection[str], kit: Collection[str]) -> list[str]:
    """What modules that are not the engine's import of it besides the plugin API (and its testing `kit`).

    And what the API itself leads to: what a plugin loads by it, any plugin may come to rely on.
    """
    found = []
    for name, one in house.arrows():
        ours = one.module == "hubfold" or one.module.startswith("hubfold.")
        if name.partition(".")[0] != "hubfold" and ours and one.module not in {*api, *kit}:
            found.append(f"{name}:{one.line} imports {one.module}")
    for name in api:
        if name in house.modules:
            found += [" → ".join(way) for other, way in house.ways(name).items() if other not in api]
    return found


def computed(house: House, listed: Collection[str]) -> list[str]:
    """Modules that import by a name that is computed, which no rule here can follow, but those `listed`."""
    callers = {
        name
        for name, module in house.modules.items()
        for call in module.calls()
        if ast.unparse(call.func).rpartition(".")[2] in ("import_module", "__import__")
    }
    return sorted(callers ^ set(listed))


# -- what a module does

CHANGING_OS_CALLS = {
    "chflags", "chmod", "chown", "copy_file_range", "fchmod", "fchown", "ftruncate", "lchown", "link", "makedirs",
    "mkdir", "mkfifo", "mknod", "posix_fallocate", "pwrite", "pwritev", "remove", "removedirs", "removexattr",
    "rename", "renames", "replace", "rmdir", "sendfile", "setxattr", "symlink", "truncate", "unlink", "utime",
    "writev",
}  # fmt: skip

#: Of the standard library, and what `disk/` offers for it: whoever calls them changes a disk all the same.
CHANGING_METHODS = {
    "hardlink_to", "rmtree", "symlink_to", "touch", "write_bytes", "write_text", "copyfile", "copytree", "copy2",
    "copyfileobj", "mkdtemp", "mkstemp", "unlink", "mkdir", "rmdir", "rename", "symlink",
    "append_file", "create_file", "exchange", "give_to", "give_to_owner_of", "link_from", "make_below",
    "make_folders", "move", "own_file", "remove_tree", "set_mode", "swap_back", "swap_in",
}  # fmt: skip

_WRITING_FLAGS = (
    "O_CREAT",
    "O_WRONLY",
    "O_RDWR",
    "O_TRUNC",
    "O_APPEND",
    "open_flags.CREATE",
    "open_flags.APPEND",
)

#: What asks nobody: text in, text out.
PURE_PATH_FUNCTIONS = {
    "basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normpath", "relpath", "sep", "split",
    "splitext",
}  # fmt: skip
_PURE_OS = {
    "path",
    "sep",
    "fsencode",
    "fsdecode",
    "fspath",
    "PathLike",
    "stat_result",
    "strerror",
    "curdir",
    "pardir",
}

#: Of the standard library and of others: what is there to look at a disk or to change it, or is not the same twice.
_REACHING = {
    "ctypes", "fcntl", "filelock", "ftplib", "glob", "http", "huggingface_hub", "io", "mmap", "multiprocessing",
    "pathlib", "random", "secrets", "shutil", "socket", "sqlite3", "sqlite_utils", "subprocess", "tarfile",
    "tempfile", "time", "urllib", "zipfile",
}  # fmt: skip


def changing_calls(tree: ast.AST) -> Iterator[str]:
    """Calls that change a disk, or open something so that it can be changed."""
    constants = {
        ast.unparse(target): ast.unparse(node.value)
        for node in getattr(tree, "body", ())
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    for node in nodes_of(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        of_os = called == f"os.{name}" and name in CHANGING_OS_CALLS
        if of_os or name in CHANGING_METHODS:
            yield called
        elif name in ("open", "fdopen") and called in ("open", "os.fdopen", "io.open"):
            mode = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
            if any(isinstance(m, ast.Constant) and set(str(m.value)) & set("wax+") for m in mode):
                yield f"{called} for writing"
        elif called == "os.open" and ast.unparse(node.args[0]) not in ("os.devnull", "os.ctermid()"):
            flags = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
            flags += constants.get(flags, "")
            if any(flag in flags for flag in _WRITING_FLAGS):
                yield "os.open for writing"


def attributes_of(tree: ast.AST, name: str) -> Iterator[str]:
    """Every `x` of `name.x`, for a dotted `name`."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name:
            yield node.attr


def impure(module: Module) -> list[str]:
    """What a module has that may look at a disk, change it, or answer otherwise the next time."""
    found = {f"os.{name}" for name in attributes_of(module.tree, "os") if name not in _PURE_OS}
    found |= {
        f"os.path.{name}" for name in attributes_of(module.tree, "os.path") if name not in PURE_PATH_FUNCTIONS
    }
    found |= {
        one.module
        for one in module.written
        if one.when is not When.TYPING and one.module.partition(".")[0] in _REACHING
    }
    named = {ast.unparse(call.func) for call in module.calls()}
    return sorted(found | named & {"open", "print", "input"} | set(changing_calls(module.tree)))


def reaching_a_disk(house: House, pure: Iterable[str]) -> list[str]:
    """Ways from modules that are to be pure (a folder stands for all in it) to one that is not."""
    found = []
    for prefix in pure:
        names = [name for name in house.modules if name == prefix or name.startswith(prefix + ".")]
        found += [f"{prefix} is no module"] if not names else []
        for name in names:
            for other, way in house.ways(name).items():
                if what := impure(house.modules[other]):
                    found.append(f"{' → '.join(way)}: {', '.join(what)}")
    return found


def changing_disks(house: House, listed: Collection[str]) -> list[str]:
    """Modules that change a disk and are not `listed`, and listed ones that do not."""
    calls = {name: sorted(set(changing_calls(module.tree))) for name, module in house.modules.items()}
    found = [f"{name} calls {', '.join(what)}" for name, what in calls.items() if what and name not in listed]
    return found + [f"{name} changes no disk" for name in listed if not calls.get(name)]


def naming(house: House, words: Iterable[str], besides: Collection[str]) -> list[str]:
    """Modules of the engine with one of `words` in a text, `besides` those that may have it."""
    return [
        f"{name} says {text!r}"
        for word in words
        for name, module in house.modules.items()
        if name.partition(".")[0] == "hubfold" and name not in besides
        for text in sorted(module.texts)
        if word in text
    ]


_DECIDING = (
    ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.With, ast.BoolOp, ast.Raise, ast.comprehension, ast.Match,
)  # fmt: skip


def decides(module: Module) -> bool:
    """Whether a module has logic: a function that does one thing or another, or one thing to many."""
    functions = (
        node for node in nodes_of(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return any(isinstance(node, _DECIDING) for function in functions for node in ast.walk(function))


def test_of(module: str) -> str:
    """The test file of a module's own, below ``tests/``: in the folder of its room, with its name."""
    first, *rest = module.split(".")
    *folders, name = [
        part for part in (rest if first == "hubfold" else ["plugins", *rest]) if part != "commands"
    ]
    return "/".join([*folders, f"test_{name}.py"])


def untested(house: House, tests: Collection[str], listed: Mapping[str, Collection[str]]) -> list[str]:
    """Modules with logic that have no test file of their own and are not `listed` with others; and stale entries."""
    found = []
    for name, module in house.modules.items():
        own = "." in name and test_of(name) in tests
        if name in listed:
            found += [f"{name} is listed and has {test_of(name)}"] if own else []
            found += [f"{name}: there is no {other}" for other in listed[name] if other not in tests]
        elif decides(module) and not own:
            found.append(f"{name} has no {test_of(name) if '.' in name else 'test'}")
    return found + [f"{name} is no module" for name in listed if name not in house.modules]


def private_elsewhere(house: House) -> list[str]:
    """Names with an underscore that a module uses and does not define: another module's business.

    `_replace` is everybody's: named tuples call so what dataclasses have `replace` for.
    """
    found = []
    for name, module in house.modules.items():
        ours = {one.module.partition(".")[0] for one in module.written} & {"hubfold", "hubfold_plugins"}
        foreign = {
            alias.asname or alias.name.partition(".")[0]
            for node in nodes_of(module.tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } - ours
        found += [
            f"{name}:{one.line} imports {one.name} of {one.module}"
            for one in module.written
            if one.module in house.modules and _is_private(one.name or one.module.rpartition(".")[2])
        ]
        defined = {*_defined(module.tree), "_replace"}
        found += [
            f"{name}:{node.lineno} uses {ast.unparse(node)}"
            for node in nodes_of(module.tree)
            if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in defined
            if ast.unparse(node.value) not in foreign
        ]
    return found


def crowded(house: House, parameters: int, arguments: int, besides: Collection[str] = ()) -> list[str]:
    """Functions with more than so many parameters (`self` left out), and calls that hand over more without a name.

    `besides` are functions, by module and name, and calls, as they are written, that may; and stale ones of these.
    """
    found, used = [], set()
    for name, module in house.modules.items():
        for node in nodes_of(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                what, count, most = f"{name}.{node.name}", _parameters(node), parameters
            elif isinstance(node, ast.Call):
                what, count, most = ast.unparse(node.func), len(node.args), arguments
            else:
                continue
            if count > most and what in besides:
                used.add(what)
            elif count > most:
                does = "calls" if isinstance(node, ast.Call) else "has"
                found.append(f"{name}:{node.lineno} {does} {what}: {count}")
    return found + [f"{what} is not crowded" for what in besides if what not in used]


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args]
    own = bool(named) and named[0].arg in ("self", "cls")
    more = [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
    return len(named) + len(node.args.kwonlyargs) + len(more) - own


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _texts(tree: ast.AST) -> Iterator[str]:
    """Text literals, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in nodes_of(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes_of(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
