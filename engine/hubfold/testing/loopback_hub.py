"""A Hugging Face Hub on 127.0.0.1, for the demo and for tests: the real client downloads from it.

With ``HF_ENDPOINT`` (or ``endpoint=``) set to `LoopbackHub.endpoint`, `huggingface_hub` 0.23.5, 0.36.2,
1.33.0 and 2.4.0 find here what they ask of the Hub to download a repository::

    GET  /api/{models,datasets,spaces,kernels}/<id>[/revision/<rev>]   what the repository is, its commit
    GET  /api/…/<id>/tree/<rev>[/<folder>]                             its files: size, hashes
    GET  /api/…/<id>/refs                                              its branches and tags
    HEAD, GET  /[datasets/|spaces/|kernels/]<id>/resolve/<rev>/<path>  a file: etag, length, ranges

It speaks no Xet: `LoopbackHub.environ` turns that off, and a file's xet hash is only told, never served.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import unquote, urlsplit

#: What a file holds: its bytes, a path that is read when asked for, or the chunks of something larger.
Content = bytes | os.PathLike[str] | Iterable[bytes]

#: Files of these kinds are LFS on the real Hub whatever their size; all others from 10 MB.
LFS_SUFFIXES = (
    ".safetensors",
    ".bin",
    ".gguf",
    ".onnx",
    ".onnx_data",
    ".pt",
    ".pth",
    ".h5",
    ".msgpack",
    ".parquet",
)
LFS_FROM = 10_000_000

_CHUNK = 1 << 20
_KINDS = ("model", "dataset", "space", "kernel")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of one revision. `lfs` None: as the Hub decides, by name and size (see `LFS_SUFFIXES`)."""

    content: Content
    lfs: bool | None = None
    #: A xet hash that the tree listing tells; the bytes come by plain HTTP all the same.
    xet_hash: str | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the Hub knows it. `git_sha1` is of the bytes, for an LFS file of its pointer (as in git)."""

    path: str
    size: int
    git_sha1: str
    #: Of an LFS file; None for one that lies in git itself.
    sha256: str | None
    xet_hash: str | None
    source: bytes | Path

    @property
    def etag(self) -> str:
        """What the cache names the blob: the sha256 of an LFS file, else the git-sha1."""
        return self.sha256 or self.git_sha1

    def open(self) -> BinaryIO:
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def as_tree_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "oid": self.git_sha1, "size": self.size, "path": self.path}
        if self.sha256 is not None:
            pointer = _lfs_pointer(self.sha256, self.size)
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(pointer)}
        if self.xet_hash is not None:
            entry["xetHash"] = self.xet_hash
        return entry


@dataclass(frozen=True, slots=True)
class Hit:
    """One request. `bytes` is how much of a file's content it was answered with."""

    method: str
    path: str
    status: int
    repo_id: str | None = None
    filename: str | None = None
    bytes: int = 0


@dataclass(slots=True)
class _Repository:
    kind: str
    repo_id: str
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)


class LoopbackHub:
    """The server; a context manager. Repositories may be added while it runs.

    `hits` is every request answered since the start or the last `forget_hits`, in order.
    """

    def __init__(self) -> None:
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._hits: list[Hit] = []
        #: Repositories that answer 403 until somebody is let in, as gated ones do.
        self.gated: set[str] = set()
        self._lock = threading.Lock()
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        self._server: ThreadingHTTPServer | None = None
        #: Started when somebody asks where: to stop it takes longer than most of what is done with a Hub nobody asks.
        self._serving: threading.Thread | None = None

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            def hub(self) -> LoopbackHub:
                return hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._server is not None:
            if self._serving is not None:
                self._server.shutdown()
            self._server.server_close()
            self._server = self._serving = None
        if self._spool is not None:
            self._spool.cleanup()
            self._spool = None

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:<port>``; `RuntimeError` outside the `with` block."""
        if self._server is None:
            raise RuntimeError("the loopback Hub runs inside its `with` block only")
        with self._lock:
            if self._serving is None:
                self._serving = threading.Thread(
                    target=self._server.serve_forever, args=(0.05,), name="loopback-hub", daemon=True
                )
                self._serving.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environ(self) -> dict[str, str]:
        """Variables that make a client in a process of its own use this Hub, quietly, patiently and without Xet.

        A Hub on a busy machine may say nothing for more than the ten seconds that the client waits by itself.
        """
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DOWNLOAD_TIMEOUT": "300",
            "HF_HUB_ETAG_TIMEOUT": "300",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
        }

    # what there is to download

    def add(
        self,
        repo_id: str,
        files: Mapping[str, Content | HubFile],
        *,
        ref: str = "main",
        repo_type: str = "model",
    ) -> str:
        """A new commit that holds exactly `files`, under `ref` (a branch, or ``refs/pr/1``): its hash.

        A generator's chunks are kept in a temporary folder until the Hub is left. The hash depends on the
        content and on the commits before, so it is the same at every run.
        """
        if repo_type not in _KINDS:
            raise ValueError(f"repo_type is {repo_type!r}, not one of {', '.join(_KINDS)}")
        stored = {path: self._store(path, content) for path, content in files.items()}
        with self._lock:
            repository = self._repositories.setdefault((repo_type, repo_id), _Repository(repo_type, repo_id))
            told = [
                repo_type,
                repo_id,
                *repository.commits,
                *(f"{path} {file.etag}" for path, file in stored.items()),
            ]
            commit = hashlib.sha1("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()
            repository.commits[commit] = stored
            repository.refs[ref] = commit
        return commit

    def tag(self, repo_id: str, ref: str, commit: str, *, repo_type: str = "model") -> None:
        """Let `ref` name `commit`."""
        self._repositories[repo_type, repo_id].refs[ref] = commit

    def commit_of(self, repo_id: str, revision: str = "main", *, repo_type: str = "model") -> str | None:
        """The commit that a ref or a hash names; None where there is no such revision, or no such repository."""
        repository = self._find(repo_type, repo_id)
        return _commit(repository, revision) if repository is not None else None

    def files(
        self, repo_id: str, revision: str = "main", *, repo_type: str = "model"
    ) -> dict[str, StoredFile]:
        """The files of a revision by path, with their digests."""
        repository = self._repositories[repo_type, repo_id]
        return dict(repository.commits[repository.refs.get(revision, revision)])

    def _store(self, path: str, given: Content | HubFile) -> StoredFile:
        file = given if isinstance(given, HubFile) else HubFile(given)
        source: bytes | Path
        if isinstance(file.content, bytes):
            source = file.content
        elif isinstance(file.content, os.PathLike):
            source = Path(file.content)
        else:
            source = self._spooled(file.content)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        for chunk in _chunks(BytesIO(source) if isinstance(source, bytes) else source.open("rb")):
            sha256.update(chunk)
            git.update(chunk)
        lfs = (path.endswith(LFS_SUFFIXES) or size >= LFS_FROM) if file.lfs is None else file.lfs
        if not lfs:
            return StoredFile(path, size, git.hexdigest(), sha256=None, xet_hash=file.xet_hash, source=source)
        pointer = _lfs_pointer(sha256.hexdigest(), size)
        pointer_sha1 = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
        return StoredFile(
            path, size, pointer_sha1, sha256=sha256.hexdigest(), xet_hash=file.xet_hash, source=source
        )

    def _spooled(self, chunks: Iterable[bytes]) -> Path:
        with self._lock:
            if self._spool is None:
                self._spool = tempfile.TemporaryDirectory(prefix="hubfold-loopback-")
            folder = self._spool.name
        descriptor, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        return Path(name)

    # what was asked

    @property
    def hits(self) -> list[Hit]:
        """Every request since the start or the last `forget_hits`."""
        with self._lock:
            return list(self._hits)

    def forget_hits(self) -> None:
        with self._lock:
            self._hits.clear()

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """How many requests there were with this method and this path (None: any)."""
        return sum(method in (None, hit.method) and path in (None, hit.path) for hit in self.hits)

    def downloads(self, at_least: int = 0) -> list[Hit]:
        """The GETs that were answered with content of `at_least` so many bytes."""
        return [hit for hit in self.hits if hit.method == "GET" and hit.filename and hit.bytes >= at_least]

    def _note(self, hit: Hit) -> None:
        with self._lock:
            self._hits.append(hit)

    def _find(self, kind: str, repo_id: str) -> _Repository | None:
        return self._repositories.get((kind, repo_id))


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection. Every answer has a length, so a connection serves many requests."""

    protocol_version = "HTTP/1.1"
    # Header and body leave in two writes; without this each small answer waits for a delayed ACK (40 ms).
    disable_nagle_algorithm = True

    def hub(self) -> LoopbackHub:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log of this server is `LoopbackHub.hits`."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/api/"):
            self._answer_api(path)
        else:
            self._answer_resolve(path)

    def _answer_api(self, path: str) -> None:
        kind, _, rest = path.removeprefix("/api/").partition("/")
        kind = kind.removesuffix("s")
        repo_id, verb, tail = _split_at(rest, ("/revision/", "/tree/", "/refs"))
        repository = self.hub()._find(kind, unquote(repo_id))
        if repository is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        if repository.repo_id in self.hub().gated:
            return self._refuse(
                HTTPStatus.FORBIDDEN, "GatedRepo", f"Access to model {repository.repo_id} is restricted"
            )
        if verb == "/refs":
            return self._json(_refs(repository), repository)
        if verb == "/tree/":
            revision, _, folder = tail.partition("/")
        else:
            revision, folder = tail or "main", ""
        commit = _commit(repository, unquote(revision))
        if commit is None:
            return self._refuse(
                HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}", repository
            )
        files = repository.commits[commit]
        if verb == "/tree/":
            below = f"{unquote(folder)}/" if folder else ""
            return self._json(
                [f.as_tree_entry() for f in files.values() if f.path.startswith(below)], repository
            )
        return self._json(_info(repository, commit), repository)

    def _answer_resolve(self, path: str) -> None:
        repo, verb, tail = _split_at(path.removeprefix("/"), ("/resolve/",))
        prefix, _, rest = repo.partition("/")
        kind, repo_id = (prefix.removesuffix("s"), rest) if prefix in _PREFIXES else ("model", repo)
        repository = self.hub()._find(kind, unquote(repo_id)) if verb else None
        if repository is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        revision, _, name = tail.partition("/")
        commit = _commit(repository, unquote(revision))
        if commit is None:
            return self._refuse(
                HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}", repository
            )
        file = repository.commits[commit].get(unquote(name, errors="surrogateescape"))
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if file is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", repository, headers)
        headers["ETag"] = f'"{file.etag}"'
        if file.sha256 is not None:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return self._serve(repository, file, headers)

    def _serve(self, repository: _Repository, file: StoredFile, headers: dict[str, str]) -> None:
        start, end, status = 0, file.size, HTTPStatus.OK
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and self.command == "GET" and (asked[1] or asked[2]):
            start = int(asked[1]) if asked[1] else max(file.size - int(asked[2]), 0)
            end = min(int(asked[2]) + 1, file.size) if asked[1] and asked[2] else file.size
            if start >= end:
                headers["Content-Range"] = f"bytes */{file.size}"
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                return self._refuse(status, "InvalidRange", "Range not satisfiable", repository, headers)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
            status = HTTPStatus.PARTIAL_CONTENT
        sent = end - start if self.command == "GET" else 0
        self._note(status, repository, file.path, sent)
        self._head(status, "application/octet-stream", end - start, headers)
        if sent:
            with file.open() as source:
                source.seek(start)
                if sent == file.size:
                    shutil.copyfileobj(source, self.wfile, _CHUNK)
                else:
                    self.wfile.write(source.read(sent))
        return None

    def _json(self, answer: object, repository: _Repository) -> None:
        body = json.dumps(answer).encode()
        self._note(HTTPStatus.OK, repository)
        self._head(HTTPStatus.OK, "application/json", len(body), {})
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        repository: _Repository | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        body = json.dumps({"error": message}).encode()
        self._note(status, repository)
        self._head(
            status,
            "application/json",
            len(body),
            {"X-Error-Code": code, "X-Error-Message": message, **headers},
        )
        if self.command == "GET":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(
        self, status: HTTPStatus, repository: _Repository | None, filename: str | None = None, sent: int = 0
    ) -> None:
        # Before the body leaves: a client that has read its answer finds the hit counted.
        repo_id = repository.repo_id if repository else None
        path = urlsplit(self.path).path
        self.hub()._note(Hit(self.command, path, int(status), repo_id, filename=filename, bytes=sent))


_PREFIXES = frozenset(f"{kind}s" for kind in _KINDS if kind != "model")


def _split_at(path: str, verbs: tuple[str, ...]) -> tuple[str, str, str]:
    """`path` before, at and after the first of `verbs` in it; ("path", "", "") where there is none."""
    for verb in verbs:
        before, found, after = path.partition(verb)
        if found:
            return before, verb, after
    return path, "", ""


def _commit(repository: _Repository, revision: str) -> str | None:
    commit = repository.refs.get(revision, revision)
    return commit if commit in repository.commits else None


def _info(repository: _Repository, commit: str) -> dict[str, Any]:
    return {
        "_id": commit[:24],
        "id": repository.repo_id,
        "modelId": repository.repo_id,
        "author": repository.repo_id.partition("/")[0],
        "sha": commit,
        "lastModified": "2024-01-01T00:00:00.000Z",
        "createdAt": "2024-01-01T00:00:00.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in repository.commits[commit]],
    }


def _refs(repository: _Repository) -> dict[str, list[dict[str, str]]]:
    branches = [
        {
            "name": name,
            "ref": name if name.startswith("refs/") else f"refs/heads/{name}",
            "targetCommit": commit,
        }
        for name, commit in repository.refs.items()
    ]
    return {"branches": branches, "tags": [], "converts": []}


def _lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
