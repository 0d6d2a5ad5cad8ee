"""`Engine`: every operation of hubfold, for the command line and for Python users alike. It prints nothing."""

from __future__ import annotations

from hubfold.engine.care import Upkeep
from hubfold.engine.folding import Folding
from hubfold.engine.transfer import Lifecycle


class Engine(Folding, Lifecycle, Upkeep):
    """One user's hubfold: its state directory, its plugins, its index.

    `home` is the state directory (default: ``HUBFOLD_HOME``, else the platform's). `progress` is told of long work;
    `stop` is asked between steps; `threads` read files. A context manager: leaving it closes the index.
    """
