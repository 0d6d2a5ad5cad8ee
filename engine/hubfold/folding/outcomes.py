"""What became of the actions of a run, and what is tried instead of what the file system refused."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hubfold import errors
from hubfold.content import LinkKind
from hubfold.errors import AllNamesTaken, BytesDiffer, OneFile
from hubfold.folding.plan import Action, with_one_mtime
from hubfold.folding.swaps import Swap
from hubfold.journal.journal import Journal

#: What a file system answers that has no such link, or not between these two files.
_REFUSALS = (errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ETXTBSY)
_FULL = "has as many names as its file system allows"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action: done where `error` is empty."""

    action: Action
    error: str = ""
    #: The bytes were compared and are not the same, so one of the two is not what its name or digest says.
    differs: bool = False
    #: Nothing went wrong: victim and keeper are one file, seen twice.
    one_file: bool = False


class Outcomes:
    """The outcomes of a run so far, told in the journal where something had been announced."""

    def __init__(self, journal: Journal) -> None:
        self.found: list[Outcome] = []
        self._journal = journal
        #: What another kind of link is tried for, the file system having refused the first.
        self._refused: list[Action] = []
        #: What the keeper of each payload could not serve, since its file can get no more names.
        #: By the victims' backend, since not every layout's files may become one with another's.
        self._full: dict[tuple[tuple[int, int], str], list[Action]] = {}

    def done(self, swap: Swap) -> None:
        self._journal.append("done", number=swap.number)
        self.found.append(Outcome(swap.action))

    def fail(self, action: Action, error: BaseException | str) -> None:
        text = error if isinstance(error, str) else errors.describe(error)
        self.found.append(Outcome(action, text, isinstance(error, BytesDiffer), isinstance(error, OneFile)))

    def drop(
        self, swaps: Iterable[Swap], reason: BaseException | str, refusal: BaseException | None = None
    ) -> None:
        """Give swaps up; what something else is tried for where the file system gave `refusal` has failed not yet."""
        for swap in swaps:
            text = reason if isinstance(reason, str) else errors.describe(reason)
            self._journal.append("dropped", number=swap.number, reason=text)
            if not self._tried_again(swap.action, refusal):
                self.fail(swap.action, reason)

    def _tried_again(self, action: Action, error: BaseException | None) -> bool:
        """Whether something else is done, what was tried having been refused."""
        if not isinstance(error, OSError):
            return False
        if isinstance(error, AllNamesTaken):
            self._full.setdefault((action.keeper.payload, action.victim.backend), []).append(action)
            return True
        if error.errno not in _REFUSALS or not action.instead:
            return False
        refused = f"no {action.link} here: {errors.describe(error)}"
        self._refused += [one._replace(reason=f"{one.reason} ({refused})") for one in action.instead]
        return True

    def second_try(self) -> list[Action]:
        """What is done instead of what the file system refused: another kind of link, or another keeper."""
        refused, self._refused = self._refused, []
        full, self._full = self._full, {}
        by_keeper: dict[str, list[Action]] = {}
        for action in refused:
            by_keeper.setdefault(action.keeper.path, []).append(action)
        for actions in full.values():
            for action in self._with_second_keeper(actions):
                by_keeper.setdefault(action.keeper.path, []).append(action)
        return [action for actions in by_keeper.values() for action in with_one_mtime(actions)]

    def _with_second_keeper(self, actions: Sequence[Action]) -> Iterator[Action]:
        """The actions of a keeper that can get no more names, with the first file of them that stays in its place."""
        replaced = {outcome.action.victim.payload for outcome in self.found if not outcome.error}
        whole = [a for a in actions if a.may_keep and a.victim.payload not in replaced]
        second = whole[0].victim if whole else None
        for action in actions:
            if second is None or action.victim.payload in (second.payload, *replaced):
                self.fail(action, f"{action.keeper.path} {_FULL}")
            else:
                target = second.path if action.link is LinkKind.HARDLINK else action.target
                reason = f"{action.reason}, to a second file: {action.keeper.path} {_FULL}"
                yield action._replace(keeper=second, target=target, reason=reason, instead=())
