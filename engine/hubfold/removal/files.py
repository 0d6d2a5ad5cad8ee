"""Single files of models: the name that programs open goes first, then the content that only it led to.

Of a cache links tell which content that is: what a layout would remove of the whole model (`Removal.inside` with
`content` and `payloads`) is cut down to what the names that stay do not lead to. The layout is asked once more under
its locks right before content goes (`still_needed`).

Of a local copy the file is the content. Its client's note stays: one on a file that is not there is void to each client
(``read_download_metadata`` of huggingface_hub/_local_folder.py, 0.23.5 to 2.4.0), which fetches it anew, and says that
the copy is not whole where no listing does. So one unlink is all, and no crash can come between.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from hubfold.backend.changes import Removal
from hubfold.disk.paths import hops, within
from hubfold.errors import HubfoldError
from hubfold.library.inventory import HeldRevision, Holdings, resolve
from hubfold.models.names import ModelName, Name
from hubfold.removal.needs import Names
from hubfold.removal.plan import COPY, RemovePlan, hold_against_needs
from hubfold.reports.outcomes import Left

#: What sort of thing goes.
FILES = "files of"
#: Symlinks in a row that are followed: a snapshot's, a blob's, and one to spare.
_HOPS = 3


@dataclass(frozen=True, slots=True)
class FilesOf:
    """Which files a user asked to remove: those that fit `words`, of a model or of the local copy at one folder."""

    name: str
    held: Sequence[HeldRevision]
    words: Sequence[str]
    revision: str | None = None
    #: Files of local copies go, too.
    copies: bool = False


def of_model(holdings: Holdings, asked: ModelName, words: Sequence[str], *, copies: bool) -> FilesOf:
    """The files of a model, in caches, and in `copies` of it. It holds none that nobody knows."""
    name = asked.among(holdings.by_name)
    held = holdings.by_name[name] if name is not None else ()
    return FilesOf(str(name or asked.name), held, words, asked.revision, copies)


def of_copy(holdings: Holdings, folder: str, words: Sequence[str], revision: str | None) -> FilesOf:
    """The files of the local copy at `folder`. It holds none where that is no copy."""
    held = [one for one in holdings.at(folder) if not holdings.is_cache(one.root)]
    return FilesOf(folder, held, words, revision, copies=True)


def fit(holdings: Holdings, asked: FilesOf) -> bool:
    """Whether all words are files that are asked for (or patterns of some), and none of them is the name of a model."""
    known = {name for held in asked.held for name in _files(holdings, held)}
    models = {str(one).lower() for one in holdings.by_name}
    return bool(asked.words) and all(
        word.lower() not in models and any(fnmatchcase(file, word) for file in known) for word in asked.words
    )


def plan(holdings: Holdings, asked: FilesOf, *, only: Collection[str], names: Names) -> RemovePlan:
    """The plan for the files that are asked for (or those of them that lie in `only`).

    A file stays where a link elsewhere leads to it or to its revision, and one of a copy that was changed. Raises
    `HubfoldError` where nothing is to go.
    """
    left: list[Left] = []
    removals = removals_of(holdings, asked, left, only)
    if not removals:
        raise _nothing_goes(asked, left)
    return hold_against_needs(holdings, removals, left, with_links=False, names=names, only=only)


def removals_of(
    holdings: Holdings, asked: FilesOf, left: list[Left], only: Collection[str] = ()
) -> list[Removal]:
    """What has to go of the files that are asked for; what stays of them is `left`."""
    held = [one for one in asked.held if not only or one.root.path in only]
    commits = resolve(held, asked.revision) if asked.revision is not None else None
    going = [one for one in held if commits is None or one.snapshot.revision in commits]
    chosen: dict[tuple[str, Name], set[str]] = {}
    removals: list[Removal] = []
    for one in going:
        also = next((h for h in _shown_by(holdings, one) if h not in going), None)
        if also is not None:
            left.append(Left(one.snapshot.path, f"{also.name} of {also.root.path} shows it too"))
            continue
        paths = set(_chosen(holdings, one, asked, left))
        if holdings.is_cache(one.root):
            chosen.setdefault((one.root.path, one.name), set()).update(paths)
        elif paths:
            removals += _of_copy(holdings, one, paths, left)
    for (root, name), paths in chosen.items():
        removals += _removals(holdings, root, name, paths, left) if paths else ()
    return removals


def _nothing_goes(asked: FilesOf, left: Sequence[Left]) -> HubfoldError:
    stays = f"; it stays at {left[0].path}: {left[0].reason}" if left else ""
    what = f"{asked.name} has no such file" if asked.copies else f"no cache holds such a file of {asked.name}"
    return HubfoldError(f"{what}{stays}", "see `hubfold ls --files` for what is there")


def _files(holdings: Holdings, held: HeldRevision) -> Mapping[str, str]:
    """By name the path of each file: of a copy all that its client wrote, those of earlier revisions too."""
    found = {file.name: file.path for file in held.snapshot.files}
    if not holdings.is_cache(held.root):
        for whole in _whole(holdings, held):
            paths = (*whole.content, *(kept.path for kept in whole.kept))
            own = (path for path in paths if within(path, whole.path))
            found |= {os.path.relpath(path, whole.path): path for path in own}
    return found


def _whole(holdings: Holdings, held: HeldRevision) -> Iterator[Removal]:
    """What has to go of the whole copy that `held` is."""
    if held.root in holdings.usable:
        # Where the files of all models lie together, a model is what it is told apart by.
        for place in dict.fromkeys((held.snapshot.path, held.snapshot.home or held.snapshot.path)):
            with holdings.leaving_out(held.root):
                yield from holdings.removals_at(held.root, held.name, place)


def _shown_by(holdings: Holdings, held: HeldRevision) -> Iterator[HeldRevision]:
    """The revisions in the same folder: links of a layout can show one under several names, in several roots.

    Where the files of all models lie in one folder, they are told apart by their homes.
    """
    place, home = holdings.lies_at(held), holdings.home_of(held)
    return (
        one
        for one in holdings.held()
        if one is not held and holdings.lies_at(one) == place and holdings.home_of(one) == home
    )


def _chosen(holdings: Holdings, held: HeldRevision, asked: FilesOf, left: list[Left]) -> Iterator[str]:
    """The paths of one revision that fit and that nothing elsewhere leads to; the others are `left`."""
    files = _files(holdings, held)
    paths = [path for name, path in files.items() if any(fnmatchcase(name, word) for word in asked.words)]
    if not paths:
        return
    if not (asked.copies or holdings.is_cache(held.root)):
        left.append(Left(held.snapshot.path, COPY))
        return
    reading = holdings.links.into(holdings.lies_at(held))
    if reading:
        link, _ = reading[0]
        left += [Left(path, f"{link} needs this revision") for path in paths]
        return
    yield from paths


def _of_copy(holdings: Holdings, held: HeldRevision, paths: set[str], left: list[Left]) -> Iterator[Removal]:
    """Those of `paths` that are as the client wrote them; what was changed is `left`, and what is not there is no more
    to go."""
    for whole in _whole(holdings, held):
        left += [Left(kept.path, kept.reason) for kept in whole.kept if kept.path in paths]
        shared = (
            path for path in paths if path not in whole.content and _is_of_another(holdings, held, path)
        )
        left += [Left(path, "another model needs it") for path in sorted(shared)]
        going = tuple(path for path in whole.content if path in paths)
        if going:
            yield Removal(
                whole.root,
                whole.backend,
                whole.repo_id,
                whole.repo_type,
                kind=FILES,
                path=whole.path,
                content=going,
                notes_stay=True,
            )


def _is_of_another(holdings: Holdings, held: HeldRevision, path: str) -> bool:
    """Whether another model of the root shows the file, too."""
    readers = holdings.reading(os.path.realpath(path))
    return any(one.root.path == held.root.path and one.name != held.name for one, _ in readers)


def _removals(
    holdings: Holdings, root: str, name: Name, paths: set[str], left: list[Left]
) -> Iterator[Removal]:
    known = holdings.root_at(root)
    assert known is not None
    real = {holdings.real(path, root) for path in paths}
    told: set[str] = set()
    with holdings.leaving_out(known):
        for whole in holdings.removals(known, name):
            going = tuple(path for path in whole.inside if path in real)
            told.update(going)
            if going:
                yield _cut_down(whole, going)
    left += [Left(path, "its layout does not say how to remove a file") for path in sorted(real - told)]


def _cut_down(whole: Removal, going: tuple[str, ...]) -> Removal:
    """Of the removal of a model what only the names `going` lead to."""
    stay = _reached_from(path for path in whole.inside if path not in going)
    found = _reached_from(going)
    content = tuple(path for path in whole.content if path in found and path not in stay)
    behind = _reached_from(path for path in whole.content if path not in content)
    return Removal(
        whole.root,
        whole.backend,
        whole.repo_id,
        whole.repo_type,
        kind=FILES,
        records=going,
        content=content,
        payloads=tuple(one for one in whole.payloads if one.path in found and one.path not in stay | behind),
    )


def _reached_from(paths: Iterable[str]) -> set[str]:
    """Everything that symlinks lead through from `paths`, hop by hop, as `disk/paths.plain` has it."""
    found: set[str] = set()
    for path in paths:
        for here in islice(hops(path), _HOPS):
            found |= {here, os.path.realpath(here)}
    return found
