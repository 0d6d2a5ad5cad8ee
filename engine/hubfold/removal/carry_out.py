"""A plan of removal as a report, and carried out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from hubfold.backend.changes import Removal
from hubfold.disk.paths import gone
from hubfold.errors import Interrupted
from hubfold.journal.journal import Journal
from hubfold.library.inventory import Holdings
from hubfold.models.names import Name
from hubfold.progress import Progress, Stop
from hubfold.removal.measure import Same, last_copies
from hubfold.removal.needs import stat_through
from hubfold.removal.plan import RemovePlan
from hubfold.removal.remover import Remover
from hubfold.removal.twins import Twins
from hubfold.reports.removals import RemovedModel, RemoveReport
from hubfold.vault import gc, names
from hubfold.vault.gc import Garbage
from hubfold.vault.objects import clear_empty


def garbage(objects: Iterable[str]) -> list[Garbage]:
    """Vault objects as `vault/gc.remove` wants them."""
    found = []
    for object_ in objects:
        with suppress(OSError):
            one = gc.garbage_at(object_)
            noted = stat_through(object_ + names.LINKS)
            lists = noted.st_blocks * 512 if noted is not None else 0
            found.append(replace(one, bytes=one.bytes + lists))
    return gc.together(found)


def preview(what: RemovePlan, same: Same) -> RemoveReport:
    """A plan in the form of a report; by `same` it is known what is the last copy of something."""
    content = [
        path
        for removal in what.removals
        for path in _content(removal)
        if path in what.removing.seen and not (removal.path in what.twins or what.staying.get(removal.path))
    ]
    return replace(_told(what, None), last_copies=last_copies((*content, *what.objects), same))


def _content(removal: Removal) -> Iterator[str]:
    yield from removal.content
    yield from removal.inside
    yield from (payload.path for payload in removal.payloads)


def _told(what: RemovePlan, run: str | None) -> RemoveReport:
    removed = [path for removal in what.removals for path in removal.files if path in what.removing.seen]
    files, folders = gc.goes_with({names.of_object(object_) for object_ in what.objects}, what.objects)
    return RemoveReport(
        run=run,
        models=tuple(_model(removal, what) for removal in what.removals if removal.files or removal.empty),
        removed=(*dict.fromkeys((*removed, *what.doors)), *what.objects),
        bytes=what.bytes,
        needed=what.needed,
        left=what.left,
        folders=(*what.folders, *folders),
        vault_files=files,
    )


def _model(removal: Removal, what: RemovePlan) -> RemovedModel:
    kind = removal.kind or ("model" if removal.whole else "revision")
    model = removal.path or removal.aside if removal.whole or removal.revisions else ""
    path = model or next(iter(removal.files), removal.root)
    name = str(Name(removal.repo_type, removal.repo_id)) if removal.repo_id else model or removal.path
    twins = what.twins.get(removal.path, ())
    stays = what.staying.get(removal.path)
    held_by = os.path.commonpath([os.path.dirname(twin.kept) for twin in twins]) if twins else stays or ""
    return RemovedModel(kind, name, removal.root, removal.revisions, path, held_by=held_by, last=stays == "")


def carry_out(
    what: RemovePlan, holdings: Holdings, journal: Journal, *, progress: Progress, stop: Stop
) -> RemoveReport:
    """Remove what `what` says, then the vault objects that nothing needs any more."""
    shown = _told(what, journal.run)
    twins = Twins(what.twins, progress, stop)
    remover = Remover(journal, holdings, what.removing.seen, progress, stop, twins=twins)
    interrupted = False
    try:
        remover.carry_out(what.removals)
    except Interrupted:
        interrupted = True
    told = gc.remove(garbage([] if interrupted else what.objects), here=holdings.here)
    for path in {names.of_object(object_) for object_ in told.removed}:
        clear_empty(path)
    freed = remover.freed + told.bytes
    if not remover.stuck:
        journal.append("end", state="interrupted" if interrupted else "finished", freed=freed)
    return replace(
        shown,
        removed=(*remover.removed, *told.removed),
        bytes=freed,
        left=(*what.left, *told.kept),
        failed=(*remover.failed, *told.failed),
        folders=gone(shown.folders),
        vault_files=gone(shown.vault_files),
        interrupted=interrupted,
    )
