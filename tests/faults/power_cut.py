"""The power-cut sweep: kill a command at a point, and go on with what its disk held at that moment.

The image under the mounted file system is copied with no sync before, and mounted again in the place of the live one,
at the same path, as after a reboot: no live file can answer for a lost one, not through an absolute symlink either.
The tree was written and synced beforehand, but for the keepers: they come fresh from a download and are still in
memory only. A command that lets another copy go before the keeper is on disk loses the bytes; the negative control,
`LOST_FSYNC`, shows that the sweep sees that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from .filesystems import Mounted, Mounts, copy_image, unmount
from .strace_sweep import (
    Check,
    Command,
    ImageStage,
    Outcome,
    Point,
    Stage,
    Verdict,
    kills,
    remounting,
    strike,
    sweep,
)

#: Injections that make each fsync and fdatasync succeed and do nothing.
LOST_FSYNC = ("fsync:retval=0", "fdatasync:retval=0")
_SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range")


class DiskStage(ImageStage):
    """A place on images whose power can be cut. `download` writes, after each `fresh`, what is not to be synced."""

    def __init__(
        self, mounts: Mounts, images: Sequence[Mounted], download: Callable[[str], object] = id
    ) -> None:
        super().__init__(mounts, images)
        self.download = download

    def fresh(self) -> None:
        super().fresh()
        self.download(self.place)

    def cut(self) -> None:
        """The power goes, the machine starts again: the place now holds what was on disk."""
        for mounted in self.images:
            assert mounted.image is not None
            copy_image(mounted.image, mounted.image + ".cut")
        with remounting(self.images):
            for mounted in reversed(self.images):
                unmount(mounted.path)
            for mounted in self.images:
                assert mounted.image is not None
                copy_image(mounted.image + ".cut", mounted.image)
                os.unlink(mounted.image + ".cut")
                self._mounts.mount(mounted)


def power_cuts(
    stages: Sequence[DiskStage],
    command: Callable[[Stage], Command],
    points: Iterable[Point],
    check: Check,
) -> list[Verdict]:
    """Cut the power before each of `points`; `check` judges the place as it is after the reboot."""

    def judge(stage: Stage, outcome: Outcome) -> Iterable[str]:
        assert isinstance(stage, DiskStage)
        stage.cut()
        return check(stage, outcome)

    return sweep(stages, command, kills(points), judge)


def cut_without_fsync(
    stage: DiskStage, command: Command, point: Point, lost: Sequence[str] = LOST_FSYNC
) -> Outcome:
    """The negative control: the same cut with fsyncs that do nothing (`lost`, as strace injections)."""
    assert point.name not in _SYNCS
    stage.fresh()
    outcome = strike(stage, command, point, "KILL", *lost)
    stage.cut()
    return outcome
