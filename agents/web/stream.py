"""A session's news as server-sent events: the whole view whenever something in it may have changed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from agents.errors import CircleError
from agents.session import Opened
from agents.web.launch import Launcher
from agents.web.live import stamp, view

if TYPE_CHECKING:
    from starlette.requests import Request

LOOK_SECONDS = 0.5
_QUIET_SECONDS = 15.0
"""After so long without news a comment is sent, by which a browser that is gone is noticed."""


def streamed(opened: Opened, request: Request, launcher: Launcher) -> StreamingResponse:
    """Return the stream of a session; it ends with the page."""
    return StreamingResponse(_events(opened, request, launcher), media_type="text/event-stream")


async def _events(opened: Opened, request: Request, launcher: Launcher) -> AsyncIterator[str]:
    known: Any = None
    said, quiet = "", 0.0
    name = opened.session.id
    while not launcher.stopping.is_set() and not await request.is_disconnected():
        try:
            failed = launcher.failed.get(name, "")
            now = (await run_in_threadpool(stamp, opened), failed)
            text = said if now == known else json.dumps(await run_in_threadpool(view, opened, failed))
        except (CircleError, sqlite3.Error, OSError) as error:
            now, text = None, json.dumps({"error": str(error)})
        known, quiet = now, quiet + LOOK_SECONDS
        if text != said:
            said, quiet = text, 0.0
            yield f"event: view\ndata: {text}\n\n"
        elif quiet >= _QUIET_SECONDS:
            quiet = 0.0
            yield ": nothing new\n\n"
        await asyncio.sleep(LOOK_SECONDS)
