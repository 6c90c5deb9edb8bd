"""Who may talk to the page: one browser on this machine, that opened the address which was printed.

A page that a browser shows from elsewhere can send requests here, and by DNS rebinding even as if it were this page.
So the Host must be ours to the letter; a token that is taken once buys a cookie that no other site's request carries;
and what changes anything must be JSON from this page itself, with a word that only its own pages were given.
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from agents.web.address import Keys

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 * 1024
"""Of a request's body."""
BODY_SECONDS = 10.0
_EMPTY = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The empty style element that the charts' library fills by rules; its maps', which are not drawn, is refused."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Refused(Exception):
    """A request that is not answered, and why."""

    status: HTTPStatus
    sentence: str


class Door:
    """Lets requests through to the pages behind it, or refuses them; sets the headers of every answer.

    `style` is the one style sheet that a page may have in it.
    """

    def __init__(self, app: ASGIApp, keys: Keys, style: str) -> None:
        self._app, self._keys = app, keys
        self._headers = _HEADERS | {"Content-Security-Policy": _policy(style)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return
        send = _with_headers(send, self._headers)
        try:
            answer = self._entrance(scope)
            body = await _body(receive) if scope["method"] == "POST" else b""
        except Refused as refused:
            answer = PlainTextResponse(f"{refused.sentence}\n", refused.status)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._app(scope, _Again(body, receive), send)

    def _entrance(self, scope: Scope) -> Response | None:
        """Return the answer to who comes with a token, None for who may pass; raise Refused for who may not."""
        request = Request(scope)
        host = _only(request, "host")
        if host not in self._keys.hosts:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "This page answers on 127.0.0.1 and localhost alone.")
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "The page knows GET, HEAD and POST.")
        _check_origin(request, host)
        if request.method == "GET" and request.url.path == "/" and "token" in request.query_params:
            return self._admit(request)
        self._check_cookie(request)
        if request.method == "POST":
            self._check_word(request)
        return None

    def _admit(self, request: Request) -> Response:
        """Swap the token for the cookie, and leave it out of the address."""
        if not self._keys.take(request.query_params["token"]):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "This address opens nothing, or nothing any more: each is good for one time. Go on in the browser that "
                "opened it, or end circle serve and start it again for a new one.",
            )
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(self._keys.cookie_name, self._keys.cookie, httponly=True, samesite="strict", path="/")
        return answer

    def _check_cookie(self, request: Request) -> None:
        given = request.cookies.get(self._keys.cookie_name, "")
        if not hmac.compare_digest(given.encode(), self._keys.cookie.encode()):
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "Open the address with the token that circle serve printed: this one has none."
            )

    def _check_word(self, request: Request) -> None:
        if _only(request, "content-type").split(";")[0].strip().lower() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "What changes anything is sent as JSON.")
        given = _only(request, "x-circle-word")
        if not _only(request, "origin") or not hmac.compare_digest(given.encode(), self._keys.word.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "This did not come from a page that this server gave: reload it.")


def _check_origin(request: Request, host: str) -> None:
    """Refuse what another site's page sends, by what the browser says of it."""
    origin, site = _only(request, "origin"), _only(request, "sec-fetch-site")
    if origin and origin != f"http://{host}":
        raise Refused(HTTPStatus.FORBIDDEN, "This was sent by another page.")
    if site not in ("", "none", "same-origin"):
        raise Refused(HTTPStatus.FORBIDDEN, "This was sent by another site.")


def _only(request: Request, name: str) -> str:
    """Return a header that may be there once at most."""
    found = request.headers.getlist(name)
    if len(found) > 1:
        raise Refused(HTTPStatus.BAD_REQUEST, f"The header {name} is there {len(found)} times.")
    return found[0] if found else ""


def _policy(style: str) -> str:
    """What a page may load: everything from here, and the style sheet that is written into it, by its hash."""
    ours = b64encode(sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{ours}' {_EMPTY}; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            known = {name.lower() for name, _ in given}
            ours = ((name.lower().encode(), value.encode()) for name, value in headers.items())
            message = {**message, "headers": given + [pair for pair in ours if pair[0] not in known]}
        await send(message)

    return sent


async def _body(receive: Receive) -> bytes:
    """Read a request's body; raise Refused if it is long, or slow in coming."""
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MOST_BYTES:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request has {MOST_BYTES:,} bytes at most.")
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"The request took longer than {BODY_SECONDS:g} seconds.") from None
    return body


class _Again:
    """Gives a body that was read already, and then whatever the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
