"""A machine of its own: a mount and UTS namespace with another machine id, for as long as a process in it lives.

Commands are forks of the server that has hubfold loaded (`striking`), which enter the namespaces before they begin: a
quarter of the time that `nsenter` and an interpreter of their own take.
"""

from __future__ import annotations

import os
import signal
import subprocess

from tests.building import device_numbers

#: The mounts of other tests are let go of: a file system stays in the kernel while some namespace has it, and whoever
#: restores its image meanwhile would go on with what is remembered.
_SET_UP = """
cut -d' ' -f5 /proc/self/mountinfo | grep /mounts/ | grep -v "^$(dirname "$2")/" | tac | xargs -r umount -l
echo "$1" >/proc/sys/kernel/hostname; mount -t tmpfs -o size=64m none "$2"
echo "$3" >"$2/.id"; for file in /etc/machine-id /proc/sys/kernel/random/boot_id; do mount --bind "$2/.id" "$file"; done
echo ready; exec sleep infinity
"""


class Namespace:
    """`home` is a tmpfs of this machine's own; `id` is 32 hex."""

    def __init__(self, name: str, home: str, id: str) -> None:
        command = ["unshare", "-mu", "--propagation", "private", "bash", "-c", _SET_UP, "b", name, home, id]
        device_numbers.take()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, *argv: str) -> None:
        """A program of the system. Raises `CalledProcessError`."""
        subprocess.run(["nsenter", "-t", str(self.pid), "-m", *argv], check=True, capture_output=True)

    def seen(self, path: str) -> str:
        """A path of this machine, as it is reached from outside."""
        return f"/proc/{self.pid}/root{path}"

    def followed(self, path: str) -> str:
        """What a path of this machine leads to, itself seen from outside: an absolute link means the machine's own."""
        for _ in range(40):
            try:
                text = os.readlink(self.seen(path))
            except OSError:
                return self.seen(path)
            path = os.path.normpath(os.path.join(os.path.dirname(path), text))
        return self.seen(path)

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        device_numbers.give()
