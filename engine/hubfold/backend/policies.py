"""What plugins have a say in beside their layouts, each hook of each plugin behind a guard of its own.

What a plugin raises, or answers that its hook does not allow, is a `Fault` that is told once; the others are asked all
the same, and hubfold goes on as if that plugin had said nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hubfold.backend import answers
from hubfold.backend.answers import Unfit
from hubfold.backend.boundary import told
from hubfold.faults import Fault, Faults, Origin

if TYPE_CHECKING:
    from hubfold.content import Root

#: Of findings of one plugin: more would hide all others.
MOST_FINDINGS = 1_000
_WORDS = 4


class Hook(NamedTuple):
    """One plugin's function for a hook, and which of the hook's arguments it takes."""

    origin: Origin
    function: Callable[..., object]
    takes: tuple[str, ...]


class Policies:
    """The hooks of all plugins by name, as `Registry.hooks` has them."""

    def __init__(self, hooks: Mapping[str, Sequence[Hook]], faults: Faults) -> None:
        self._hooks = hooks
        self._faults = faults

    def has(self, name: str) -> bool:
        """Whether any plugin takes part: what nobody asks for need not be worked out."""
        return bool(self._hooks.get(name))

    def preferred(self, candidates: Sequence[str], digests: Mapping[str, str], size: int) -> str | None:
        """See `hookspecs.hubfold_prefer`: the word of the first plugin that has one."""

        def check(answer: object) -> str | None:
            if answer is not None and answer not in candidates:
                raise Unfit("its answer is none of the candidates")
            return None if answer is None else str(answer)

        name = "hubfold_prefer"
        found = self._each(name, check, candidates=tuple(candidates), digests=dict(digests), size=size)
        return next((one for one in found if one is not None), None)

    def veto(self, action: object) -> str:
        """See `hookspecs.hubfold_veto`: a reason with the plugin's name, "" where nobody is against it."""
        for hook in self._hooks.get("hubfold_veto", ()):
            for reason in self._ask(hook, "hubfold_veto", _reason, {"action": action}):
                if reason:
                    return f"{reason} (says {hook.origin.plugin})"
        return ""

    def before_run(self, command: str) -> None:
        """See `hookspecs.hubfold_before_run`."""
        list(self._each("hubfold_before_run", _nothing, command=command))

    def after_run(self, command: str, run: str, paths: Sequence[str]) -> None:
        """See `hookspecs.hubfold_after_run`."""
        list(self._each("hubfold_after_run", _nothing, command=command, run=run, paths=tuple(paths)))

    def findings(self, roots: Sequence[Root]) -> Iterator[tuple[str, str, str, str]]:
        """See `hookspecs.hubfold_findings`: (kind, path, message, hint), the kind with its plugin's name before it."""
        for hook in self._hooks.get("hubfold_findings", ()):
            for found in self._ask(hook, "hubfold_findings", _findings, {"roots": tuple(roots)}):
                for kind, path, message, hint in found:
                    yield f"{hook.origin.plugin}:{kind}", path, message, hint

    def configure(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """See `hookspecs.hubfold_settings`: each plugin gets the section of its own name."""
        for hook in self._hooks.get("hubfold_settings", ()):
            settings = dict(sections.get(hook.origin.plugin, {}))
            list(self._ask(hook, "hubfold_settings", _nothing, {"settings": settings}))

    def commands(self) -> dict[str, Any]:
        """See `hookspecs.hubfold_commands`: by name, the first plugin's where two have one."""
        found: dict[str, Any] = {}
        for commands in self._each("hubfold_commands", _commands):
            for name, command in commands.items():
                found.setdefault(name, command)
        return found

    def _each(self, name: str, check: Callable[[object], Any], **arguments: object) -> Iterator[Any]:
        for hook in self._hooks.get(name, ()):
            yield from self._ask(hook, name, check, arguments)

    def _ask(
        self, hook: Hook, name: str, check: Callable[[object], Any], arguments: Mapping[str, object]
    ) -> list[Any]:
        """The one answer of a plugin; none where it failed."""
        try:
            return [check(hook.function(**{one: arguments[one] for one in hook.takes}))]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self._faults.note(Fault(hook.origin, told(error), hook.origin.plugin, name))
            return []


def _nothing(_: object) -> None:
    """Whatever it answers."""


def _reason(answer: object) -> str:
    return "" if answer is None else answers.text(answer, "its reason")


def _findings(answer: object) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for one in _all(answer):
        if len(found) >= MOST_FINDINGS:
            raise Unfit(f"there are more than {MOST_FINDINGS:,} findings")
        words = tuple(answers.text(word, "a word of a finding") for word in answers.items(one, "a finding"))
        if len(words) != _WORDS:
            raise Unfit("a finding is not its kind, its path, its message and its hint")
        found.append(words)
    return found


def _commands(answer: object) -> dict[str, Any]:
    found = {}
    for command in _all(answer):
        name = getattr(command, "name", None)
        if not callable(getattr(command, "main", None)) or not isinstance(name, str) or not name:
            raise Unfit("its answer holds what is no click command")
        found[name] = command
    return found


def _all(answer: object) -> Iterable[Any]:
    return answers.items(() if answer is None else answer, "its answer")
