"""What plugins did wrong, each thing once: which plugin, of which distribution, by which method, about which root."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hubfold.errors import LeftAlone


class Origin(NamedTuple):
    """Where a plugin comes from; `plugin` is the name of its entry point."""

    plugin: str
    distribution: str
    version: str

    @property
    def whence(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".rstrip()

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.whence}"


#: hubfold's own backend that is no plugin: the one of vaults.
OWN = Origin("vault", "hubfold", "")


class Fault(NamedTuple):
    """What a plugin did wrong. `root` is what is left out because of it, "" where it was not asked about one.

    Without a `method` of a `backend` it is left out as a whole: it could not be loaded.
    """

    origin: Origin
    what: str
    backend: str = ""
    method: str = ""
    root: str = ""

    def __str__(self) -> str:
        if not self.method:
            return f"{self.origin} is left out: {self.what}"
        of = "" if self.backend == self.origin.plugin else f" of {self.backend}"
        return (
            f"{self.origin} failed in {self.method}{of}: {self.what}{'; it is left out' if self.root else ''}"
        )

    @property
    def line(self) -> str:
        """The one line that a user reads."""
        return f"{self.root}: {self}" if self.root else str(self)


class BackendFault(LeftAlone):
    """A plugin is at fault. It is noted already, and told; the root that was asked about is to be left out."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(
            f"the plugin of {fault.root or fault.backend} failed",
            "HUBFOLD_NO_PLUGINS=1 leaves out all plugins but hubfold's own",
        )
        self.fault = fault


class Faults:
    """The faults of all plugins, each method's once for each root, in the order in which they were met."""

    def __init__(self) -> None:
        self._noted: dict[tuple[Origin, str, str, str], Fault] = {}

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._noted.values()))

    def __len__(self) -> int:
        return len(self._noted)

    def known(self, origin: Origin, backend: str, method: str, root: str) -> Fault | None:
        """What was noted of this method and root before."""
        return self._noted.get((origin, backend, method, root))

    def note(self, fault: Fault) -> Fault:
        """Note a fault; the one that stands for it."""
        return self._noted.setdefault((fault.origin, fault.backend, fault.method, fault.root), fault)
