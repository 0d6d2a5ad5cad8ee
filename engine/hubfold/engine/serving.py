"""The models of this host for others: what is handed out, to whom, and until when."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from hubfold.content import Signature
from hubfold.disk.paths import named
from hubfold.engine.models import Models
from hubfold.engine.workspace import Workspace
from hubfold.errors import HubfoldError, UsageError, describe
from hubfold.reports.serving import Begun
from hubfold.serving import gate, onward
from hubfold.serving.catalogue import Catalogue
from hubfold.serving.gate import Gate
from hubfold.serving.proof import Proofs
from hubfold.serving.shelf import Shelf, shelve

_EXTRA = "pip install 'hubfold[serve]'"


class Settings(Protocol):
    """How to serve."""

    @property
    def bind(self) -> str:
        """``HOST:PORT``; "" for this machine's own address."""

    @property
    def roots(self) -> Sequence[str]:
        """Paths of roots, or of folders above some; none for all that are known."""

    @property
    def token_file(self) -> str | None:
        """A file with the token that everybody has to send."""

    @property
    def without_token(self) -> bool:
        """Whether who reaches an address that other machines reach may ask without one."""

    @property
    def next(self) -> str | None:
        """The endpoint that is asked for what is not here."""

    @property
    def tls(self) -> tuple[str | None, str | None]:
        """A certificate and its key, PEM files."""


class Serving:
    """Serves until the workspace is told to stop."""

    def __init__(self, workspace: Workspace, models: Models) -> None:
        self._workspace = workspace
        self._models = models

    def serve(
        self, settings: Settings, *, begun: Callable[[Begun], object], told: Callable[[str], object]
    ) -> None:
        """See `Engine.serve`."""
        try:
            from hubfold.serving import application, server
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("hubfold"):
                raise
            raise HubfoldError(f"serving needs the package {error.name}", f"run `{_EXTRA}`") from error
        tls = _tls(settings)
        address = gate.address(settings.bind or "127.0.0.1")
        next_ = onward.endpoint(settings.next) if settings.next is not None else None
        token = gate.read_token(named(settings.token_file)) if settings.token_file is not None else None
        with server.listen(address) as listening:
            host, port = listening.getsockname()[:2]
            own = gate.of_this_machine(host)
            if not own and token is None and not settings.without_token:
                raise UsageError(
                    f"other machines reach {host}, and no token is asked for",
                    "give --token-file FILE, or --without-token to let everybody there read your models",
                )
            shelf = self._look(settings, told)
            catalogue = Catalogue(partial(self._look, settings), partial(self._failed, told), shelf)
            proofs = Proofs(self._computed, self._learned)
            serving = application.Serving(
                catalogue, proofs, Gate(token, own), next_, lambda logged: told(logged.line)
            )
            endpoint = f"{'https' if tls is not None else 'http'}://{gate.reached_at(host)}:{port}"
            server.run(
                serving.application(),
                listening,
                tls=tls,
                stop=self._workspace.stop,
                started=lambda: begun(_begun(endpoint, shelf, Gate(token, own), plain=tls is None)),
            )

    def _look(self, settings: Settings, told: Callable[[str], object] | None = None) -> Shelf:
        """The shelf as the roots are now; the first time `told` of what is wrong with them."""
        self._workspace.look_again()
        found = self._workspace.discover(settings.roots, known=not settings.roots)
        stop = self._workspace.stop
        progress = self._workspace.progress if told is not None else None
        holdings = self._workspace.holdings(self._models.by_preference(found), progress=progress, stop=stop)
        shelf = shelve(one.snapshot for one in holdings.held())
        if told is not None:
            for warning in holdings.warnings:
                told(f"{warning.path}: {warning.message}")
        return shelf

    def _failed(self, told: Callable[[str], object], error: Exception) -> None:
        if not self._workspace.stop:
            told(f"the roots could not be looked at again: {describe(error)}")

    def _computed(self, signature: Signature) -> Mapping[str, str]:
        # The index is a cache: where it cannot be asked, the file is read.
        with suppress(HubfoldError, OSError):
            return self._workspace.index.digests_of(signature) if self._workspace.has_index else {}
        return {}

    def _learned(self, signature: Signature, digests: Mapping[str, str]) -> None:
        with suppress(HubfoldError, OSError):
            self._workspace.index.record_digests(signature, digests)


def _tls(settings: Settings) -> tuple[str, str] | None:
    certificate, key = settings.tls
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs a certificate and its key", "give --tls-cert and --tls-key")
    paths = named(certificate), named(key)
    for path in paths:
        # Which one is not there, ssl does not say.
        os.stat(path)
    return paths


def _begun(endpoint: str, shelf: Shelf, asks: Gate, *, plain: bool) -> Begun:
    revisions = list(shelf.revisions)
    whole = sum(one.whole for one in revisions)
    return Begun(
        endpoint=endpoint,
        models=len(shelf.models),
        whole=whole,
        in_part=len(revisions) - whole,
        bytes=shelf.bytes,
        token=asks.token is not None,
        own=asks.own,
        plain=plain,
    )
