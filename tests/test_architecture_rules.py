"""The rules of `test_architecture`, each on a small house that keeps it and on one that breaks it: none is blind."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

import pytest

from tests.building import house as rules
from tests.building.house import House, Import, Room, When

#: A kitchen over a cellar over the ground.
ROOMS = (
    Room("kitchen", ("kitchen",), frozenset({"cellar", "ground"}), frozenset({"yard"}), frozenset({"well"})),
    Room("yard", ("yard",), frozenset({"ground"})),
    Room("cellar", ("cellar",), frozenset({"ground"})),
    Room("well", ("well",), frozenset()),
    Room("ground", ("words",), frozenset()),
)
SOUND = {
    "hubfold": "",
    "hubfold.kitchen": "",
    "hubfold.kitchen.cook": "from hubfold.cellar import wine\nfrom hubfold.words import SALT\n"
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hubfold.yard import Hen\n",
    "hubfold.cellar": "",
    "hubfold.cellar.wine": "import os\nfrom hubfold.words import SALT\nname = os.path.join('a', 'b')\n",
    "hubfold.yard": "from hubfold.words import SALT\nclass Hen: ...\n",
    "hubfold.well": "",
    "hubfold.words": "SALT = 1\n",
    "hubfold_plugins": "",
    "hubfold_plugins.ours": "from hubfold.words import SALT\nfrom hubfold_plugins import helper\n",
    "hubfold_plugins.helper": "",
}


def house(**changed: str) -> House:
    """`SOUND` with other texts for some modules of the engine, their names with `__` for each dot."""
    return House(SOUND | {f"hubfold.{name.replace('__', '.')}": text for name, text in changed.items()})


WINE, COOK = "cellar__wine", "kitchen__cook"

Rule = Callable[[House], list[str]]
RULES: Mapping[str, Rule] = {
    "rooms": lambda one: rules.without_a_room(one, ROOMS),
    "allowed": lambda one: rules.not_allowed(one, ROOMS),
    "used": lambda one: rules.not_used(one, ROOMS),
    "kept away": lambda one: rules.kept_away(one, ROOMS),
    "circles": rules.circles,
    "late": lambda one: rules.late(one, ROOMS, {}),
    "computed": lambda one: rules.computed(one, []),
    "pure": lambda one: rules.reaching_a_disk(one, ["hubfold.words", "hubfold.kitchen"]),
    "disks": lambda one: rules.changing_disks(one, []),
    "layout": lambda one: rules.naming(one, ["blobs"], besides={"hubfold.yard"}),
    "api": lambda one: rules.more_than_the_api(one, {"hubfold", "hubfold.words"}, {"hubfold.yard"}),
    "private": rules.private_elsewhere,
    "crowded": lambda one: rules.crowded(one, 2, 2),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_sound_house_breaks_no_rule(rule: str) -> None:
    assert RULES[rule](house()) == []


@pytest.mark.parametrize(
    ("rule", "module", "text", "complaint"),
    [
        ("rooms", "attic", "", "hubfold.attic is in no room"),
        ("rooms", "attic__box", "", "hubfold.attic.box is in no room"),
        # What runs up, or past the table; wherever it stands, and in whatever form.
        ("allowed", WINE, "import hubfold.kitchen.cook",
         "hubfold.cellar.wine:1 imports hubfold.kitchen.cook"),
        ("allowed", WINE, "from hubfold import kitchen", "hubfold.cellar.wine:1 imports hubfold.kitchen"),
        ("allowed", WINE, "from hubfold.kitchen import cook",
         "hubfold.cellar.wine:1 imports hubfold.kitchen.cook"),
        ("allowed", WINE, "from ..kitchen import cook",
         "hubfold.cellar.wine:1 imports hubfold.kitchen.cook"),
        ("allowed", WINE, "def f():\n    from hubfold.yard import Hen",
         "hubfold.cellar.wine:2 imports hubfold.yard"),
        ("allowed", WINE, "class A:\n  def f(self):\n    import hubfold.yard",
         "hubfold.cellar.wine:3 imports"),
        ("allowed", WINE, "try:\n    import hubfold.yard\nexcept ImportError: ...",
         "hubfold.cellar.wine:2"),
        ("allowed", WINE, "if TYPE_CHECKING:\n    import hubfold.yard", "for its annotations"),
        # The annotations of the table are for annotations.
        ("allowed", COOK, "from hubfold.yard import Hen", "hubfold.kitchen.cook:1 imports hubfold.yard"),
        ("used", COOK, "", "kitchen never imports cellar"),
        ("used", COOK, "if TYPE_CHECKING:\n    import hubfold.cellar.wine", "kitchen never imports cellar"),
        ("used", COOK, "from hubfold.cellar import wine\nimport hubfold.words",
         "kitchen never imports yard for annotations"),
        # Through one that it may import.
        ("kept away", WINE, "import hubfold.well",
         "hubfold.kitchen.cook → hubfold.cellar.wine → hubfold.well"),
        ("kept away", WINE, "def f():\n    import hubfold.well", "hubfold.cellar.wine → hubfold.well"),
        # Through a package that is loaded on the way to one.
        ("kept away", "cellar", "import hubfold.well", "hubfold.cellar → hubfold.well"),
        ("circles", "words", "import hubfold.kitchen.cook",
         "hubfold.kitchen.cook → hubfold.words → hubfold.kitchen.cook"),
        ("circles", "words", "def f():\n    import hubfold.yard",
         "hubfold.yard → hubfold.words → hubfold.yard"),
        ("circles", "words", "if TYPE_CHECKING:\n    import hubfold.yard",
         "hubfold.yard → hubfold.words → hubfold.yard"),
        ("late", WINE, "def f():\n    from hubfold.words import SALT",
         "hubfold.cellar.wine:2 imports hubfold.words"),
        ("late", WINE, "async def f():\n    import hubfold.words",
         "hubfold.cellar.wine:2 imports hubfold.words"),
        ("computed", "yard", "import importlib\nimportlib.import_module(name)", "hubfold.yard"),
        ("computed", "yard", "__import__('os')", "hubfold.yard"),
        # Itself, at the end of a way, by a package on the way, or only when a function is called.
        ("pure", "words", "import os\nos.stat('a')", "hubfold.words: os.stat"),
        ("pure", "words", "import os\nos.path.exists('a')", "hubfold.words: os.path.exists"),
        ("pure", "words", "open('a')", "hubfold.words: open"),
        ("pure", "words", "from pathlib import Path", "hubfold.words: pathlib"),
        ("pure", "words", "import time", "hubfold.words: time"),
        ("pure", "words", "folder.unlink(name)", "hubfold.words: folder.unlink"),
        ("pure", WINE, "import sqlite3", "hubfold.kitchen.cook → hubfold.cellar.wine: sqlite3"),
        ("pure", WINE, "def f():\n    import sqlite3",
         "hubfold.kitchen.cook → hubfold.cellar.wine: sqlite3"),
        ("pure", "cellar", "import sqlite3", "hubfold.cellar: sqlite3"),
        ("disks", "well", "import os\nos.rename('a', 'b')", "hubfold.well calls os.rename"),
        ("layout", "well", "x = 'repo/blobs/x'", "hubfold.well says 'repo/blobs/x'"),
        ("layout", "well", "def f():\n    return b'blobs'", "hubfold.well says 'blobs'"),
        ("layout", "well", "f'{name}/blobs'", "hubfold.well says '/blobs'"),
        # What the API leads to is as good as part of it.
        ("api", "words", "import hubfold.cellar.wine", "hubfold.words → hubfold.cellar.wine"),
        ("crowded", COOK, "def f(a, *, b, c): ...", "hubfold.kitchen.cook:1 has hubfold.kitchen.cook.f: 3"),
        ("crowded", COOK, "class A:\n    def f(self, a, b, *c): ...",
         "hubfold.kitchen.cook:2 has hubfold.kitchen.cook.f: 3"),
        ("crowded", COOK, "mix(1, 2, 3)", "hubfold.kitchen.cook:1 calls mix: 3"),
        ("private", COOK, "from hubfold.words import _SALT",
         "hubfold.kitchen.cook:1 imports _SALT of hubfold.words"),
        ("private", COOK, "from hubfold import words\nwords._SALT",
         "hubfold.kitchen.cook:2 uses words._SALT"),
        ("private", COOK, "class A:\n    def f(self):\n        self._of_base()", "uses self._of_base"),
        ("private", COOK, "import hubfold.words\nhubfold.words._SALT", "uses hubfold.words._SALT"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told(rule: str, module: str, text: str, complaint: str) -> None:
    found = RULES[rule](house(**{module: text}))
    assert any(complaint in line for line in found), found


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        # Its own room, its own names, names of others' modules, and what Python itself defines.
        ("late", WINE, "def f():\n    from hubfold.cellar import cask"),
        (
            "private",
            "kitchen__cook",
            "class A:\n    _x = 1\n    def f(self, other):\n        return other._x",
        ),
        ("private", COOK, "import os\nos._exit(1)\nA.__dict__"),
        ("private", COOK, "def f(a):\n    return a._replace(b=1)"),
        # A docstring may explain; a reading call reads.
        ("layout", "well", '"""What a backend calls blobs."""\ndef f():\n    """blobs"""'),
        ("layout", "yard", "x = 'blobs'"),
        ("disks", "well", "import os\nos.open('a', os.O_RDONLY)\nopen('a')\n'a'.replace('a', 'b')"),
        ("kept away", "words", "if TYPE_CHECKING:\n    import hubfold.well"),
        ("pure", "words", "if TYPE_CHECKING:\n    from pathlib import Path"),
        ("pure", "words", "import os\nos.path.join(os.fsdecode(b'a'), os.pardir)"),
    ],
)
def test_what_keeps_a_rule_is_not_taken_for_a_break(rule: str, module: str, text: str) -> None:
    assert RULES[rule](house(**{module: text})) == []


@pytest.mark.parametrize(
    "text",
    [
        "from hubfold.cellar import wine",
        "import hubfold.cellar.wine",
        "def f():\n    import hubfold.cellar.wine",
        "if TYPE_CHECKING:\n    import hubfold.cellar.wine",
    ],
)
def test_a_plugin_that_imports_more_than_the_api_is_told(text: str) -> None:
    found = RULES["api"](House(SOUND | {"hubfold_plugins.ours": text}))
    assert len(found) == 1
    assert found[0].startswith("hubfold_plugins.ours:")


def test_a_plugin_may_use_the_kit() -> None:
    assert RULES["api"](House(SOUND | {"hubfold_plugins.ours": "from hubfold.yard import Hen"})) == []


def test_a_table_that_would_let_an_import_run_up_is_told() -> None:
    assert rules.running_up(ROOMS) == []
    up = Room("ground", ("words",), frozenset({"kitchen"}))
    assert rules.running_up((*ROOMS[:-1], up)) == ["ground would import kitchen, which is not below it"]
    itself = Room("ground", ("words",), frozenset({"ground"}))
    assert rules.running_up((*ROOMS[:-1], itself))
    nowhere = Room("ground", ("words",), frozenset(), never=frozenset({"attic"}))
    assert rules.running_up((*ROOMS[:-1], nowhere))


def test_a_row_for_a_module_that_is_gone_is_told() -> None:
    assert rules.without_a_room(house(), (*ROOMS, Room("attic", ("attic",), frozenset()))) == [
        "attic holds attic, which is nowhere"
    ]


def test_a_listed_import_in_a_function_is_let_through_until_it_is_gone() -> None:
    listed = {"hubfold.cellar.wine": ["hubfold.words"]}
    text = "def f():\n    import hubfold.words"
    assert rules.late(house(cellar__wine=text), ROOMS, listed) == []
    assert rules.late(house(cellar__wine=text), ROOMS, {"hubfold.cellar.wine": ["*"]}) == []
    assert rules.late(house(), ROOMS, listed) == [
        "hubfold.cellar.wine does not import hubfold.words inside a function"
    ]


def test_self_and_what_has_a_name_do_not_crowd() -> None:
    text = "class A:\n    def f(self, a, b): ...\nmix(1, salt=2, pepper=3)\n"
    assert rules.crowded(house(kitchen__cook=text), 2, 2) == []
    assert rules.crowded(house(kitchen__cook="mix(1, 2, 3)"), 2, 2, ["mix"]) == []


def test_a_list_of_exceptions_has_nothing_that_needs_none() -> None:
    assert rules.crowded(house(), 2, 2, ["mix"]) == ["mix is not crowded"]
    assert rules.changing_disks(house(), ["hubfold.well"]) == ["hubfold.well changes no disk"]
    assert rules.computed(house(), ["hubfold.well"]) == ["hubfold.well"]
    assert rules.reaching_a_disk(house(), ["hubfold.attic"]) == ["hubfold.attic is no module"]


LOGIC = "def f(a):\n    if a:\n        return 1\n"


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("hubfold.words", "test_words.py"),
        ("hubfold.cellar.wine", "cellar/test_wine.py"),
        ("hubfold.cli.commands.scan", "cli/test_scan.py"),
        ("hubfold_plugins.ours", "plugins/test_ours.py"),
    ],
)
def test_a_module_with_logic_and_without_a_test_is_told(module: str, own: str) -> None:
    one = House(SOUND | {module: LOGIC})
    assert rules.untested(one, [], {}) == [f"{module} has no {own}"]
    assert rules.untested(one, [own], {}) == []
    assert rules.untested(one, ["other.py"], {module: ["other.py"]}) == []
    assert rules.untested(one, [], {module: ["other.py"]}) == [f"{module}: there is no other.py"]
    assert rules.untested(one, [own, "other.py"], {module: ["other.py"]}) == [
        f"{module} is listed and has {own}"
    ]


@pytest.mark.parametrize(
    "text", ["", "X = 1 if Y else 2", "class A:\n    x: int\n", "def f(a):\n    return {'a': a}\n"]
)
def test_a_module_without_logic_needs_no_test(text: str) -> None:
    assert rules.untested(house(words=text), [], {}) == []
    assert rules.untested(house(words=text), [], {"hubfold.attic": []}) == ["hubfold.attic is no module"]


@pytest.mark.parametrize(
    "text",
    [
        LOGIC,
        "def f(a):\n    return [b for b in a]",
        "def f(a):\n    raise a",
        "def f(a):\n    with a: ...",
        "class A:\n    def f(self):\n        return self.a or 1",
    ],
)
def test_logic_is_seen(text: str) -> None:
    assert rules.untested(house(words=text), [], {})


def test_a_name_that_a_package_hands_on_is_of_its_home() -> None:
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hubfold.words import SALT\n"
    front = {"hubfold": lazy + "__getattr__ = 1\n", "hubfold.cellar.wine": "from hubfold import SALT\n"}
    assert House(SOUND | front).imports["hubfold.cellar.wine"] == [
        Import("hubfold.words", "SALT", When.START, 1)
    ]
    assert House(SOUND | front | {"hubfold": lazy}).imports["hubfold.cellar.wine"] == [
        Import("hubfold", "SALT", When.START, 1)
    ]


@pytest.mark.parametrize(
    "line",
    [
        "os.rename(a, b)",
        "os.unlink(a, dir_fd=d)",
        "shutil.rmtree(a)",
        "rmtree(a)",
        "open(a, 'w')",
        "open(a, mode='r+b')",
        "Path(a).write_text('')",
        "os.open(a, os.O_WRONLY | os.O_CREAT)",
        "os.open(a, open_flags.CREATE)",
        "FLAGS = os.O_RDWR\nos.open(a, FLAGS)",
        "folder.create_file(name)",
        "exchange.swap_in(folder, temporary, name)",
    ],
)
def test_a_changing_call_is_seen(line: str) -> None:
    assert list(rules.changing_calls(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "open(a)",
        "open(a, 'rb')",
        "os.open(a, os.O_RDONLY)",
        "os.open(a, open_flags.READ | open_flags.NOFOLLOW)",
        "os.path.basename(a).replace(b, c)",
        "text.replace(a, b)",
    ],
)
def test_a_reading_call_is_not_taken_for_one(line: str) -> None:
    assert not list(rules.changing_calls(ast.parse(line)))
