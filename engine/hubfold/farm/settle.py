"""A farm's links taken back by undo, and what a crash left of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from hubfold import errors
from hubfold.content import FARM_MARKER
from hubfold.disk.directory import Directory
from hubfold.errors import LeftAlone
from hubfold.farm.build import exchange_link
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Failed, Left


def take_links_back(log: RunLog) -> tuple[list[str], list[Left], list[Failed]]:
    """Remove the links that a run gave a farm, or put back what they replaced.

    Returns the paths, what was left alone because the user changed it, and what an error kept from being done.
    """
    restored: list[str] = []
    left: list[Left] = []
    failed: list[Failed] = []
    for link in reversed(log.farm_links):
        try:
            directory, name = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.lstat_or_none(name) is None:
                    continue
                if directory.readlink(name) != link.text:
                    raise LeftAlone("it was changed since; the change stays")
                if link.before:
                    exchange_link(directory, name, link.text, link.before, link.temporary)
                else:
                    directory.unlink(name)
                directory.sync()
        except FileNotFoundError:
            continue  # its folder is gone with it: an undo that was cut short had come this far, or the user deleted it
        except LeftAlone as error:
            left.append(Left(link.path, errors.describe(error)))
        except OSError as error:
            failed.append(Failed(link.path, errors.describe(error)))
        else:
            restored.append(link.path)
    _clear_empty({link.root for link in log.farm_links})
    return restored, left, failed


def _clear_empty(farms: Iterable[str]) -> None:
    """Remove the folders of a farm that are empty now, the farm's own too when nothing but its marker is left."""
    for farm in farms:
        for folder, _, _ in os.walk(farm, topdown=False):
            with suppress(OSError):
                if folder == farm and os.listdir(folder) == [FARM_MARKER]:
                    os.unlink(os.path.join(folder, FARM_MARKER))
                os.rmdir(folder)


def settle_links(log: RunLog) -> None:
    """Remove the temporary links that a crash left in a farm."""
    for link in log.farm_links:
        with suppress(OSError, LeftAlone):
            directory, _ = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.readlink(link.temporary) in (link.text, link.before):
                    directory.unlink(link.temporary)
