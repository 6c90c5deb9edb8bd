"""A small HTTP server on loopback that speaks the Messages API, streamed: for tests, and for models that run here.

Who answers is a function from a request to a reply, or to a fault. The server keeps every request and a bill: tokens
are a quarter of the bytes, and what is marked to be cached is read from the cache once it was written to it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Request = dict[str, Any]


@dataclass
class Says:
    """A reply: blocks of content; `cut` ends the stream before its end, `chunked` frames it as most servers do."""

    content: list[dict[str, Any]]
    stop_reason: str = ""
    cut: bool = False
    chunked: bool = False
    error: str = ""

    @property
    def stopped(self) -> str:
        """The reason to stop that fits the content."""
        used = any(block["type"] == "tool_use" for block in self.content)
        return self.stop_reason or ("tool_use" if used else "end_turn")


@dataclass
class Status:
    """An answer with an error status."""

    code: int
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Raw:
    """An answer that is none of the API's; with `silent` nothing comes until the caller gives up."""

    body: bytes = b""
    kind: str = "text/html"
    silent: bool = False
    dropped: bool = False


Answer = Says | Status | Raw


def text(words: str, **about: Any) -> Says:
    """Return a reply in words."""
    return Says([{"type": "text", "text": words}], **about)


def use(name: str, **arguments: Any) -> Says:
    """Return a reply that calls a tool."""
    identity = hashlib.sha256(json.dumps([name, arguments]).encode()).hexdigest()[:12]
    return Says([{"type": "tool_use", "id": f"toolu_{identity}", "name": name, "input": arguments}])


@dataclass
class MessagesServer:
    """The server; `with` starts and stops it. `counts` says whether it counts tokens."""

    answer: Callable[[Request], Answer]
    counts: bool = True
    requests: list[Request] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bill: list[dict[str, int]] = field(default_factory=list)
    cached: set[str] = field(default_factory=set)
    _http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> MessagesServer:
        """Listen on a free port of loopback."""
        self._http = _Server(("127.0.0.1", 0), _Handler)
        cast(Any, self._http).messages = self
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop listening."""
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()

    def input_usage(self, request: Request) -> dict[str, int]:
        """Count a request's tokens: fresh, written to the cache, read from it."""
        written = read = 0
        prefix, seen = hashlib.sha256(_bytes(request.get("tools", []))), 0
        counted = len(_bytes(request.get("tools", [])))
        system = request.get("system", [])
        for block in [{"text": system}] if isinstance(system, str) else system:
            body = {name: value for name, value in block.items() if name != "cache_control"}
            prefix.update(_bytes(body))
            counted += len(_bytes(body))
            if "cache_control" in block:
                tokens, seen = (counted - seen) // 4, counted
                known = prefix.hexdigest() in self.cached
                read, written = read + tokens * known, written + tokens * (not known)
                self.cached.add(prefix.hexdigest())
        fresh = (counted - seen + len(_bytes(request["messages"]))) // 4
        return {
            "input_tokens": fresh,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer a request for a message, or for a count of tokens."""
        server: MessagesServer = cast(Any, self.server).messages
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.close_connection = True
        if self.path.split("?")[0].endswith("/count_tokens"):
            if server.counts:
                usage = MessagesServer(server.answer).input_usage(body)
                self._send(200, {"input_tokens": sum(usage.values())}, {})
            else:
                self._status(Status(404, "not found"))
            return
        server.requests.append(body)
        server.headers.append(dict(self.headers))
        answer = server.answer(body)
        if isinstance(answer, Status):
            self._status(answer)
        elif isinstance(answer, Raw):
            if answer.silent:
                self.connection.recv(1)  # nothing more is sent: it returns when the caller hangs up
            if not (answer.dropped or answer.silent):
                self._begin(answer.kind)
                self.wfile.write(answer.body)
        else:
            self._stream(server, body, answer)

    def _status(self, answer: Status) -> None:
        error = {"type": "error", "message": answer.message, **answer.details}
        self._send(answer.code, {"type": "error", "error": error}, answer.headers)

    def _send(self, code: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        about = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        for name, value in {**about, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _begin(self, kind: str, *, chunked: bool = False) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("connection", "close")
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _stream(self, server: MessagesServer, request: Request, says: Says) -> None:
        usage = server.input_usage(request)
        self._begin("text/event-stream", chunked=says.chunked)
        events = list(_events(request, says, usage))
        for event in events[: len(events) // 2] if says.cut or says.error else events:
            self._event(event, says.chunked)
        if says.error:
            self._event({"type": "error", "error": {"type": says.error, "message": says.error}}, says.chunked)
        if says.cut or says.error:
            return
        if says.chunked:
            self.wfile.write(b"0\r\n\r\n")
        server.bill.append(usage | {"output_tokens": _output_tokens(says, request)})

    def _event(self, event: dict[str, Any], chunked: bool) -> None:
        line = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line) if chunked else line)
        self.wfile.flush()


def _events(request: Request, says: Says, usage: dict[str, int]) -> Iterator[dict[str, Any]]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": []}
    start = message | {"stop_reason": None, "stop_sequence": None, "usage": usage | {"output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(says.content):
        begun, deltas = _parts(block)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": says.stopped, "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": _output_tokens(says, request)}}
    yield {"type": "message_stop"}


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts empty, and what then fills it."""
    if block["type"] == "text":
        words = block["text"]
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in _pieces(words)]
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": "s"},
        ]
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    words = json.dumps(block["input"])
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(words)]


def _pieces(words: str) -> list[str]:
    size = max(200, len(words) // 100)
    return [words[start : start + size] for start in range(0, len(words), size)]


def _output_tokens(says: Says, request: Request) -> int:
    return min(max(1, len(_bytes(says.content)) // 4), int(request["max_tokens"]))


def _bytes(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True).encode()
