"""What recovery makes of a repair that was cut short."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hubfold import errors
from hubfold.care.exchange import NEW, OLD, OTHER, drop, is_old, is_place_to_keep
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import SPARE_SUFFIX
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.records import Mend
from hubfold.journal.run_log import RunLog
from hubfold.reports.outcomes import Left, Settled


def settle_repairs(log: RunLog, journal: Journal, *, forget: bool = False) -> Settled:
    """Take back, or find done, what a crash left of a run's repairs; what was done is written down.

    With `forget`, what cannot be looked at is given up.
    """
    mends = [mend for number, mend in log.mends.items() if number not in log.mended]
    settled = settle_mends(mends, forget=forget)
    if settled.done:
        journal.append("mended", numbers=settled.done)
        log.mended.update(settled.done)
    return settled


def settle_mends(mends: Iterable[Mend], *, forget: bool = False) -> Settled:
    """As `settle_repairs`, for mends that are not whole."""
    settled = Settled()
    useless: dict[str, list[bool]] = {}
    owned: set[str] = set()
    for mend in mends:
        try:
            reason, here = _settle(mend)
        except (OSError, LeftAlone) as error:
            what = "given up, it cannot be looked at" if forget else "cannot be looked at now"
            settled.left.append(Left(mend.path, f"{what}: {errors.describe(error)}"))
            settled.waiting |= not forget
            useless.setdefault(mend.kept, []).append(False)
            continue
        useless.setdefault(mend.kept, []).append(here == OLD)
        if here == NEW:
            settled.done.append(mend.number)
            if mend.text:
                owned.add(mend.kept)
        if reason:
            settled.left.append(Left(mend.path, reason))
    for kept in () if settled.waiting else useless:
        # Nothing came of the repair where every path is as it was; and who the changed bytes belong to may have them.
        if (all(useless[kept]) or kept in owned) and is_place_to_keep(kept):
            try:
                drop(kept)
            except OSError:
                settled.waiting = True
    return settled


def _settle(mend: Mend) -> tuple[str, str]:
    """(why something has to stay, what lies at the path)."""
    try:
        directory, name = Directory.parent_of(mend.root, mend.path)
    except FileNotFoundError:
        if not (os.path.isdir(mend.root) or (mend.mount and os.path.ismount(mend.mount))):
            raise
        return "", OTHER  # its folder was deleted since, and our names with it
    reason = ""
    with directory:
        for candidate in (mend.temporary + SPARE_SUFFIX, mend.temporary):
            st, here = directory.lstat_or_none(candidate), directory.lstat_or_none(name)
            if st is None:
                continue
            ours = st.st_ino == mend.new or (mend.new == 0 and candidate == mend.temporary)
            second = here is not None and here.st_ino == st.st_ino
            if ours or second or is_old(directory, candidate, mend):
                directory.unlink(candidate)
            # A name that is missing gets what it displaced, as in recovery.
            elif here is None or here.st_ino == mend.new:
                directory.rename(candidate, name)  # what came in the last moment goes back
            else:
                reason = f"{candidate} beside it is not what hubfold made; it stays"
        directory.sync()
        if is_old(directory, name, mend):
            return reason, OLD
        now = directory.lstat_or_none(name)
        return (
            reason,
            NEW if now is not None and now.st_ino == mend.new else OTHER,
        )  # new is 0 where nothing was made
