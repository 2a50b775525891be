"""A small model hub on loopback: one repository from a folder, ranges, and a count of the bytes it sends."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

MODEL = "acme/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class ModelHub:
    """What the server serves and how, and what it has sent: file → bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ranges = True
        self.breaks: list[int] = []  # the next answers with a range end after so many bytes
        self.sent: Counter[str] = Counter()
        self.endpoint = ""

    @property
    def files(self) -> list[Path]:
        """The repository's files."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    @property
    def small(self) -> int:
        """Bytes of everything but weights."""
        return sum(path.stat().st_size for path in self.files if path.suffix != ".safetensors")

    @property
    def weight_bytes(self) -> int:
        """Bytes of weight files that were sent."""
        return sum(count for name, count in self.sent.items() if name.endswith(".safetensors"))


class _Handler(BaseHTTPRequestHandler):
    hub: ModelHub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            self._json([{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _oid(p)} for p in self._all])
        elif path.startswith(f"/api/models/{MODEL}"):
            names = [{"rfilename": path.name} for path in self._all]
            self._json({"id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": names, "tags": []})
        elif (match := re.fullmatch(rf"/{MODEL}/resolve/[^/]+/([^/]+)", path)) and (
            self.hub.folder / match[1]
        ).exists():
            self._file(self.hub.folder / match[1], body=body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    @property
    def _all(self) -> list[Path]:
        return self.hub.files

    def _json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _file(self, path: Path, *, body: bool) -> None:
        content = path.read_bytes()
        headers = {"ETag": f'"{_oid(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not (asked and self.hub.ranges):
            self._send(200, content, headers, body=body, name=path.name)
            return
        begin, end = int(asked[1]), int(asked[2] or len(content) - 1) + 1
        part = content[begin:end]
        headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
        cut = self.hub.breaks.pop(0) if self.hub.breaks and len(part) > 8 else len(part)
        self._send(206, part, headers, name=path.name, cut=cut)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str],
        *,
        body: bool = True,
        name: str = "",
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.hub.sent[name] += len(content[:cut])  # before the client can look
            self.wfile.write(content[:cut])
        self.close_connection = cut is not None and cut < len(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _oid(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def serve_models(folder: Path, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """Serve `folder` as acme/tiny, and make it the endpoint of the hub's client with an empty cache in `cache`."""
    hub = ModelHub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    patch.setattr(constants, "ENDPOINT", hub.endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
