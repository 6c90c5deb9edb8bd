"""Opens the page: `circle serve`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from agents.errors import CircleError, Interrupted
from agents.options import TargetOption, home

_NEEDED = ("httpx2", "starlette", "uvicorn", "plotly", "markdown_it", "pygments")


def serve(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of 127.0.0.1 (default: 8765, or a free one).")
    ] = None,
    target: TargetOption = None,
) -> None:
    """Serve the page on this machine alone: watch, approve, replay. Its address is good for one browser."""
    from agents.web.address import Keys, listen

    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise CircleError(f"The page needs {', '.join(missing)}: pip install 'circle-research[web]'.")
    place, listening = home(target), listen(port)
    keys = Keys(listening.getsockname()[1])
    print(f"The page of {place.target.name}, on this machine alone; Ctrl-C ends it, and no session with it:")
    from agents.web.app import serve as serve_page

    try:
        serve_page(place, listening, keys, opened=lambda: print(keys.address, flush=True))
    except (Interrupted, KeyboardInterrupt):
        print("The page has ended; sessions go on.")
