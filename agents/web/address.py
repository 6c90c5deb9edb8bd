"""Where the page is, and the words that open it: a socket on this machine's loopback, a token, a cookie's value."""

from __future__ import annotations

import hmac
import secrets
import socket
from dataclasses import dataclass, field
from hashlib import sha256

from agents.errors import UsageError

PORT = 8765


@dataclass
class Keys:
    """The words of one start of the page: the token of its address, the cookie that it buys, what its pages send."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def home(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The address to open, good for one time."""
        return f"{self.home}/?token={self.token}"

    @property
    def cookie_name(self) -> str:
        """The cookie's name: cookies know no ports, and another page may be served beside this one."""
        return f"circle-{self.port}"

    @property
    def word(self) -> str:
        """What a page of ours sends along with whatever changes anything."""
        return hmac.new(self.cookie.encode(), b"this page", sha256).hexdigest()

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which a browser on this machine may call the page."""
        return frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost"))

    def take(self, token: str) -> bool:
        """Whether it is the token, which is good no more after this."""
        right = bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())
        if right:
            self.token = ""
        return right


def listen(port: int | None) -> socket.socket:
    """Return a socket on 127.0.0.1, of the usual port or a free one; raise UsageError if the one asked for is taken."""
    if port is not None:
        return _bound(port)
    try:
        return _bound(PORT)
    except UsageError:
        return _bound(0)


def _bound(port: int) -> socket.socket:
    # Named as TCP, its connections send at once what asyncio writes; else each page waits 40 ms for an acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UsageError(
            f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}): circle serve --port 0 takes a free one."
        ) from error
    return listening
