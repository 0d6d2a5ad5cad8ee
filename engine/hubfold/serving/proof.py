"""Content that is known to be what its name says, and stays so while it is read.

A file is known by its digest under the very signature that it has: the index remembers it, or it is read once, before
its first byte goes out, however many ask for it. Each block is read first, then the file is looked at: only if its
signature is the one that was proved may the block go. What touched the file meanwhile without a change (one more name
of it, another mode) costs that it is read again; what changed it ends the answer.

Network file systems tell for a while what they knew: `Opened.still` makes them ask, and is to be asked before the last
block, which nobody takes for the whole without.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor

from hubfold.content import Signature, signature_tuple
from hubfold.disk import fresh, open_flags
from hubfold.errors import Interrupted
from hubfold.progress import Stop
from hubfold.reading import digests
from hubfold.serving.shelf import PROOFS, Shelved

#: Bytes that are read and sent at a time.
BLOCK = 1 << 20
#: Nanoseconds. A file that changed since may change once more and keep its times: clocks of file systems are coarse.
SETTLED = 2 * 10**9
#: How many files are read to be proved at a time.
_READERS = 2
#: Reads what is in memory already, and nothing from a drive.
_AT_ONCE: int = getattr(os, "RWF_NOWAIT", 0)
_NOT_AT_ONCE = frozenset({errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class NotTheContent(Exception):
    """A file is not, or is not any more, what its layout says it is."""


class Proofs:
    """What is known of the bytes of files, by their signatures; what nobody knows is read, once for all who ask.

    `computed` says what was computed of a payload before, `learned` is told what was computed now.
    """

    def __init__(
        self,
        computed: Callable[[Signature], Mapping[str, str]],
        learned: Callable[[Signature, Mapping[str, str]], object],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._computed = computed
        self._learned = learned
        self._now_ns = now_ns
        self._known: dict[Signature, dict[str, str]] = {}
        self._running: dict[tuple[Signature, str], asyncio.Task[str | None]] = {}
        self._readers = ThreadPoolExecutor(_READERS, "proof")
        self._stop = Stop()

    def close(self) -> None:
        """End what is being read."""
        self._stop.set()
        self._readers.shutdown(cancel_futures=True)

    def known(self, signature: Signature, file: Shelved) -> bool | None:
        """Whether a payload is the file; None where nobody has read it."""
        known = self._known.get(signature)
        if known is None or file.algorithm not in known:
            known = {one: value for one, value in self._computed(signature).items() if one in PROOFS}
            self._known.setdefault(signature, {}).update(known)
        return known[file.algorithm] == file.digest if file.algorithm in known else None

    async def prove(self, path: str, signature: Signature, file: Shelved) -> bool:
        """Whether the payload at `path` is the file, read if need be; False also for one that changed meanwhile."""
        known = self.known(signature, file)
        if known is not None:
            return known
        key = signature, file.algorithm
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._read(path, signature, file.algorithm))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # Who goes away ends nobody else's proof.
        return await asyncio.shield(task) == file.digest

    async def _read(self, path: str, signature: Signature, algorithm: str) -> str | None:
        young = max(signature.mtime_ns, signature.ctime_ns) + SETTLED - self._now_ns()
        if young > 0:
            await asyncio.sleep(min(young, SETTLED) / 10**9)
        job = digests.Job(os.path.realpath(path), signature, (algorithm,))
        loop = asyncio.get_running_loop()
        try:
            reading = await loop.run_in_executor(self._readers, digests.read, job, None, self._stop)
        except Interrupted:
            return None
        found = dict(reading.digests)
        if algorithm in found:
            self._known.setdefault(signature, {}).update(found)
            self._learned(signature, found)
        return found.get(algorithm)


class Opened:
    """A file of the shelf, open for reading; a context manager. Raises `OSError`, `NotTheContent` for no file of its
    length."""

    def __init__(self, file: Shelved, path: str, proofs: Proofs, readers: Executor | None = None) -> None:
        self.file = file
        self.path = path
        self._proofs = proofs
        self._readers = readers
        self._proved: Signature | None = None
        self._fd = os.open(path, open_flags.READ | open_flags.NONBLOCK)
        st = os.fstat(self._fd)
        if not stat.S_ISREG(st.st_mode) or st.st_size != file.size:
            self.close()
            raise NotTheContent(path)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def signature(self) -> Signature:
        """As it is now."""
        return Signature.of(os.fstat(self._fd))

    @property
    def known(self) -> bool | None:
        """Whether it is the file; None where nobody has read it."""
        return self._proofs.known(self.signature, self.file)

    async def prove(self) -> None:
        """Raises `NotTheContent`."""
        signature = self.signature
        if not await self._proofs.prove(self.path, signature, self.file):
            raise NotTheContent(self.path)
        self._proved = signature

    async def read(self, block: memoryview, offset: int) -> int:
        """Fill the beginning of `block` with the bytes at `offset`, and say how many these are: those of the content.

        Raises `NotTheContent`, `OSError`.
        """
        while True:
            if self._proved is None:
                await self.prove()
            count = self._read_at_once(block, offset) or await self._read(block, offset)
            if signature_tuple(os.fstat(self._fd)) == self._proved:
                if not count:
                    raise NotTheContent(self.path)
                return count
            self._proved = None

    async def still(self) -> None:
        """Look once more, and have the file system ask. Raises `NotTheContent`, `OSError`."""
        asked = fresh.ctime_ns(self._fd)
        if self._proved is None or self.signature != self._proved or asked != self._proved.ctime_ns:
            self._proved = None
            await self.prove()

    def _read_at_once(self, block: memoryview, offset: int) -> int:
        """What is in memory, 0 for nothing: a drive that is slow keeps nobody else waiting."""
        try:
            return os.preadv(self._fd, [block], offset, _AT_ONCE) if _AT_ONCE else 0
        except OSError as error:
            if error.errno not in _NOT_AT_ONCE:
                raise
            return 0

    async def _read(self, block: memoryview, offset: int) -> int:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, os.preadv, self._fd, [block], offset)
