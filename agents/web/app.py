"""The page as an application: which address is answered by what, and the server on this machine's loopback."""

from __future__ import annotations

import socket
from functools import partial

import uvicorn
from starlette.applications import Starlette
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
from agents.web.pages import ERRORS, HERE, Pages
from agents.web.shelf import Shelf
from agents.web.stream import streamed

_MOST_AT_ONCE = 100


def application(home: Home, keys: Keys) -> ASGIApp:
    """Return the page of a target, behind its door."""
    pages, acts = Pages(home, Shelf(home), keys.word), Acts(home)
    one = "/sessions/{id}"
    routes = [
        Route("/", pages.sessions),
        Route("/log", pages.idea_log),
        Route("/campaigns/{id}", pages.campaign),
        Route(one, pages.session),
        Route(f"{one}/events", partial(_stream, home)),
        Route(f"{one}/diff", pages.diff),
        Route(f"{one}/diff.raw", pages.raw_diff),
        Route(f"{one}/steps", pages.step),
        Route(f"{one}/steps/{{number:int}}", pages.step),
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
    return Door(Starlette(routes=routes, exception_handlers={HTTPException: pages.missing, **handlers}), keys)


def serve(home: Home, listening: socket.socket, keys: Keys) -> None:
    """Answer until a signal ends it; open streams are cut after a second."""
    config = uvicorn.Config(
        application(home, keys),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listening])


async def _stream(home: Home, request: Request) -> Response:
    return streamed(home.find(request.path_params["id"]), request)


def _act(path: str, act: Act) -> Route:
    async def endpoint(request: Request) -> Response:
        return await acted(request, act)

    return Route(path, endpoint, methods=["POST"])
