"""A plugin of somebody else for real processes: the layout "box" of `tests.building.plugin`, which prints by all means,
or hangs, where the environment says so.

``LOUD`` names the methods (``import`` for the import, ``all`` for all) that print; ``HANG`` the one that does not come
back, and ``DEAF=1`` lets it swallow whatever it is told; ``FLOOD`` the one whose answer has no end.
"""

from __future__ import annotations

from pathlib import Path

MODULE = """
import atexit, functools, itertools, os, subprocess, sys, time

from hubfold import Replica, hookimpl
from hubfold.backend import Leftover, LeftoverKind, Removal
from hubfold.content import Snapshot
from tests.building.plugin import METHODS, Box

LOUD, HANG, FLOOD, DEAF = (os.environ.get(name, "") for name in ("LOUD", "HANG", "FLOOD", "DEAF"))


def shout(name):
    print(f"printed by {name}")
    sys.stdout.write(f"written by {name}\\n")
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"sneaked by {name}\\n")
    os.write(1, f"fd of {name}\\n".encode())
    subprocess.run(["echo", f"child of {name}"], check=True)


def hang():
    print("hanging", file=sys.stderr, flush=True)
    while True:
        try:
            # One long sleep would miss the signal that comes between Python's last look and the call.
            time.sleep(0.05)
        except BaseException:
            if not DEAF:
                raise
            print("deaf", file=sys.stderr, flush=True)


def flood(name, root):
    st = os.stat(root.path)
    for number in itertools.count():
        path = f"{root.path}/boxed/{number}.safetensors"
        if name == "replicas":
            yield Replica(path, os.stat(f"{root.path}/boxed/model.safetensors"), {"sha256": f"{number:064}"})
        elif name == "snapshots":
            yield Snapshot(f"acme/{number}", "model", f"{number:040}", ("main",), root.path, ())
        else:
            yield Leftover(LeftoverKind.LOCK, path, Removal(root.path, "box", "", "", content=(path,)), 0)


def faulty(method):
    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        if LOUD in ("all", method.__name__):
            shout(method.__name__)
        if HANG == method.__name__:
            hang()
        if FLOOD == method.__name__:
            return flood(method.__name__, args[1])
        return method(*args, **kwargs)
    return wrapped


class Loud(Box):
    name = "box"


for name in METHODS:
    plain = Box.__dict__[name]
    inner = plain.__func__ if isinstance(plain, classmethod) else plain
    setattr(Loud, name, classmethod(faulty(inner)) if isinstance(plain, classmethod) else faulty(inner))

if LOUD in ("all", "import"):
    shout("import")
    atexit.register(shout, "exit")


@hookimpl
def hubfold_storage_backends():
    return [Loud]
"""


def install(folder: Path) -> None:
    """Make `folder` one for ``PYTHONPATH`` that has the plugin as ``hubfold-loud 1.0``."""
    info = folder / "hubfold_loud-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hubfold-loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hubfold]\nloud = hubfold_loud_module\n")
    (folder / "hubfold_loud_module.py").write_text(MODULE)
