"""What recovery makes of a replacement, or of an undo, that was cut short."""

from __future__ import annotations

import errno
import os
import stat

import xxhash

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import SPARE_SUFFIX, UNFINISHED
from hubfold.errors import LeftAlone
from hubfold.journal.on_disk import is_link, is_original, written_through
from hubfold.journal.records import Intent
from hubfold.journal.run_log import RunLog
from hubfold.reading import compare


def settle_number(log: RunLog, number: int, intent: Intent) -> tuple[str, str]:
    """(state, reason) of an open number. Raises `OSError` or `LeftAlone` if its path cannot be looked at."""
    undoing = log.states[number] == "restore"
    try:
        return _settle_restore(intent, log.restores[number]) if undoing else _settle_intent(intent)
    except FileNotFoundError:
        if not os.path.ismount(intent.mount):
            raise OSError(errno.ENODEV, f"its drive is not there ({intent.mount})") from None
        if os.path.lexists(os.path.dirname(intent.path)):
            raise
        return "kept" if undoing else "dropped", "its folder was deleted since"


def restored_inode(intent: Intent) -> dict[str, object]:
    """The inode of a restored path, for the journal; nothing where the user took it away."""
    try:
        directory, name = Directory.parent_of(intent.root, intent.path)
        with directory:
            return {"inode": directory.lstat(name).st_ino}
    except (OSError, LeftAlone):
        return {}


def _settle_intent(intent: Intent) -> tuple[str, str]:
    """(state, reason) of a replacement that a crash cut short."""
    if intent.link is LinkKind.REFLINK:
        return "dropped", ""
    directory, name = Directory.parent_of(intent.root, intent.path)
    with directory:
        for temporary in (intent.temporary + SPARE_SUFFIX, intent.temporary):
            reason = _settle_temporary(directory, name, temporary, intent)
            if reason:
                return "dropped", reason
        directory.sync()
        if is_link(directory, name, intent):
            return "done", ""
        if is_original(directory.lstat_or_none(name), intent):
            return "dropped", ""
        return "dropped", "it was changed since; the change stays"


def _settle_temporary(directory: Directory, name: str, temporary: str, intent: Intent) -> str:
    """Put back or remove what lies under a temporary name; a reason if it has to stay."""
    st = directory.lstat_or_none(temporary)
    if st is None:
        return ""
    if is_link(directory, temporary, intent):
        return _remove_link(directory, temporary, intent)
    if not is_original(st, intent):
        return f"{temporary} beside it is not what hubfold made; it stays"
    if is_original(directory.lstat_or_none(name), intent):
        directory.unlink(temporary)  # a second name of the file at the path
        return ""
    # A path that is missing gets its file back: a user's deletion is done again sooner than a loss is mended.
    missing = directory.lstat_or_none(name) is None
    if not missing and (not is_link(directory, name, intent) or written_through(directory, name, intent)):
        return f"it was changed since; the file as it was before lies beside it as {temporary}"
    directory.rename(temporary, name)
    directory.sync()
    return ""


def _remove_link(directory: Directory, name: str, intent: Intent) -> str:
    """Remove a link of ours, unless it has become the last name of the keeper's bytes."""
    if intent.link is LinkKind.HARDLINK and directory.lstat(name).st_nlink == 1:
        return f"{name} beside it holds the last copy of the content; it stays"
    directory.unlink(name)
    return ""


def _settle_restore(intent: Intent, temporary: str) -> tuple[str, str]:
    """(state, reason) of a copy that was being put back when a crash came; "done" is the state before the undo."""
    directory, name = Directory.parent_of(intent.root, intent.path)
    with directory:
        if directory.lstat_or_none(temporary + UNFINISHED) is not None:
            directory.unlink(temporary + UNFINISHED)
        linked = is_link(directory, name, intent)
        for candidate in (temporary + SPARE_SUFFIX, temporary):
            if directory.lstat_or_none(candidate) is None:
                continue
            if is_link(directory, candidate, intent):
                reason = _remove_link(directory, candidate, intent)
                if reason:
                    return "kept", reason
            elif linked or _has_the_bytes(directory, candidate, intent):
                directory.unlink(candidate)  # a copy that hubfold was writing
            else:
                # A file that was saved there right before the swap, and displaced by it.
                return "kept", f"{candidate} beside it is not what hubfold made; it stays"
        directory.sync()
        if is_link(directory, name, intent):
            return "done", ""
        now = directory.lstat_or_none(name)
        if now is not None and (now.st_size, now.st_mtime_ns) != (intent.size, intent.mtime_ns):
            return "kept", "it was changed since; the change stays"
        return "restored", ""


def _has_the_bytes(directory: Directory, name: str, intent: Intent) -> bool:
    st = directory.lstat(name)
    if not stat.S_ISREG(st.st_mode) or st.st_size != intent.size:
        return False
    digest = xxhash.xxh3_128()
    compare.read_all(directory, name, update=digest.update)
    return digest.hexdigest() == intent.xxh3_128
