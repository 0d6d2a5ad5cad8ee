"""A farm's links taken back by undo, and what a crash left of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from hubfold import errors
from hubfold.content import FARM_MARKER
from hubfold.disk.directory import Directory
from hubfold.errors import Away, LeftAlone
from hubfold.farm.build import exchange_link
from hubfold.journal.journal import Journal
from hubfold.journal.presence import check_there
from hubfold.journal.records import FarmLink
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Failed, Left


@dataclass(slots=True)
class TakenBack:
    """The links of a farm's run that are taken back, what was left alone since the user changed it, and what an error
    keeps from being done."""

    restored: list[str] = field(default_factory=list)
    #: Those of `restored` at which there was nothing before the run, and is nothing then.
    removed: list[str] = field(default_factory=list)
    #: Folders of the farm that are empty then, the deepest first.
    folders: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def preview(log: RunLog) -> TakenBack:
    """What `take_links_back` would do."""
    done = _each(log, lambda directory, name, link: None, lambda path: None)
    markers = {os.path.join(link.root, FARM_MARKER) for link in log.farm_links}
    gone = {*done.removed, *markers}
    for folder in _farm_folders(log):
        with suppress(OSError):
            names = {os.path.join(folder, name) for name in os.listdir(folder)}
            if names <= gone:
                gone.add(folder)
                done.folders.append(folder)
                done.removed += sorted(names & markers)
    return done


def take_links_back(log: RunLog, book: Journal) -> TakenBack:
    """Remove the links that a run gave a farm, or put back what they replaced.

    The journal is told of each that is gone, before its folder goes too: of a link whose folder is missing nobody knows
    whether it was moved with that, and still needs what it leads to.
    """
    done = _each(log, _take_back, lambda path: book.append("unlinked", path=path))
    book.sync()
    farms = {link.root for link in log.farm_links}
    for folder in _farm_folders(log):
        with suppress(OSError):
            if folder in farms and os.listdir(folder) == [FARM_MARKER]:
                os.unlink(os.path.join(folder, FARM_MARKER))
                done.removed.append(os.path.join(folder, FARM_MARKER))
            os.rmdir(folder)
            done.folders.append(folder)
    return done


def _each(
    log: RunLog, act: Callable[[Directory, str, FarmLink], None], gone: Callable[[str], None]
) -> TakenBack:
    """Let `act` take back each link that is as the run left it; `gone` is told of those that are not in their folder
    any more."""
    done = TakenBack()
    for link in reversed(log.farm_links):
        try:
            directory, name = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.lstat_or_none(name) is None:
                    gone(link.path)
                    continue
                if directory.readlink(name) != link.text:
                    raise LeftAlone("it was changed since; the change stays")
                act(directory, name, link)
                gone(link.path)
        except FileNotFoundError:
            try:
                check_there(log.places, os.path.dirname(link.root))
            except Away as error:
                done.failed.append(Failed(link.path, errors.describe(error)))
            continue  # its folder is gone with it: an undo that was cut short had come this far, or the user deleted it
        except LeftAlone as error:
            done.left.append(Left(link.path, errors.describe(error)))
        except OSError as error:
            done.failed.append(Failed(link.path, errors.describe(error)))
        else:
            done.restored.append(link.path)
            if not link.before:
                done.removed.append(link.path)
    return done


def _take_back(directory: Directory, name: str, link: FarmLink) -> None:
    if link.before:
        exchange_link(directory, name, link.text, link.before, link.temporary)
    else:
        directory.unlink(name)
    directory.sync()


def _farm_folders(log: RunLog) -> Iterator[str]:
    """The folders of the farms of a run, the deepest first."""
    for farm in sorted({link.root for link in log.farm_links}):
        for folder, _, _ in os.walk(farm, topdown=False):
            yield folder


def settle_links(log: RunLog) -> None:
    """Remove the temporary links that a crash left in a farm."""
    for link in log.farm_links:
        with suppress(OSError, LeftAlone):
            directory, _ = Directory.parent_of(link.root, link.path)
            with directory:
                if directory.readlink(link.temporary) in (link.text, link.before):
                    directory.unlink(link.temporary)
