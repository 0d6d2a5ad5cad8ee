"""What a user reads is in the words of users: no *payload*, *replica*, *claim* or *keeper*, which are the code's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests import CHECKOUT
from tests.test_docs import ALL

OURS = re.compile(r"\b(payload|replica|claim|keeper)(s|ed|ing)?\b", re.IGNORECASE)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def told_in(source: str) -> Iterator[str]:
    """The texts of a module that can reach a user: all with a space in them (JSON's keys have none), but docstrings."""
    tree = ast.parse(source)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
            and " " in node.value
            and not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE)\b", node.value)
        ):
            yield node.value
        # `count(3, "file")` is a text too.
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("count") and len(node.args) > 1:
            yield from (one.value for one in node.args[1:] if isinstance(one, ast.Constant))


@cache
def texts() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(CHECKOUT)), text)
        for top in ("engine/hubfold", "plugins/hubfold_plugins")
        for path in sorted((CHECKOUT / top).rglob("*.py"))
        for text in told_in(path.read_text("utf-8"))
    ]


def test_no_message_and_no_preview_speaks_as_the_code_does() -> None:
    assert len(texts()) > 1000
    assert not [(path, text) for path, text in texts() if OURS.search(text)]


@pytest.mark.parametrize("name", ALL)
def test_no_help_speaks_as_the_code_does(name: str) -> None:
    command = ALL[name]
    said = [command.help or "", *(meaning for _, meaning in command.examples)]
    said += [getattr(parameter, "help", None) or "" for parameter in command.params]
    assert not [text for text in said if OURS.search(text)]


@pytest.mark.parametrize(
    "source",
    [
        'raise E("its keeper is gone")',
        'raise E(f"{n} replicas")',
        'output.line(display.count(n, "payload"))',
        'x = "what it claims to be"',
    ],
)
def test_a_word_of_the_code_is_seen(source: str) -> None:
    assert any(map(OURS.search, told_in(source)))


@pytest.mark.parametrize(
    "source", ['"""The keeper of it."""', 'x = {"keeper": 1}', 'x = "SELECT claim FROM a"']
)
def test_what_no_user_reads_may_say_it(source: str) -> None:
    assert not any(map(OURS.search, told_in(source)))
