"""Gives links of earlier runs another text, since their vault moved; takes that back, and settles what a crash left.

    announced in the journal, fsynced
    a link with the new text made under a temporary name, and looked through: it reads the object
    exchanged with the old one, which is looked at: a file that came in the last moment goes back
    directory fsynced
    the old link unlinked

A link holds no content, so at each instant the path reads the object or dangles as before. What lies at the path is
known by the texts alone: no ``done`` is needed.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from hubfold import errors
from hubfold.disk import exchange
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import SPARE_SUFFIX
from hubfold.errors import Away, LeftAlone
from hubfold.journal.presence import check_there
from hubfold.journal.records import Repointed
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Failed, Left, Settled


def text_at(directory: Directory, name: str) -> str:
    """The text of a symlink, "" for anything else and where there is nothing."""
    st = directory.lstat_or_none(name)
    return directory.readlink(name) if st is not None and stat.S_ISLNK(st.st_mode) else ""


def put(directory: Directory, link: Repointed, old: str, new: str, *, through: str = "") -> None:
    """Give a link the text `new` instead of `old`; `through` is what it has to read then, if anything.

    Raises `LeftAlone` where it is not the one with `old`, or would not read that; `OSError`.
    """
    name = os.path.basename(link.path)
    st = directory.lstat(name)
    if text_at(directory, name) != old:
        raise LeftAlone("it was changed since; the change stays")
    directory.symlink(new, link.temporary, (st.st_uid, st.st_gid))
    displaced = ""
    try:
        if through and not os.path.samestat(directory.stat_through(link.temporary), os.lstat(through)):
            raise LeftAlone(f"with its new text it would not read {through}")
        displaced = exchange.swap_in(directory, link.temporary, name)
        if text_at(directory, displaced) != old:
            raise LeftAlone("it was changed meanwhile; the change stays")
        directory.sync()
    except (LeftAlone, OSError):
        if displaced:
            exchange.swap_back(
                directory, link.temporary, name, displaced, ours=lambda one: text_at(directory, one) == new
            )
        else:
            directory.unlink(link.temporary)
        directory.sync()
        raise
    directory.unlink(displaced)


@dataclass(slots=True)
class PutBack:
    """Links that have the texts again that they had, what was left alone, failed, or cannot be looked at now."""

    restored: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    waiting: list[Left] = field(default_factory=list)


def preview(log: RunLog) -> PutBack:
    """What `take_back` would do."""
    return take_back(log, act=False)


def take_back(log: RunLog, *, only: Repointed | None = None, act: bool = True) -> PutBack:
    """Give the links of a run, or `only` one of them, the texts back that they had; without `act`, only look."""
    done = PutBack()
    for link in reversed(log.repointed) if only is None else (only,):
        try:
            if _put_back(log, link, act=act):
                done.restored.append(link.path)
        except Away as error:
            done.waiting.append(Left(link.path, errors.describe(error)))
        except LeftAlone as error:
            done.left.append(Left(link.path, errors.describe(error)))
        except OSError as error:
            done.failed.append(Failed(link.path, errors.describe(error)))
    return done


def _put_back(log: RunLog, link: Repointed, *, act: bool) -> bool:
    """Whether there was something to put back: an undo that was cut short may have come this far."""
    try:
        directory, name = Directory.parent_of(link.root, link.path)
    except FileNotFoundError:
        check_there(log.places, link.root, link.mount)
        return False
    with directory:
        text = text_at(directory, name)
        if text == link.text:
            if act:
                put(directory, link, link.text, link.before)
            return True
    check_there(log.places, link.root, link.mount)
    if text != link.before:
        raise LeftAlone("it was changed since; the change stays")
    return False


def settle_links(log: RunLog, *, forget: bool = False) -> Settled:
    """Remove the temporary links that a crash left; with `forget`, what cannot be looked at is given up."""
    settled = Settled()
    for link in log.repointed if log.ended is None or log.undo_begun else ():
        try:
            reason = _settle_link(log, link)
        except (OSError, LeftAlone) as error:
            what = "given up, it cannot be looked at" if forget else "cannot be looked at now"
            settled.left.append(Left(link.path, f"{what}: {errors.describe(error)}"))
            settled.waiting |= not forget
            continue
        if reason:
            settled.left.append(Left(link.path, reason))
    return settled


def _settle_link(log: RunLog, link: Repointed) -> str:
    """Why something has to stay, "" for nothing."""
    check_there(log.places, link.root, link.mount)
    try:
        directory, name = Directory.parent_of(link.root, link.path)
    except FileNotFoundError:
        return ""  # its folder was deleted since, and our names with it
    ours = (link.text, link.before)
    with directory:
        for temporary in (link.temporary + SPARE_SUFFIX, link.temporary):
            if directory.lstat_or_none(temporary) is None:
                continue
            if text_at(directory, temporary) in ours:
                directory.unlink(temporary)
            elif directory.lstat_or_none(name) is None or text_at(directory, name) in ours:
                directory.rename(temporary, name)  # what came in the last moment goes back
            else:
                return f"{temporary} beside it is not what hubfold made; it stays"
        directory.sync()
    return ""
