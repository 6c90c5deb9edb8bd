"""The page as an application: which address is answered by what, and the server on this machine's loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from agents.session import Home
from agents.web.acts import Act, Acts, acted
from agents.web.address import Keys
from agents.web.door import Door
from agents.web.launch import Launcher
from agents.web.pages import ERRORS, HERE, Pages
from agents.web.shelf import EVERY_ROW, Shelf
from agents.web.stream import streamed

_MOST_AT_ONCE, _LAST_SECONDS = 100, 3


def application(pages: Pages, acts: Acts, keys: Keys) -> ASGIApp:
    """Return the page of a target, behind its door."""
    home, launcher = pages.home, pages.launcher
    one = "/sessions/{id}"
    routes = [
        Route("/", pages.sessions),
        Route("/log", pages.idea_log),
        Route("/log.{kind:str}", pages.idea_log_file),
        Route("/campaigns/{id}", pages.campaign),
        Route("/campaigns/{id}/report.{kind:str}", pages.campaign_file),
        Route("/campaigns/{id}/figures/{name}.svg", pages.campaign_figure),
        Route(one, pages.session),
        Route(f"{one}/events", partial(_stream, home, launcher)),
        Route(f"{one}/view", pages.view),
        Route(f"{one}/diff", pages.diff),
        Route(f"{one}/diff.raw", pages.raw_diff),
        Route(f"{one}/steps", pages.step),
        Route(f"{one}/steps/{{number}}", pages.step),
        Route(f"{one}/report", pages.report),
        Route(f"{one}/report.{{kind:str}}", pages.report_file),
        Route(f"{one}/figures/{{name}}.svg", pages.figure),
        Route("/plotly.js", pages.charts_library),
        Mount("/static", StaticFiles(directory=HERE / "static")),
        _act("/start", acts.start),
        *(
            _act(f"{one}/{name}", act)
            for name, act in {
                "decide": acts.decide,
                "stop": acts.stop,
                "resume": acts.resume,
                "fork": acts.fork,
                "replay": acts.replay,
            }.items()
        ),
    ]
    handlers = {error: getattr(pages, handler) for error, handler in ERRORS.items()}
    app = Starlette(routes=routes, exception_handlers={HTTPException: pages.missing, **handlers})
    return Door(app, keys, pages.style)


def serve(home: Home, listening: socket.socket, keys: Keys, opened: Callable[[], None]) -> None:
    """Call `opened` once the page is ready; answer until a signal ends it, and with it what streams or waits."""
    launcher = Launcher(home)
    pages = Pages(home, Shelf(home), keys.word, launcher)
    app = application(pages, Acts(home, launcher), keys)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_graceful_shutdown=_LAST_SECONDS,
        lifespan="off",
    )
    asyncio.run(_visit(app, keys, pages.shelf.names()[:1]))
    opened()
    _Server(config, launcher).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells those who wait that the page is about to end, before it waits for them."""

    def __init__(self, config: uvicorn.Config, launcher: Launcher) -> None:
        super().__init__(config)
        self._launcher = launcher

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        self._launcher.stopping.set()
        super().handle_exit(sig, frame)


async def _visit(app: ASGIApp, keys: Keys, sessions: Sequence[str]) -> None:
    """Ask for a few pages from within, so that whoever comes first waits for nothing to be loaded or read."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    cookies = {keys.cookie_name: keys.cookie}
    async with httpx2.AsyncClient(transport=transport, base_url=keys.home, cookies=cookies) as guest:
        for path in (f"/?order={EVERY_ROW}", *(f"/sessions/{name}" for name in sessions)):
            await guest.get(path)


async def _stream(home: Home, launcher: Launcher, request: Request) -> Response:
    opened = await run_in_threadpool(home.find, request.path_params["id"])
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    return streamed(opened, request, launcher)


def _act(path: str, act: Act) -> Route:
    async def endpoint(request: Request) -> Response:
        return await acted(request, act)

    return Route(path, endpoint, methods=["POST"])
