"""``hubfold ui``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import TYPE_CHECKING

from hubfold.cli import options
from hubfold.cli.errors import explain
from hubfold.cli.guests import shut_out
from hubfold.errors import HubfoldError, UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.engine.engine import Engine
    from hubfold.progress import Progress, Stop
    from hubfold.ui.lent import Lent


@options.command(
    "ui",
    examples=[
        ("hubfold ui", "places, models and duplicates, to choose from by keyboard or mouse"),
        ("hubfold ui --min-size 100MB", "duplicates from this size on"),
        ("NO_COLOR=1 hubfold ui", "the same without colours"),
    ],
    reports=False,
)
@options.min_size
@options.threads
def command(session: Session, min_size: int) -> int | None:
    """Look at what takes the space, mark what is to go, and do it.

    Three views: the places with the models in each, the models, the duplicates. Space marks, in all of them; what is
    marked is added up at the foot of the screen, what several share once. Then fold, remove, move or pin it: the plan
    is shown, as the command of that name shows it, and runs when you agree. Nothing is changed before.

    `?` lists the keys. It needs Textual: pip install 'hubfold[ui]'.
    """
    if importlib.util.find_spec("textual") is None:
        raise HubfoldError("`hubfold ui` needs Textual, which is not installed", "pip install 'hubfold[ui]'")
    if not (session.output.can_draw and session.output.can_ask and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to draw on", "`hubfold ls` and `hubfold dupes` print the same in lines"
        )
    if session.output.plain:
        os.environ["NO_COLOR"] = "1"
    from hubfold.ui.app import View

    return View(lent(min_size, session.threads)).show()


def lent(min_size: int, threads: int | None = None) -> Lent:
    """What the view is lent: engines, and the commands."""
    from hubfold.cli.jobs import Jobs
    from hubfold.ui.lent import Lent

    def engine(progress: Progress, stop: Stop) -> Engine:
        from hubfold.engine.engine import Engine

        executor = f"threads:{threads}" if threads else None
        return Engine(progress=progress, stop=stop, guests=shut_out, executor=executor)

    return Lent(
        engine,
        Jobs(lambda: shutil.get_terminal_size().columns),
        lambda error: explain(error)[1:],
        min_size,
        os.path.expanduser("~"),
    )
