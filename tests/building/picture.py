"""The picture of the README: its own sessions, which a test runs, as a terminal shows them."""

from __future__ import annotations

import io
import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

#: Of the template of rich without what is fetched from elsewhere.
_FETCHED = re.compile(r"@font-face \{\{.*?\n    \}\}\n*\s*", re.DOTALL)


def commands(page: str) -> list[tuple[str, list[str]]]:
    """(command line, what it says) of every session of a page, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def picture(page: str) -> str:
    """As SVG: what would be freed, the fold, and the way back."""
    told = dict(commands(page))
    wanted = [one for one in told if re.match(r"hubfold (scan ~$|consolidate .*-y|verify|undo)", one)]
    assert len(wanted) == 4, wanted
    width = max(len(line) for one in wanted for line in told[one])
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for command in wanted:
        console.print(Text.assemble(("$ ", "green"), (command, "bold")))
        for line in told[command]:
            bold = "reclaim" in line or "restored" in line
            console.print(
                Text(line, "bold yellow" if bold else ""), no_wrap=True, overflow="ignore", crop=False
            )
    template = _FETCHED.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", "monospace")
    made = console.export_svg(title="hubfold", theme=MONOKAI, code_format=template, unique_id="hubfold")
    return "\n".join(line.rstrip() for line in made.splitlines()) + "\n"
