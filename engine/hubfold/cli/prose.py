"""Sentences as lines of a terminal: broken between words, never inside of what somebody copies.

A command and a path are one word, whatever spaces they have: what is in backticks, from ``: hubfold …`` to the end, a
quoted path. One that is longer than the terminal has a line of its own, and is whole when it is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: A command at the end of a sentence: "next: hubfold scan".
_COMMAND = re.compile(r"(?:(?<=: )|^)hubfold [a-z].*$", re.DOTALL)
_WORD = re.compile(r"(?:`[^`]*`|(?<![^ (])'[^']*/[^']*'|[^ ])+")
#: Where a path begins that may go on after a space, and the rest of it: what has a slash in it, after words that have
#: two. No model is called so.
_PATH = re.compile(r"['\"(]*(?:~|\.{1,2})?/[^ ]*[^ ,;:.)]")
_REST = re.compile(r" [^ /(`]+(?:/[^ ]*|(?: [^ /(`]*[^ /(`,;:.)]){0,3} [^ /(`]+/[^ /]+/[^ ]*)")
#: A figure before a text that is aligned with others.
_FIGURE = re.compile(r" *[^ ]+ {2,}(?=[^ ])")

#: The same, where no line is broken.
_SPACE, _HYPHEN = "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}"


def lines(text: str, width: int, path: str = "") -> list[str]:
    """`text` in lines of at most `width` cells, but for words that are longer; each begins where the first does.

    Where a figure comes first, below what it is the figure of. A `path` is the last word.
    """
    if cells(text + path) <= width:
        return [text + path]
    figure = _FIGURE.match(text)
    indent = figure.end() if figure else len(text) - len(text.lstrip(" "))
    last = [(" ", path)] if path else []
    return filled(text[:indent], [*words(text[indent:]), *last], width)


def filled(first: str, parts: Iterable[tuple[str, str]], width: int) -> list[str]:
    """(the spaces before it, word) in lines of at most `width` cells, below each other after what comes `first`."""
    found = [first]
    empty = True
    for gap, word in parts:
        if not empty and cells(found[-1] + gap + word) > width:
            found.append(" " * len(first))
            empty = True
        found[-1] += word if empty else gap + word
        empty = False
    return found


def glued(text: str) -> str:
    """The same for who breaks lines at spaces and hyphens: commands in backticks and words with hyphens stay whole."""
    whole = re.sub("`[^`]*`", lambda command: command[0].replace(" ", _SPACE), text)
    return whole.replace("-", _HYPHEN)


def unglued(text: str) -> str:
    return text.replace(_SPACE, " ").replace(_HYPHEN, "-")


def words(text: str) -> Iterator[tuple[str, str]]:
    """(the spaces before it, word)."""
    command = _COMMAND.search(text)
    here = before = 0
    while match := _WORD.search(text, here, command.start() if command else len(text)):
        start, here = match.span()
        while _PATH.fullmatch(text, start, here) and (rest := _REST.match(text, here)):
            here = rest.end()
        yield text[before:start], text[start:here]
        before = here
    if command:
        yield text[before : command.start()], command[0]


def cells(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
