"""The view itself: which screen is seen, and the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from hubfold.ui.browse import Browse
from hubfold.ui.known import Known
from hubfold.ui.review import Review

if TYPE_CHECKING:
    from hubfold.ui.lent import Lent

#: The exit code of a program that Ctrl-C ended.
_ENDED = 130


class View(App[int]):
    """`hubfold ui`."""

    TITLE = "hubfold"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; layers: base; }
    Static { background: ansi_default; color: ansi_default; height: auto; }
    #tabs { height: 1; }
    #joint { height: auto; text-style: bold; border-top: solid ansi_default; }
    #status { height: 1; }
    #keys { height: 1; text-style: dim; }
    #filter { display: none; height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default; }
    #filter.on { display: block; }
    #question { text-style: bold; height: auto; }
    #to { height: 3; border: solid ansi_default; background: ansi_default; color: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "interrupt", show=False, priority=True)]

    class Answered(Message):
        """A thread has something for the screen."""

        def __init__(self, call: Callable[[], object]) -> None:
            super().__init__()
            self.call = call

    def __init__(self, lent: Lent) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.known = Known(lent, self._hand_over, self._redraw)

    def show(self) -> int:
        """The screen, until the user is through with it; the exit code."""
        code = self.run() or 0
        if code == _ENDED:
            # As the command does: whatever is half done, the next command settles as after a crash.
            os._exit(code)
        # A fault of the view itself, which the toolkit has told.
        return code or self.return_code or 0

    def _hand_over(self, call: Callable[[], object]) -> None:
        # A thread that a drive kept waiting may come back when there is no screen any more.
        if self.is_running:
            self.post_message(self.Answered(call))

    def on_view_answered(self, message: Answered) -> None:
        message.call()

    def on_mount(self) -> None:
        self.push_screen(Browse(self.known))
        self.known.begin()

    def _redraw(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Browse) and screen.is_mounted:
                screen.redraw()

    def action_interrupt(self) -> None:
        """Ctrl-C: stops what runs as it stops a command, the second time at once; where nothing runs, it is the end."""
        if not (isinstance(self.screen, Review) and self.screen.running):
            self.known.end()
            self.exit(0)
        elif self.screen.stopping:
            self.exit(_ENDED)
        else:
            self.screen.stop()
