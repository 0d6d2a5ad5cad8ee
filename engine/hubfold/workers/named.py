"""What a user calls workers (``--executor``, ``executor`` in ``config.toml``), and the team that it means::

    threads, threads:N               threads of this process, as without a word
    processes:N                      N processes on this machine
    dask:tcp://HOST:PORT             a Dask cluster that is there (tls:// and others of Dask's too)
    dask:local, dask:local:N         one that is made on this machine, and ended at the end
    dask:slurm?jobs=N&cores=…        one whose workers are jobs of SLURM (dask-jobqueue); what else stands there goes to
                                     its ``SLURMCluster`` (queue, account, memory, walltime, …)
    mpi                              the other ranks, under ``mpiexec -n N python -m mpi4py.futures -m hubfold …``

Nothing of an extra is imported before its word is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from hubfold.errors import UsageError
from hubfold.workers.team import HandedIn, Processes, Team

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hubfold.progress import Stop

_KNOWN = "threads:N, processes:N, dask:tcp://HOST:PORT, dask:local[:N], dask:slurm?jobs=N&…, or mpi"


def check(text: str) -> None:
    """Raise `UsageError` where `text` names no workers. Makes none, and imports nothing."""
    _opener(text)


def threads(text: str) -> int | None:
    """How many threads of this process `text` means, 0 for as many as usual; None where it means somebody else.

    Raises `UsageError`.
    """
    kind, _, number = text.partition(":")
    if kind != "threads":
        return None
    return _number(text, number) if number else 0


def open_team(text: str, stop: Stop) -> Team:
    """The workers that `text`, which does not mean `threads`, means. Whoever asks closes them.

    Raises `UsageError` for what names none, and where its extra is not installed; `HubfoldError` where nobody comes;
    `Interrupted`.
    """
    return _opener(text)(stop)


def team_of(executor: Executor) -> Team:
    """The workers behind an executor, or a Dask client, that somebody hands in."""
    # By what they are, not by their class: nothing is imported for who has no Dask.
    client: Any = getattr(executor, "_client", executor)
    if type(client).__module__.partition(".")[0] == "distributed":
        from hubfold.workers.dask_team import DaskTeam

        return DaskTeam(client, "dask")
    return HandedIn(executor)


def _opener(text: str) -> Callable[[Stop], Team]:
    kind, _, rest = text.partition(":")
    if text == "mpi":
        return _mpi
    if kind == "processes":
        number = _number(text, rest)
        return lambda stop: Processes(number)
    if kind == "dask" and rest:
        return _dask(text, rest)
    raise UsageError(f"{text!r} names no workers", f"give {_KNOWN}")


def _number(text: str, number: str) -> int:
    if not number:
        return os.cpu_count() or 1
    if not (number.isascii() and number.isdecimal() and 0 < int(number) <= 4096):
        raise UsageError(f"{text!r}: {number!r} is no number of workers", "give 1 or more")
    return int(number)


def _dask(text: str, rest: str) -> Callable[[Stop], Team]:
    kind, _, more = rest.partition(":")
    if kind == "local" and not more.startswith("//"):
        number = _number(text, more)
        return lambda stop: _of_dask().local(text, number, stop)
    if rest.partition("?")[0] == "slurm":
        settings = _settings(text, rest.partition("?")[2])
        return lambda stop: _of_dask().slurm(text, settings, stop)
    if more.startswith("//") and len(more) > len("//"):
        return lambda stop: _of_dask().connect(text, rest, stop)
    raise UsageError(f"{text!r} names no workers", f"give {_KNOWN}")


def _settings(text: str, query: str) -> dict[str, str | int]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"{text!r}: {query!r} is no list of settings", "write jobs=4&cores=8") from None
    return {name: int(value) if value.isascii() and value.isdecimal() else value for name, value in pairs}


def _of_dask() -> Any:
    try:
        from hubfold.workers import dask_team
    except ImportError as error:
        raise UsageError(f"Dask is not installed ({error})", "pip install 'hubfold[dask]'") from None
    return dask_team


def _mpi(stop: Stop) -> Team:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"MPI is not installed ({error})", "pip install 'hubfold[mpi]', and an MPI library beside it"
        ) from None
    # Without the runner of mpi4py each rank is a hubfold of its own.
    if MPI.COMM_WORLD.Get_size() < 2 or "mpi4py.run" not in sys.modules:
        raise UsageError(
            "mpi: there are no ranks that take work", "mpiexec -n 9 python -m mpi4py.futures -m hubfold …"
        )
    return HandedIn(MPIPoolExecutor(), "mpi")
