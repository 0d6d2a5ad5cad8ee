"""The real Ollama: a server of its own for a test, and a registry on the loopback that it pulls from.

The program is ``ollama/bin/ollama`` of ``HUBFOLD_TEST_PROGRAMS``, else the one on ``PATH``. A server without runners
does: ``go install github.com/ollama/ollama@v0.17.4``, with the headers that its module leaves out (nlohmann/json, stb,
miniaudio) in a folder that ``CGO_CPPFLAGS=-I`` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.building import ollama
from tests.building.scanned import noise
from tests.building.waiting import PATIENCE, until

_BUILT = Path(os.environ.get("HUBFOLD_TEST_PROGRAMS") or "/nowhere", "ollama", "bin", "ollama")
PROGRAM = str(_BUILT) if _BUILT.exists() else shutil.which("ollama")


def gguf(seed: str, floats: int = 200_000) -> bytes:
    """A GGUF file of one tensor that Ollama reads (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("general.name") + struct.pack("<I", 8) + text(seed)
    head += text("token_embd.weight") + struct.pack("<IQIQ", 1, floats, 0, 0)
    return head + b"\0" * (-len(head) % 32) + noise(seed, floats * 4)


class _Answers(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        kind, _, what = self.path.rpartition("/")
        # As that of Ollama, it sends a client to where the content lies.
        self._answer(f"/content/{what}" if kind.endswith("/blobs") else "")

    def _answer(self, elsewhere: str = "") -> None:
        what = self.path.rpartition("/")[2]
        data = self.server.manifests.get(self.path) or self.server.blobs.get(what)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        part = b"" if data is None or elsewhere else data
        if asked:
            part = part[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(404 if data is None else 307 if elsewhere else 206 if asked else 200)
        if elsewhere:
            # By another name of the host: within one the program follows, and then asks where it was sent to.
            self.send_header("Location", f"http://localhost:{self.server.server_port}{elsewhere}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


class Registry(ThreadingHTTPServer):
    """Serves models by ``<namespace>/<model>:<tag>``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def add(self, name: str, layers: Mapping[str, bytes]) -> None:
        model, _, tag = name.partition(":")
        for content in (*layers.values(), ollama.CONFIG):
            self.blobs[f"sha256:{hashlib.sha256(content).hexdigest()}"] = content
        manifest = json.dumps(ollama.manifest(layers)).encode()
        self.manifests[f"/v2/{model}/manifests/{tag}"] = manifest


class Server:
    """``ollama serve`` for one store."""

    def __init__(self, store: Path, home: Path) -> None:
        self.store, self._home = store, home
        self._process: subprocess.Popen[bytes] | None = None
        self._log = home / "ollama.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._host = f"127.0.0.1:{free.getsockname()[1]}"

    def start(self) -> Server:
        assert PROGRAM is not None
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "OLLAMA_MODELS": str(self.store),
            "OLLAMA_HOST": self._host,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "serve"], env=environ, stdout=log, stderr=log)
        until(self._is_up, "the server did not begin")
        return self

    def _is_up(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            urllib.request.urlopen(f"http://{self._host}/", timeout=PATIENCE).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def ask(self, method: str, path: str, what: object = None) -> Any:
        """What it answers. Raises `AssertionError` with its words where it refuses."""
        data = what if isinstance(what, bytes) else None if what is None else json.dumps(what).encode()
        request = urllib.request.Request(f"http://{self._host}/api/{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                said = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from None
        return json.loads(said) if said else None

    def pull(self, name: str) -> None:
        asked = {"model": f"http://{name}", "insecure": True, "stream": False}
        assert self.ask("POST", "pull", asked) == {"status": "success"}

    def create(self, name: str, content: bytes) -> None:
        """As ``ollama create`` of a GGUF file."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        try:
            self.ask("HEAD", f"blobs/{digest}")
        except AssertionError:
            self.ask("POST", f"blobs/{digest}", content)
        asked = {"model": name, "files": {"model.gguf": digest}, "stream": False}
        assert self.ask("POST", "create", asked) == {"status": "success"}

    def models(self) -> dict[str, tuple[str, int]]:
        """By name, as ``ollama list`` has it, digest and size."""
        return {one["name"]: (one["digest"], one["size"]) for one in self.ask("GET", "tags")["models"]}

    def loads(self, name: str) -> dict[str, Any]:
        """What the program reads of the model itself."""
        shown: dict[str, Any] = self.ask("POST", "show", {"model": name})["model_info"]
        return shown

    def remove(self, name: str) -> None:
        self.ask("DELETE", "delete", {"model": name})
