"""Which files of the roots are content: what the user chose, and what it means for one root.

In folders of a layout whose backend vouches for what it yields, all of that is content. In plain folders it is what a
client's metadata vouches for, model files (`kinds`), and nothing in the folders of `leave_out`. `Scope.exclude` and
the ``.hubfoldignore`` files leave out more, in both.

Patterns are gitignore's. Of a scope, one that begins with ``/`` or ``~`` is about a path of the file system, every
other about paths below the root; those of an ``.hubfoldignore`` are about paths below the folder that it lies in.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT, IndexedReplica, Replica, Root, Scope
from hubfold.errors import UsageError
from hubfold.reading import headers
from hubfold.scanning import leave_out
from hubfold.scanning.kinds import Kind, by_name

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: The file in a folder that says what below it is no content.
IGNORE_FILE = ".hubfoldignore"
#: A file without a suffix is looked into from this many bytes on: less is not worth opening it.
_LOOK_INTO = 1 << 20


class Chosen:
    """What of one root is content, with what its ``.hubfoldignore`` files add as the walk comes by them."""

    def __init__(self, scope: Scope, root: Root, backend: GuardedBackend) -> None:
        """Raises `UsageError` for a text that is no pattern."""
        #: How many folders were left out, by what they are.
        self.left_out: Counter[str] = Counter()
        self._scope = scope
        self._root = root.path
        self._any = root.backend == VAULT
        self._vouched_for = backend.capabilities.vouches
        self._exclude = [] if self._any else _specs(scope.exclude, root.path)
        self._include = _specs(scope.include, root.path)
        self._ignores: dict[str, tuple[tuple[str, GitIgnoreSpec], ...]] = {}

    @property
    def token(self) -> bytes:
        """Differs where other files of the same folders would be taken (but for what `narrows` leaves out)."""
        if self._any or self._vouched_for:
            return b""
        return repr((_RULES, self._scope.include, self._scope.all_files)).encode("utf-8", "backslashreplace")

    def enters(self, path: str, names: Collection[str]) -> bool:
        """Whether there may be content in a folder below the root."""
        if self._any:
            return True
        whose = "hubfold's own state" if leave_out.is_own_state(path, names) else None
        if whose is None and not (self._vouched_for or self._scope.all_files):
            whose = leave_out.whose(path, names)
        if whose is not None:
            self.left_out[whose] += 1
        return whose is None

    def narrows(self, path: str, names: Collection[str], read: Callable[[str], str | None]) -> bool:
        """Whether some name in a folder may be left out by a pattern: whether `leaves_out` has to be asked at all.

        Asked of a folder before those in it; `read` gives the text of a file, None where it cannot be had.
        """
        if self._any:
            return False
        above = self._ignores.get(os.path.dirname(path), ()) if path != self._root else ()
        if IGNORE_FILE in names:
            above = (*above, (path, _rules(read(os.path.join(path, IGNORE_FILE)))))
        if above:
            self._ignores[path] = above
        return bool(above or self._exclude)

    def leaves_out(self, folder: str, name: str, *, is_folder: bool = False) -> bool:
        """Whether a pattern leaves out `name` in `folder`: the nearest ``.hubfoldignore`` that says something of it."""
        path = os.path.join(folder, name) + ("/" if is_folder else "")
        if _match(self._exclude, path):
            return True
        for base, spec in reversed(self._ignores.get(folder, ())):
            said = spec.check_file(path[len(base.rstrip("/")) + 1 :]).include
            if said is not None:
                return said
        return False

    def keeps(self, replica: IndexedReplica) -> bool:
        """Whether what an earlier scan took in is content by this scope too, as far as its row and its name tell."""
        if self._exclude and _match(self._exclude, replica.path):
            return False
        if self._any or self._vouched_for:
            return True
        if self._include:
            return _match(self._include, replica.path)
        name = replica.path.rpartition("/")[2]
        return self._scope.all_files or bool(replica.claims) or by_name(name) is not Kind.OTHER

    def takes(self, replica: Replica) -> bool:
        """Whether what a backend found is content."""
        if self._any or self._vouched_for:
            return True
        if self._include:
            return _match(self._include, replica.path)
        if replica.vouched or self._scope.all_files:
            return True
        kind = by_name(os.path.basename(replica.path))
        if kind is Kind.NAMELESS and replica.stat.st_size >= _LOOK_INTO:
            try:
                return headers.is_a_model(headers.head(replica.path))
            except OSError:
                return False
        return kind in (Kind.MODEL, Kind.SHARED)


#: Counted up with what counts as a model file, so that folders that did not change are looked at again.
_RULES = 1

_Specs = list[tuple[str, "GitIgnoreSpec"]]


def _specs(patterns: Sequence[str], root: str) -> _Specs:
    expanded = [os.path.expanduser(pattern) for pattern in patterns]
    anchored = [pattern for pattern in expanded if pattern.startswith("/")]
    loose = [pattern for pattern in expanded if not pattern.startswith("/")]
    return [(base, _spec(lines)) for base, lines in (("/", anchored), (root, loose)) if lines]


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    import pathspec

    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise UsageError(f"{error}", "patterns are written as in a .gitignore file") from None


def _match(specs: _Specs, path: str) -> bool:
    return any(spec.match_file(path[len(base.rstrip("/")) + 1 :]) for base, spec in specs)


def _rules(text: str | None) -> GitIgnoreSpec:
    """The patterns of an ``.hubfoldignore``; where it cannot be read, all is left out that it may be about."""
    if text is None:
        return _spec(["*"])
    lines = text.splitlines()
    try:
        return _spec(lines)
    except UsageError:
        # As git does: a line that is no pattern says nothing.
        return _spec(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        _spec([line])
    except UsageError:
        return False
    return True
