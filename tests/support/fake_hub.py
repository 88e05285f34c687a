"""Enough of the Hugging Face hub's API, on this machine, to download small repositories or be refused them.

Models and datasets have one name space here.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """``repositories`` maps ids to files, ``gated`` names those for which ``token`` is asked; ``asked`` logs paths."""

    repositories: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    token: str = "good"
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub that answers until the context ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *arguments: object) -> None:
            hub.asked.append(self.path)

        def _answer(self, *, body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            api = parts[0] == "api"
            if parts[0] == "datasets":
                parts = parts[1:]
            name = "/".join(parts[2:4] if api else parts[:2])
            rest = parts[4:] if api else parts[2:]
            if name not in hub.repositories:
                self._refuse(401, "RepoNotFound", "Repository not found", body)
            elif rest[:1] != ["auth-check"] and len(rest) > 1 and rest[1] not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound", "Invalid rev id", body)
            elif name in hub.gated and rest[:1] in (["auth-check"], ["resolve"]) and not self._allowed():
                self._refuse(401, "GatedRepo", "Access to this model is restricted", body)
            else:
                self._serve(name, rest, body)

        def _serve(self, name: str, rest: list[str], body: bool) -> None:
            files = hub.repositories[name]
            if rest[:1] == ["auth-check"]:
                self._send(200, b"{}", {}, body)
            elif not rest or rest[0] == "revision":
                listed = [{"rfilename": file} for file in files]
                self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": listed}).encode(), {}, body)
            elif rest[0] == "tree":
                entries = [
                    {"type": "file", "path": file, "size": len(content), "oid": _etag(content)}
                    for file, content in files.items()
                ]
                self._send(200, json.dumps(entries).encode(), {}, body)
            elif rest[0] == "resolve" and "/".join(rest[2:]) in files:
                content = files["/".join(rest[2:])]
                self._send(200, content, {"ETag": f'"{_etag(content)}"'}, body)
            else:
                self._refuse(404, "EntryNotFound", "Entry not found", body)

        def _allowed(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {hub.token}"

        def _refuse(self, status: int, code: str, message: str, body: bool) -> None:
            self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message}, body)

        def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            own = {"Content-Length": str(len(content)), "X-Repo-Commit": COMMIT, "Content-Type": "application/json"}
            for name, value in {**own, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
