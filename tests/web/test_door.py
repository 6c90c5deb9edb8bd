"""Who may talk to the page: a table of requests, none of which is taken that should not be."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.web.visitor import Visitor, served

HOSTS = ("ours", "localhost", "evil.example", "127.0.0.1.evil.example", "ours.evil", "other port", "no port")
ORIGINS = ("", "ours", "https", "http://evil.example", "null")
COOKIES = ("", "ours", "another", "ours twice as long")
METHODS = ("GET", "POST")
"""7 hosts x 5 origins x 4 cookies x 2 methods."""


def _host(name: str, visitor: Visitor) -> str:
    port = visitor.port
    named = {
        "ours": f"127.0.0.1:{port}",
        "localhost": f"localhost:{port}",
        "ours.evil": f"127.0.0.1:{port}.evil.example",
        "other port": f"127.0.0.1:{port + 1}",
        "no port": "127.0.0.1",
    }
    return named.get(name, f"{name}:{port}")


def _origin(name: str, host: str) -> str:
    return {"ours": f"http://{host}", "https": f"https://{host}"}.get(name, name)


def _cookie(name: str, visitor: Visitor) -> str:
    key = visitor.cookie.partition("=")[0]
    named = {"": "", "ours": visitor.cookie, "another": f"{key}=guessed"}
    return named.get(name, f"{visitor.cookie}{visitor.cookie.partition('=')[2]}")


def test_of_280_requests_only_those_of_its_own_pages_are_answered(visitor: Visitor) -> None:
    wrongly_accepted, wrongly_refused = [], []
    for case in itertools.product(HOSTS, ORIGINS, COOKIES, METHODS):
        host_name, origin_name, cookie_name, method = case
        host = _host(host_name, visitor)
        headers = {"Host": host, "Cookie": _cookie(cookie_name, visitor), "Origin": _origin(origin_name, host)}
        body = b""
        if method == "POST":
            headers |= {"X-Circle-Word": visitor.word, "Content-Type": "application/json"}
            body = b'{"at": 0}'
        sent = {name: value for name, value in headers.items() if value}
        answer = visitor.send(method, "/" if method == "GET" else "/sessions/none/fork", sent, body)
        known = host_name in ("ours", "localhost") and cookie_name == "ours"
        right = known and (origin_name == "ours" or (method == "GET" and not origin_name))
        accepted = answer.status in (200, 422)  # 422: the form was read, and had no such step
        wrongly_accepted += [case] * (accepted and not right)
        wrongly_refused += [case] * (right and not accepted)
    assert wrongly_accepted == []
    assert wrongly_refused == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"X-Circle-Word": ""}, 403),
        ({"X-Circle-Word": "0" * 64}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 422),
    ],
)
def test_what_changes_anything_comes_from_a_page_of_ours(
    visitor: Visitor, changed: dict[str, str], status: int
) -> None:
    headers = {
        "Cookie": visitor.cookie,
        "Origin": f"http://{visitor.host}",
        "X-Circle-Word": visitor.word,
        "Content-Type": "application/json",
    }
    sent = {name: value for name, value in (headers | changed).items() if value}
    assert visitor.send("POST", "/sessions/none/fork", sent, b'{"at": 0}').status == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(visitor: Visitor, method: str) -> None:
    assert visitor.send(method, "/", {"Cookie": visitor.cookie}).status == 405


def test_what_acts_is_not_reached_by_get(visitor: Visitor) -> None:
    for path in ("/start", "/sessions/none/decide", "/sessions/none/stop", "/sessions/none/fork"):
        assert visitor.get(path).status in (404, 405)


def test_every_answer_has_the_headers_that_keep_others_out(visitor: Visitor) -> None:
    for path in ("/", "/static/page.js", "/nowhere", "/plotly.js"):
        headers = visitor.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert visitor.get("/").headers["Cache-Control"] == "no-store"


def test_a_long_body_is_refused(visitor: Visitor) -> None:
    assert visitor.post("/start", {"idea": "x" * 70_000}).status == 413


def test_a_header_that_comes_twice_is_refused(visitor: Visitor) -> None:
    with socket.create_connection(("127.0.0.1", visitor.port)) as connection:
        lines = ["GET / HTTP/1.1", f"Host: {visitor.host}", f"Cookie: {visitor.cookie}", "Connection: close"]
        lines += [f"Origin: http://{visitor.host}", "Origin: http://evil.example"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.makefile("rb").readline().split()[1] == b"400"


def test_the_token_is_good_for_one_time_and_the_cookie_is_kept_from_scripts(plain: Path) -> None:
    with served(plain) as address:
        visitor = Visitor(address)
        path = address.partition(visitor.host)[2]
        assert visitor.send("HEAD", path, {}).status == 401
        assert visitor.send("GET", "/?token=guessed", {}).status == 403
        taken = visitor.send("GET", path, {})
        assert taken.status == 303 and taken.headers["Location"] == "/"
        cookie = taken.headers["Set-Cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and path.partition("=")[2].lower() not in cookie
        again = visitor.send("GET", path, {})
        assert again.status == 403 and "good for one time" in again.text


def test_who_knocks_before_the_address_is_printed_waits_for_it(plain: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "agents.cli", "serve", "--port", str(port)]
    said = plain.parent / "said.txt"
    with said.open("w") as file, subprocess.Popen(command, cwd=plain, stdout=file) as process:
        answer = None
        while answer is None and process.poll() is None:
            with suppress(ConnectionRefusedError):
                answer = Visitor(f"http://127.0.0.1:{port}/").send("GET", "/", {})
        told = said.read_text()
        process.send_signal(signal.SIGINT)
    assert answer is not None and answer.status == 401
    assert f"http://127.0.0.1:{port}/?token=" in told


def test_the_page_answers_on_loopback_alone(visitor: Visitor) -> None:
    addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, visitor.port), timeout=5):
            pass


@pytest.mark.parametrize("host", ["ours", "evil.example"])
def test_a_websocket_finds_the_door_shut(visitor: Visitor, host: str) -> None:
    asked = {"Host": _host(host, visitor), "Connection": "Upgrade", "Upgrade": "websocket"}
    keys = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert visitor.send("GET", "/", asked | keys).status in (401, 403, 421)
