"""A server on loopback that speaks as much of the Hugging Face hub's API as `huggingface_hub` asks for here."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by their path, such as "datasets/NAME" or "models/NAME", and what was asked for."""

    repositories: dict[str, dict[str, bytes]]
    address: str = ""
    asked: list[str] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)  # a file's name -> which request for it fails, from 1


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, answering at `hub.address` until the block ends."""
    server = Server(hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server(ThreadingHTTPServer):
    """A server on a free port, for one hub."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.hub = hub


class Answer(BaseHTTPRequestHandler):
    """The answer to one request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.hub.asked.append(path)
        if found := re.fullmatch(r"/api/((?:datasets|models)/[^/]+/[^/]+)(?:/revision/\w+)?", path):
            self.send_info(found[1])
        elif found := re.fullmatch(r"/api/(datasets/[^/]+/[^/]+)/tree/\w+(?:/(.+))?", path):
            self.send_folder(found[1], f"{found[2]}/" if found[2] else "")
        elif found := re.fullmatch(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/\w+/(.+)", path):
            self.send_file(f"{found[1] or 'models'}/{found[2]}", found[3])
        else:
            self.send(404, b"{}")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def send_info(self, repository: str) -> None:
        """A repository's revision and file names."""
        if (files := self.server.hub.repositories.get(repository)) is None:
            return self.send(401, b"{}", **{"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": name} for name in files]
        return self.send_json({"id": repository.split("/", 1)[1], "sha": SHA, "siblings": siblings})

    def send_folder(self, repository: str, folder: str) -> None:
        """The sizes of a folder's own files."""
        files = {
            name: content
            for name, content in self.server.hub.repositories[repository].items()
            if name.startswith(folder) and "/" not in name.removeprefix(folder)
        }
        self.send_json(
            [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
        )

    def send_file(self, repository: str, name: str) -> None:
        """A file, or the range of it that was asked for."""
        hub = self.server.hub
        if hub.asked.count(unquote(urlsplit(self.path).path)) == hub.failing.get(name):
            return self.send(404, b"", **{"X-Error-Code": "EntryNotFound"})
        content = hub.repositories[repository][name]
        about = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            about["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.send(206, content[first : last + 1], **about)
        return self.send(200, content, **about)

    def send_json(self, value: object) -> None:
        """A value as JSON."""
        self.send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, **headers: str) -> None:
        """The status, the headers, and the content unless it was a HEAD."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
