"""A server on loopback with the parts of the Hub's protocol that an upload uses."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_" + "test" * 8
ACCOUNT = "ana"
LARGE_FILE_BYTES = 100_000


@dataclass
class HubState:
    """What the server stores: repositories as `datasets/ana/x`, their files, and the requests that it received.

    `refusals` maps the start of a path to the status that a request to it gets.
    """

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    state: HubState

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.state.requests.append(f"{self.command} {path}")
        status = next((code for start, code in self.state.refusals.items() if path.startswith(start)), None)
        if status is not None:
            self._send({"error": "not today"}, status)
        elif path.startswith("/blobs/"):  # a signed address, which needs no token
            self.state.blobs[path.removeprefix("/blobs/")] = body
            self._send({})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send({"error": "Invalid credentials"}, 401)
        else:
            self._route(path, body)

    def _route(self, path: str, body: bytes) -> None:
        parts = path.strip("/").split("/")
        if path == "/api/whoami-v2":
            self._send({"type": "user", "name": ACCOUNT, "auth": {"type": "access_token"}})
        elif path == "/api/repos/create":
            self._create_repo(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send({"warnings": [], "errors": []})
        elif path.endswith("/info/lfs/objects/batch"):
            self._send({"objects": [self._build_upload(each) for each in json.loads(body)["objects"]]})
        elif parts[0] == "api" and parts[4:5] == ["preupload"]:
            modes = [
                ("lfs" if file["size"] >= LARGE_FILE_BYTES else "regular", file) for file in json.loads(body)["files"]
            ]
            files = [{"path": file["path"], "uploadMode": mode, "shouldIgnore": False} for mode, file in modes]
            self._send({"files": files})
        elif parts[0] == "api" and parts[4:5] == ["commit"]:
            self._commit("/".join(parts[1:4]), [json.loads(line) for line in body.splitlines()])
        else:
            self._send_repo("/".join(parts[1:4]))

    def _create_repo(self, wanted: dict[str, Any]) -> None:
        key = f"{wanted.get('type', 'model')}s/{wanted['organization']}/{wanted['name']}"
        self.state.private[key] = wanted.get("private", wanted.get("visibility") == "private")
        self.state.files[key] = {}
        self._send({"url": f"{self.state.url}/{key.removeprefix('models/')}"})

    def _build_upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        actions = {"upload": {"href": f"{self.state.url}/blobs/{wanted['oid']}"}}
        return {"oid": wanted["oid"], "size": wanted["size"], "actions": actions}

    def _commit(self, key: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.state.commits.append(value["summary"])
            elif line["key"] == "file":
                self.state.files[key][value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "lfsFile"
                blob = self.state.blobs[value["oid"]]
                assert hashlib.sha256(blob).hexdigest() == value["oid"]
                self.state.files[key][value["path"]] = blob
        self._send({"commitUrl": f"{self.state.url}/{key}/commit/{'0' * 40}", "commitOid": "0" * 40})

    def _send_repo(self, key: str) -> None:
        if key not in self.state.private:
            self._send({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        self._send({"id": key.partition("/")[2], "sha": "0" * 40, "private": self.state.private[key]})

    def _send(self, document: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve_hub() -> Iterator[HubState]:
    """A Hub with one account and no repositories."""
    state = HubState()
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
