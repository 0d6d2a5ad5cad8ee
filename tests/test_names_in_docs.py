"""Names of code and of tests in texts and docstrings, for whoever carries on: what moved, or is gone, is found here.

A module is written with its room (``folding/plan``), so that what looks like a path in backticks is one. Docstrings,
which have their module's imports beside them, may leave the room out.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType

import pytest

from hubfold.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine" / "hubfold"
TESTS = ROOT / "tests"
#: Where a path in a text may begin.
FROM = (ENGINE, ROOT / "plugins", TESTS, ROOT)
#: Programs, names and words of other people.
THEIRS = {
    "cp",
    "dmesg",
    "du",
    "f_type",
    "huggingface_hub",
    "prune",
    "space/name",
    "sweep_shared_blob",
    "with",
}


def quoted(name: str) -> list[str]:
    """What stands in backticks in a text of the project, without blocks of code.

    The rooms, in DESIGN's "Shape", are held by `test_architecture.py`.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    for left_out in (r"(?ms)^```.*?^```$", r"(?m)^    .*$", r"(?ms)^## Shape\n.*?(?=^## )"):
        text = re.sub(left_out, "", text)
    found = list(dict.fromkeys(re.findall(r"`([^`\n]+)`", text)))
    assert found
    return found


# -- code -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "engine/DESIGN.md", "engine/SECURITY.md", "engine/hubfold/SAFETY.md"]
)
def test_every_name_of_code_is_one(name: str) -> None:
    assert not {word: told for word in quoted(name) if (told := wrong_with(word))}


def test_every_name_in_a_docstring_is_one() -> None:
    wrong = {
        (module, word): told
        for module, text in sources().items()
        for word in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
        if (told := wrong_with(word)) and not is_imported(word) and not is_variable(word)
    }
    assert not wrong


def test_a_name_in_a_docstring_need_not_have_its_room() -> None:
    assert all(map(is_imported, ("executor", "plan.Action.keeper", "os.path.join", "hubfold.content")))
    assert is_variable("root.path") and is_variable("names")
    for word in ("plan.NoSuch", "scan.no_such", "no_such_word", "os.no_such", "hubfold.walk.Memory"):
        assert not is_imported(word) and not is_variable(word), word


@pytest.mark.parametrize(
    "word",
    (
        *("folding/no_such", "no_such/", "folding/plan.NoSuch", "content.NoSuch", "Replica.no_such"),
        *("NoSuch.path", "no_such_word", "surveyor", "engine/no_such.md"),
    ),
)
def test_a_name_that_is_gone_is_seen(word: str) -> None:
    assert wrong_with(word)


@pytest.mark.parametrize(
    "word",
    (
        *(
            "folding/plan",
            "folding/",
            "folding/plan.Action.keeper",
            "content.Replica",
            "Replica.claims",
        ),
        *("still_needed", "rm", "O_NOFOLLOW", "hubfold undo", "engine/DESIGN.md", "roots.json"),
    ),
)
def test_a_name_that_is_there_is_not_taken_for_one_that_is_gone(word: str) -> None:
    assert not wrong_with(word)


def wrong_with(word: str) -> str:
    """What is wrong with a text in backticks; empty if nothing is, or if it is no name of code."""
    if word in THEIRS or re.search(r"\btest_\w+\.py", word):
        return ""  # see `is_test`
    if re.fullmatch(r"[\w.]*/[\w./]*", word):
        there = is_path(word) or is_in_module(word) or is_text(word.rstrip("/"))
        return "" if there else "there is no such path"
    if re.fullmatch(r"[a-zA-Z_]\w*(\.\w+)+", word):
        return "" if is_path(word) or is_member(word) or is_text(word) else "there is no such name"
    if not re.fullmatch(r"[a-z_]\w*", word) or word in COMMANDS:
        return ""
    if word not in words() and not is_text(word):
        return "the code has no such word"
    at_the_top = (ENGINE / word).is_dir() or (ENGINE / f"{word}.py").is_file()
    modules = [f"{path.parent.name}/{word}" for path in ENGINE.glob(f"*/{word}.py")]
    if modules and not at_the_top and not is_text(word):
        return f"a module is written with its room: {' or '.join(modules)}"
    return ""


def is_path(word: str) -> bool:
    """A file or folder, or a module without its ending."""
    return any((place / word).exists() or (place / f"{word}.py").is_file() for place in FROM)


def is_in_module(word: str) -> bool:
    """``room/module.name``."""
    room, _, name = word.rpartition("/")
    module, _, member = name.partition(".")
    return (ENGINE / room / f"{module}.py").is_file() and has(f"hubfold.{room}.{module}", member)


def is_member(word: str) -> bool:
    """``module.name`` of a module or room at the top of the engine, or ``Class.name``."""
    first, _, member = word.partition(".")
    if (ENGINE / f"{first}.py").is_file() or (ENGINE / first).is_dir():
        return has(f"hubfold.{first}", member)
    return any(has(module, word) for module in classes().get(first, ()))


def is_imported(word: str) -> bool:
    """A module of ours, whatever its room, a name in one, or a whole dotted name."""
    first, _, member = word.partition(".")
    if any(not member or has(module, member) for module in sources() if module.endswith(f".{first}")):
        return True
    if first not in {"hubfold", *sys.stdlib_module_names}:
        return False
    try:
        pkgutil.resolve_name(word)
    except (ImportError, AttributeError):
        return False
    return True


def is_variable(word: str) -> bool:
    """An argument, or a name in one: a word of the code that need not be a module, though one may be called so."""
    first, *more = word.split(".")
    is_module = any(module.rpartition(".")[2] == first for module in sources())
    return words().issuperset((first, *more)) and not (more and is_module)


def has(module: str, dotted: str) -> bool:
    module = module.replace("/", ".")
    if f"{module}.{dotted}" in sources():
        return True
    found: object = import_module(module)
    for name in dotted.split("."):
        if not hasattr(found, name) and name not in getattr(found, "__annotations__", {}):
            return False
        found = getattr(found, name, None)
    return True


@cache
def sources() -> dict[str, str]:
    """The text of every module."""
    return {
        ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
            "utf-8"
        )
        for top in (ENGINE.parent, ROOT / "plugins")
        for path in sorted(top.rglob("*.py"))
    }


@cache
def words() -> frozenset[str]:
    """Every name in the code, of modules, functions, fields and arguments."""
    found = {part for module in sources() for part in module.split(".")}
    left = [
        compile(text, module, "exec", optimize=2, dont_inherit=True) for module, text in sources().items()
    ]
    for code in left:
        found.update(code.co_names, code.co_varnames, code.co_cellvars)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                left.append(constant)
            else:
                found.update(
                    one
                    for one in (constant if isinstance(constant, tuple) else (constant,))
                    if isinstance(one, str)
                )
    return frozenset(found)


@cache
def is_text(word: str) -> bool:
    """Whether the code has it in quotes: the name of a file, a record, a kind."""
    return any(f'"{word}"' in text for text in sources().values())


@cache
def classes() -> dict[str, list[str]]:
    """In which modules there is a class of a name."""
    found: dict[str, list[str]] = {}
    for module, text in sources().items():
        for name in re.findall(r"^class (\w+)", text, re.MULTILINE):
            found.setdefault(name, []).append(module)
    return found


# -- tests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "engine/SECURITY.md", "engine/hubfold/SAFETY.md", "tests/README.md"]
)
def test_every_test_that_is_named_is_there(name: str) -> None:
    assert not [word for word in quoted(name) if not is_test(word)]


@pytest.mark.parametrize(
    "word", ["test_no_such.py", "faults/test_sweeps.py::test_no_such", "…test_no_such", "test_gc_no_such_…"]
)
def test_a_test_that_is_gone_is_seen(word: str) -> None:
    assert not is_test(word)


def is_test(word: str) -> bool:
    """Whether a test or file of tests is there; so it is for what names none. ``…`` stands for what is left out."""
    named = re.fullmatch(r"(?:([\w/]+\.py)(?:::|$)|…)?(test_\w*)?(…)?", word)
    if named is None:
        return True
    file, test, more = named.groups()
    files = [path for path in TESTS.rglob("*.py") if path.as_posix().endswith(f"/{file}")] if file else ()
    if file and not files and not is_path(file):
        return False
    return not test or any(
        known == test or (more and known.startswith(test)) for known in known_tests(*files)
    )


def known_tests(*files: Path) -> Iterator[str]:
    """The names of the tests in some files, or, without any, in all."""
    for file in files or TESTS.rglob("test_*.py"):
        yield from named_in(file)


@cache
def named_in(file: Path) -> list[str]:
    return re.findall(r"^\s*def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
