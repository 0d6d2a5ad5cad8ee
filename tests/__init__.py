"""The tests of hubfold: folders are named as the rooms of engine/hubfold. See README.md."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
