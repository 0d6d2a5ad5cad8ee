"""One program run and measured, and the page cache put in a known state before it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Seconds, bytes; `read` is what the program asked the kernel for, `device` what came from the disk."""

    wall: float
    cpu: float
    #: ``rchar`` of /proc/<pid>/io with its children: files of the interpreter and shared libraries included.
    read: int
    #: ``read_bytes`` of /proc/<pid>/io, with its children.
    device: int
    #: Peak resident memory of the largest process of the run.
    memory: int
    #: How much the system's page cache grew, negative where it shrank.
    cache: int
    output: str = ""

    def as_json(self) -> dict[str, float | int]:
        found = asdict(self)
        del found["output"]
        return found


class RunFailed(Exception):
    """A measured program did not end well; its figures would mean nothing."""


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: str = os.devnull,
    accept: Sequence[int] = (0,),
) -> Sample:
    """Run `argv` to its end and measure it. Raises `RunFailed` for an exit code that is not in `accept`."""
    cached = page_cache()
    with open(stdin, "rb") as given:
        begun = time.perf_counter()
        process = subprocess.Popen(
            list(argv), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(env)
        )
        out, err = _drained(process)
        # It stays a zombie until its counters are read.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.perf_counter() - begun
    counters = _counters(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code not in accept:
        raise RunFailed(f"{' '.join(argv)[:200]}: exit code {code}: {err[-400:]}")
    return Sample(
        wall,
        usage.ru_utime + usage.ru_stime,
        counters.get("rchar", 0),
        counters.get("read_bytes", 0),
        usage.ru_maxrss * 1024,
        page_cache() - cached,
        out,
    )


def _drained(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Both outputs to their ends, without reaping the process as `communicate` would."""
    import selectors

    assert process.stdout is not None
    assert process.stderr is not None
    found: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                if data:
                    found[key.fd].append(data)
                else:
                    selector.unregister(key.fileobj)
    out, err = (b"".join(parts).decode("utf-8", "replace") for parts in found.values())
    process.stdout.close()
    process.stderr.close()
    return out, err


def _counters(pid: int) -> dict[str, int]:
    try:
        with open(f"/proc/{pid}/io") as file:
            return {name: int(value) for name, value in (line.split(":") for line in file)}
    except (OSError, ValueError):
        return {}


def page_cache() -> int:
    """Bytes in the system's page cache now."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("Cached:"):
                return int(line.split()[1]) * 1024
    return 0


def can_drop() -> bool:
    """Whether the page cache can be emptied here."""
    return os.access("/proc/sys/vm/drop_caches", os.W_OK) and os.geteuid() == 0


def drop() -> None:
    """Empty the page cache, and the caches of directories and inodes."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def warm(paths: Iterable[str]) -> None:
    """Bring files into the page cache, and directories with everything below them into that of names."""
    buffer = bytearray(1 << 20)
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                for name in names:
                    os.lstat(os.path.join(folder, name))
            continue
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    uname = os.uname()
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    return {
        "kernel": f"{uname.sysname} {uname.release}",
        "cpu": models[0] if models else uname.machine,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "python": sys.version.split()[0],
        "load_at_start": load(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
