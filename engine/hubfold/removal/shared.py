"""Content that several models of a root need, and that goes with the last of them.

A layout may say so (`Removal.shared`). One that does not leaves it out of each removal, since the other model needs it:
then all that is known is which files its models show. Such a file goes only where no model is left that shows it, and,
as all content, where the layout does not need it any more once they are gone (`still_needed`, asked by the remover).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hubfold.backend.changes import Removal, SharedContent
from hubfold.content import Root
from hubfold.disk.paths import within
from hubfold.library.inventory import Holdings
from hubfold.models.names import Name


def with_shared(removals: Sequence[Removal]) -> list[Removal]:
    """The same, with content that goes since all models go that need it: the last of them takes it along."""
    found = list(removals)
    going = {(one.root, one.path) for one in found if one.whole}
    last = {(one.root, shared.path): number for number, one in enumerate(found) for shared in one.shared}
    for number, one in enumerate(found):
        goes = (
            shared.path
            for shared in one.shared
            if last[one.root, shared.path] == number
            and all((one.root, user) in going for user in shared.users)
        )
        content = dict.fromkeys((*one.content, *goes))
        found[number] = replace(one, content=tuple(content))
    return found


def shared_besides(holdings: Holdings, removals: Sequence[Removal]) -> list[Removal]:
    """The same, with what models of a root show together that go with each other, and that none of them names."""
    of_root: dict[str, dict[Name, Removal]] = {}
    for removal in removals:
        if removal.whole and removal.repo_id and removal.path:
            of_root.setdefault(removal.root, {})[Name(removal.repo_type, removal.repo_id)] = removal
    more: dict[tuple[str, str], list[SharedContent]] = {}
    for path, going in of_root.items():
        root = holdings.root_at(path)
        if len(going) > 1 and root in holdings.usable and holdings.backend(root).tells_need:
            for shared in _unnamed(holdings, root, going):
                for user in shared.users:
                    more.setdefault((path, user), []).append(shared)
    return [
        replace(one, shared=(*one.shared, *more[one.root, one.path])) if (one.root, one.path) in more else one
        for one in removals
    ]


def _unnamed(holdings: Holdings, root: Root, going: Mapping[Name, Removal]) -> Iterator[SharedContent]:
    """The files that no other model shows than two or more of those that go, and that no removal tells of."""
    named = {path for one in going.values() for path in (*one.files, *one.empty)}
    named |= {kept.path for one in going.values() for kept in one.kept}
    named |= {shared.path for one in going.values() for shared in one.shared}
    shown: dict[str, set[Name]] = {}
    homes: dict[Name, set[str]] = {}
    for held in holdings.held():
        if held.root.path == root.path:
            homes.setdefault(held.name, set()).add(held.snapshot.home or held.snapshot.path)
            for file in held.snapshot.files:
                shown.setdefault(file.path, set()).add(held.name)
    for path, names in shown.items():
        # Of a model that lies there twice one may stay.
        sure = names <= going.keys() and all(len(homes[name]) == 1 for name in names)
        if len(names) > 1 and sure and path not in named and within(path, root.path):
            yield SharedContent(path, tuple(going[name].path for name in sorted(names)))
