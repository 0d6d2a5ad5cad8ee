"""The bounds of what a plugin may name, as far as only the disk knows them.

`Below` is the one look by which a path lies below a root: each folder on the way is looked at, upper ones first, and
none may be a symlink. `homes` are the folders that no plugin makes a root of by itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from hubfold.disk.paths import within


class Below:
    """Whether paths that lie below `root` by their text do so on the disk; each folder is looked at once.

    What is not there, or cannot be entered, is not outside: nothing can be changed by way of it, and whoever changes
    something opens the way again.
    """

    __slots__ = ("_known", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, str] = {}

    def link_on_the_way(self, path: str, *, itself: bool = False) -> str:
        """The first symlink among the folders that lead from the root to `path`, "" where there is none.

        With `itself`, `path` must be none either: what is not only removed is followed.
        """
        folder = path if itself else os.path.dirname(path)
        if folder == self._root or not within(folder, self._root):
            return ""
        return self._look(folder)

    def _look(self, folder: str) -> str:
        """What is in the way may be a file, too: nothing lies below that."""
        found = self._known.get(folder)
        if found is None:
            above = os.path.dirname(folder)
            found = self._look(above) if above != self._root and within(above, self._root) else ""
            if not found:
                with suppress(OSError):
                    found = folder if stat.S_ISLNK(os.lstat(folder).st_mode) else ""
            self._known[folder] = found
        return found


class Bounds:
    """What the boundary of plugins asks of the disk. `environ` says which home is the user's own."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._homes: frozenset[str] | None = None

    def below(self, root: str) -> Below:
        """See `Below`; for one answer, since what lies on the way may change."""
        return Below(root)

    def real(self, path: str) -> str:
        """`path` without symlinks."""
        return os.path.realpath(path)

    def too_much(self, path: str) -> str:
        """Why a plugin may not make a root of `path` by itself, "" where it may.

        ``/``, the home of any user, and whatever the user's own home lies in, behind symlinks too. Homes are those that
        the user database lists, that of the folder's owner (which a directory service need not list), and ``HOME``.
        """
        real = os.path.realpath(path)
        own = os.path.realpath(self._environ.get("HOME") or os.path.expanduser("~"))
        if within(own, real):
            return "all of this machine" if real == "/" else "a home directory, or what one lies in"
        listed = self._listed()
        return "a home directory" if {path, real} & listed or real == _home_of_owner(real) else ""

    def _listed(self) -> frozenset[str]:
        if self._homes is None:
            self._homes = homes()
        return self._homes


def homes() -> frozenset[str]:
    """The home directories that the user database lists, by their text: to look at each would mount them all, where an
    automounter has them."""
    try:
        import pwd
    except ImportError:
        return frozenset()
    return frozenset(os.path.normpath(one.pw_dir) for one in pwd.getpwall() if one.pw_dir.startswith("/"))


def _home_of_owner(folder: str) -> str:
    with suppress(ImportError, KeyError, OSError):
        import pwd

        return os.path.realpath(pwd.getpwuid(os.stat(folder).st_uid).pw_dir)
    return ""
