"""What is believed of what a worker answered.

A worker may be of another version, look at another file system, or have memory that fails. So an answer counts only
where all of it makes sense and is about the very file that was meant; for every other file there is a reason instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hubfold.reading.digests import Job, Reading
from hubfold.workers.tasks import Answer, FileAnswer, FileTask

#: Why an answer counts for nothing.
NONSENSE = "answered what makes no sense"
OTHER_FILE_SYSTEM = "sees another file system there"
OTHER_FILE = "sees another file there"

_HEX = {
    name: re.compile(rf"[0-9a-f]{{{length}}}")
    for name, length in (
        ("sha256", 64),
        ("git-sha1", 40),
        ("xxh3_128", 32),
        ("xet", 64),
        ("md5", 32),
        ("sample", 32),
    )
}
#: A file may be read once for each of several digests, and blocks of it more than once.
_MOST_READ = len(_HEX)
_SAMPLED = 1 << 20


def judge(
    nonce: str, jobs: Sequence[Job], asked: Sequence[FileTask], answer: object
) -> list[tuple[Job, Reading | str]]:
    """Each job with what came of it, or with why the answer does not count."""
    if not (
        type(answer) is Answer
        and answer.nonce == nonce
        and type(answer.files) is tuple
        and len(answer.files) == len(asked)
    ):
        return [(job, NONSENSE) for job in jobs]
    return [
        (job, _judged(job, task, found)) for job, task, found in zip(jobs, asked, answer.files, strict=True)
    ]


def _judged(job: Job, task: FileTask, found: object) -> Reading | str:
    if type(found) is not FileAnswer or not isinstance(found.problem, str):
        return NONSENSE
    if found.problem:
        return found.problem
    if found.filesystem != task.filesystem:
        return OTHER_FILE_SYSTEM
    if found.seen != task.seen:
        return OTHER_FILE
    read, most = found.bytes_read, _MOST_READ * job.signature.size + _SAMPLED
    if not _are_digests(found.digests, task.algorithms) or type(read) is not int or not 0 <= read <= most:
        return NONSENSE
    return Reading(job, dict(found.digests), read)


def _are_digests(found: object, algorithms: Sequence[str]) -> bool:
    return (
        isinstance(found, Mapping)
        and found.keys() == set(algorithms)
        and all(isinstance(value, str) and _HEX[name].fullmatch(value) for name, value in found.items())
    )
