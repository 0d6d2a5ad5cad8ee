"""What Ollama calls a model, as ``types/model/name.go`` has it.

``[host/][namespace/]model[:tag]``; left out are ``registry.ollama.ai``, ``library`` and ``latest``. Letters count as
the same whatever their case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"

#: ``isValidPart``.
_PARTS = (
    re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.:\-]{0,349}"),
    re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]{0,79}"),
    re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.\-]{0,79}"),
    re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.\-]{0,79}"),
)
_SCHEME = re.compile(r"https?://")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name with all its parts."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def shown(self) -> str:
        """As ``ollama list`` has it (``DisplayShortest``)."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != _HOST:
            return f"{self.host}/{self.namespace}/{name}"
        return f"{self.namespace}/{name}" if self.namespace.lower() != _NAMESPACE else name


def of_parts(parts: list[str]) -> ModelName | None:
    """The name of which these are host, namespace, model and tag; None where they cannot be."""
    if len(parts) != len(_PARTS):
        return None
    fits = all(fitting.fullmatch(part) for fitting, part in zip(_PARTS, parts, strict=True))
    return ModelName(*parts) if fits else None


def parse(text: str) -> ModelName | None:
    """The name that a user means by `text` (``ParseName``); None for what can be none."""
    rest = _SCHEME.sub("", text, count=1) if _SCHEME.match(text) else text
    tag = _TAG
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
    *above, model = rest.split("/")
    defaults = [_HOST, _NAMESPACE]
    if len(above) > len(defaults):
        return None
    return of_parts([*defaults[: len(defaults) - len(above)], *above, model, tag])
