"""What the page's tests share: the page as a process of its own, and who knocks at its door."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Answer:
    """What the page answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON document."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Visitor:
    """A browser of few words: it opens the printed address, keeps the cookie, and sends what a page of ours would."""

    address: str
    cookie: str = ""
    word: str = ""
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = int(re.findall(r":(\d+)/", self.address)[0])

    @property
    def host(self) -> str:
        """The name under which the page is asked for."""
        return f"127.0.0.1:{self.port}"

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send exactly these headers; a Host among them takes the usual one's place."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"Host": self.host} | dict(headers)).items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def enter(self) -> Visitor:
        """Swap the token for the cookie, and read the word that pages send along."""
        answer = self.send("GET", self.address.partition(self.host)[2], {})
        assert answer.status == 303, answer.text
        self.cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        self.word = re.findall(r'name="circle-word" content="(\w+)"', self.get("/").text)[0]
        return self

    def get(self, path: str) -> Answer:
        """Open a page."""
        return self.send("GET", path, {"Cookie": self.cookie})

    def post(self, path: str, form: Any) -> Answer:
        """Do something, as a page of ours does."""
        headers = {"Cookie": self.cookie, "Origin": f"http://{self.host}", "X-Circle-Word": self.word}
        return self.send("POST", path, headers | {"Content-Type": "application/json"}, json.dumps(form).encode())

    def until(self, session: str, *statuses: str) -> dict[str, Any]:
        """Follow a session's events until it stands so; return the view that says it."""
        return list(self.watch(session, *statuses))[-1]

    def watch(self, session: str, *statuses: str) -> Iterator[dict[str, Any]]:
        """Follow a session's events until it stands so; give each view."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        connection.request("GET", f"/sessions/{session}/events", headers={"Host": self.host, "Cookie": self.cookie})
        events, status = connection.getresponse(), ""
        while status not in statuses:
            line = events.readline().decode()
            assert line, f"{session} is {status}, not {statuses}"
            if line.startswith("data: "):
                view: dict[str, Any] = json.loads(line.removeprefix("data: "))
                status = str(view.get("status"))
                yield view
        connection.close()


@contextmanager
def served(target: Path, port: int = 0) -> Iterator[str]:
    """Serve the page of a target; give the address that it prints."""
    command = [sys.executable, "-m", "agents.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=target, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(line.strip() for line in process.stdout if line.startswith("http://"))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
