"""A ModelScope of the loopback: what its clients ask of a repository, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.building.waiting import PATIENCE

ENVIRONMENTS = Path(os.environ.get("HUBFOLD_TEST_PROGRAMS") or "/nowhere")

#: Releases up to 1.37 know no address without TLS.
_PLAIN = """
import sys
from modelscope.hub import api
api.MODELSCOPE_URL_SCHEME = "http://"
from modelscope.hub.snapshot_download import snapshot_download
"""
_DOWNLOAD = f"""{_PLAIN}
print(snapshot_download(sys.argv[1], revision=sys.argv[2]))
"""
_LOAD = f"""{_PLAIN}
print(snapshot_download(sys.argv[1], revision=sys.argv[2], local_files_only=True))
"""
_LIST = """
import json
from modelscope_hub._cache_manager import scan_cache
print(json.dumps(sorted([one.repo_id, one.size_on_disk] for one in scan_cache().repos)))
"""
_CLEAR = """
import sys
from modelscope_hub._cache_manager import clear_cache
print(clear_cache(repo_type="model", repo_id=sys.argv[1]))
"""


class ModelScope:
    """Repositories by revision: ``hub.files["org/name", "master"] = {"model.bin": b"…"}``. Used in ``with``."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        #: The files that were sent, in order.
        self.sent: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = hub.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - its base class calls it so

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ModelScope:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, address: str) -> tuple[int, bytes]:
        asked = urlparse(address)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        parts = asked.path.strip("/").split("/")
        if parts[:3] != ["api", "v1", "models"] or len(parts) < 5:
            return 404, b"{}"
        repo_id, revision = "/".join(parts[3:5]), query.get("Revision", "master")
        files = self.files.get((repo_id, revision), {})
        if parts[5:] == ["repo", "files"]:
            return 200, _data({"Files": [_listed(name, data) for name, data in files.items()]})
        if parts[5:] == ["repo"]:
            self.sent.append(query["FilePath"])
            return 200, files[query["FilePath"]]
        if parts[5:] == ["revisions"]:
            names = [{"Revision": one, "CreatedAt": 1} for id_, one in self.files if id_ == repo_id]
            return 200, _data({"RevisionMap": {"Branches": names, "Tags": []}})
        return 200, _data({"Name": parts[4]})


class Client:
    """One release of the client in an environment of its own, with a home."""

    def __init__(self, release: str, hub: ModelScope, home: Path) -> None:
        self.python = ENVIRONMENTS / release / "bin/python"
        self.environ = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "MODELSCOPE_ENDPOINT": f"http://{hub.address}",
            "MODELSCOPE_DOMAIN": hub.address,
            "MODELSCOPE_URL_SCHEME": "http://",
            "MODELSCOPE_PREFER_AI_SITE": "false",
            "INTRA_CLOUD_ACCELERATION": "false",
            "MODELSCOPE_INTRA_CLOUD_ACCELERATION": "false",
        }

    def download(self, repo_id: str, revision: str = "master") -> Path:
        return Path(self._run(_DOWNLOAD, repo_id, revision))

    def load(self, repo_id: str, revision: str = "master") -> Path:
        """Where it finds the model without a network."""
        return Path(self._run(_LOAD, repo_id, revision))

    def listed(self) -> list[list[Any]]:
        found: list[list[Any]] = json.loads(self._run(_LIST))
        return found

    def clear(self, repo_id: str) -> None:
        self._run(_CLEAR, repo_id)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.python), "-c", program, *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip().splitlines()[-1]


def _data(data: object) -> bytes:
    return json.dumps({"Code": 200, "Success": True, "Data": data}).encode()


def _listed(name: str, data: bytes) -> dict[str, object]:
    sha256 = hashlib.sha256(data).hexdigest()
    return {
        "Path": name,
        "Name": os.path.basename(name),
        "Type": "blob",
        "Size": len(data),
        "Sha256": sha256,
        "Revision": "master",
        "Mode": "33188",
        "IsLFS": True,
    }
