"""How long `hubfold ui` takes to its first picture: ``python -m benchmarks.first_picture [PLACE] [FILES]``.

A library of 500 models and FILES files (200,000 by default) is made and scanned; then the view is started in a terminal
of its own as often as ROUNDS says. Told is the time to the first root on the screen, from the index, and for comparison
the time that Python takes for the toolkit alone. Nothing of this is in the results of ``python -m benchmarks``: those
are of programs that come to an end by themselves.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping

from benchmarks import trees

ROUNDS = 7
_PATIENCE = 60.0


def until_seen(wanted: str, argv: list[str], env: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from the start of a program in a terminal until it has drawn a text: by the clock, and of processors."""
    began = time.monotonic()
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(argv[0], argv, dict(env))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    seen = b""
    try:
        while wanted.encode() not in seen:
            if time.monotonic() - began > _PATIENCE:
                raise TimeoutError(f"{argv} has not drawn {wanted!r}: {seen[-500:]!r}")
            if select.select([terminal], [], [], 0.05)[0]:
                seen += os.read(terminal, 1 << 16)
        took = time.monotonic() - began
    finally:
        os.kill(process, signal.SIGKILL)
        used = os.wait4(process, 0)[2]
        os.close(terminal)
    return took, used.ru_utime + used.ru_stime


def measure(place: str, files: int) -> None:
    """Make the library, scan it, and tell the times."""
    manifest = trees.library(place, 500, files)
    env = {
        **os.environ,
        "HOME": place,
        "HUBFOLD_HOME": os.path.join(place, "state"),
        "HF_HUB_CACHE": manifest["roots"][0],
        "TERM": "xterm-256color",
    }
    hubfold = [sys.executable, "-m", "hubfold"]
    plain = manifest["roots"][1]
    subprocess.run([*hubfold, "roots", "add", plain, "-q"], env=env, check=True)
    subprocess.run(
        [*hubfold, "scan", "-q", "--all-files", "--min-size", "1GB"],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wanted = "~/plain"
    times = [until_seen(wanted, [*hubfold, "ui"], env) for _ in range(ROUNDS)]
    toolkit = "import textual.app, textual.widgets, textual.screen; print('loaded', flush=True); input()"
    loads = [until_seen("loaded", [sys.executable, "-c", toolkit], env) for _ in range(ROUNDS)]
    for what, found in ((f"first picture of {files:,} files", times), ("Python and Textual alone", loads)):
        sys.stdout.write(
            f"{what}: {min(found):.2f} s at best, {statistics.median(found):.2f} s in the middle\n"
        )


def main() -> None:
    """As the command line says."""
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    if len(sys.argv) > 1:
        measure(sys.argv[1], files)
        return
    with tempfile.TemporaryDirectory() as place:
        measure(place, files)


if __name__ == "__main__":
    main()
