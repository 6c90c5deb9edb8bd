"""Circle inside a coding agent: `circle mcp` serves its commands over the Model Context Protocol, on standard input.

An agent may bring a diff to be judged, start a session, and read what came of it. It cannot approve one: a session that
it started waits until a person has read the diff. https://modelcontextprotocol.io
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

from pydantic import Field

from agents.errors import CircleError, UsageError
from agents.options import options_of, researcher_of
from agents.plain_text import plain_lines
from agents.session import Home, Opened, load_committed_target
from agents.session import start as start_session
from agents.show import document
from agents.state import versions_of
from agents.waiting import newest_diff

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from agents.records import Plan
    from agents.session import Options
    from agents.settings import Target

_INSTRUCTIONS = """\
Circle decides by experiment whether a change of this repository's training code beats its baseline: a regression test
with the flags off, then pairs of runs on fresh seeds and hidden data. No number that you measured yourself counts as
a win. A change is a unified diff against HEAD whose new flags leave the baseline alone when they are off. Sessions
take minutes to hours: `start` and `judge` return at once with an id, and `show` says how it stands. A person approves
a diff before it is trained, by the command that `show` names; you cannot. (A model that writes one may try ten steps of
it in the sandbox before.)
"""
Count = Annotated[int, Field(ge=0)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Asked = ParamSpec("_Asked")
_Answered = TypeVar("_Answered")
_Number = TypeVar("_Number", int, float)


def serve(home: Home) -> MCPServer[Any]:
    """Return the server of a target's sessions; it speaks once it is run."""
    from mcp.server.mcpserver import MCPServer

    server: MCPServer[Any] = MCPServer("circle", instructions=_INSTRUCTIONS, log_level="ERROR")
    tools = Tools(home)
    for tool in (
        tools.start,
        tools.judge,
        tools.show,
        tools.diff,
        tools.replay,
        tools.stop,
        tools.sessions,
        tools.ideas,
    ):
        server.tool()(_told(tool))
    return server


def _least(own: _Number | None, asked: _Number) -> _Number | None:
    """The smaller of two limits; 0, or none of one's own, is no limit."""
    return min(filter(None, (own, asked)), default=None)


def _told(tool: Callable[_Asked, _Answered]) -> Callable[_Asked, _Answered]:
    """Let what went wrong reach the agent as the sentence that a person would read."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def call(*given: _Asked.args, **named: _Asked.kwargs) -> _Answered:
        try:
            return tool(*given, **named)
        except CircleError as error:
            raise ToolError(str(error)) from error

    return call


class Tools:
    """What an agent may do with a target."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._drivers: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        idea: str,
        researcher: str = "",
        preset: str = "",
        max_versions: Count = 0,
        max_runs: Count = 0,
        max_usd: Dollars = 0.0,
        max_tokens: Count = 0,
    ) -> Any:
        """Start a session on an idea in words; it plans, writes and reviews the change, and waits for a person.

        0 is the target's own limit. A model that costs money needs one: max_usd or max_tokens.
        """
        from agents.researchers import open_researcher

        options = self._options(preset, max_versions, max_runs, max_usd, max_tokens)
        name = researcher_of(researcher or None, self._target, options)
        budget = options.budget
        if name == "claude" and budget.max_usd is None and budget.max_tokens is None:
            raise UsageError("A model is asked only within a limit: give max_usd or max_tokens.")
        return self._begun(start_session(self._home, idea, open_researcher(name, self._target), options))

    def judge(self, diff: str, flags: str, title: str = "", preset: str = "", max_runs: Count = 0) -> Any:
        """Have your own diff judged: `flags` turn it on, as in "--smear true"; an empty diff gives flags new values."""
        from agents.brought import plan_of
        from agents.researchers.nobody import Nobody

        plan: Plan = plan_of(self._home, diff, flags, title or flags, [])
        options = self._options(preset, 1, max_runs)
        return self._begun(start_session(self._home, title, Nobody(), options, (diff, plan)))

    def show(self, session: str) -> Any:
        """Say how a session stands: status, versions with review, measurements and verdict, spend, what to do next."""
        opened = self._home.find(session)
        return document(opened) | {"status": self._status(opened)} | self._next(opened)

    def diff(self, session: str) -> Any:
        """Return the session's newest diff and its SHA-256."""
        text, sha256 = newest_diff(self._home.find(session))
        return {"diff": plain_lines(text.decode(errors="backslashreplace")), "sha256": sha256}

    def replay(self, session: str) -> Any:
        """Walk through a session again from its journal: is it identical, and where does it diverge if not?"""
        from agents.replay import replay

        return replay(self._home.find(session))

    def stop(self, session: str) -> Any:
        """Ask a running session to stop at its next boundary; it can be resumed."""
        opened = self._home.find(session)
        if self._status(opened) == "running":
            opened.ask_to_stop()
        return {"session": session, "status": self._status(opened)}

    def sessions(self) -> Any:
        """List the sessions of this repository, newest first."""
        found = [
            {"id": opened.session.id, "status": self._status(opened), "idea": opened.session.idea.text}
            for opened in self._home.sessions()
        ]
        return {"sessions": found}

    def ideas(self, words: list[str] | None = None) -> Any:
        """Look up what earlier sessions tried, with effect, cause and lessons: entries that hold all of these words."""
        from agents.memory import remembered

        return {"ideas": remembered(self._home, words or [])}

    def _status(self, opened: Opened) -> str:
        """How a session stands; one whose driver has only begun is running."""
        driver = self._drivers.get(opened.session.id)
        return "running" if driver is not None and driver.poll() is None else opened.status()

    @property
    def _target(self) -> Target:
        return load_committed_target(self._home.workspace, self._home.workspace.head())

    def _options(
        self, preset: str, max_versions: int, max_runs: int, max_usd: float = 0.0, max_tokens: int = 0
    ) -> Options:
        """The target's defaults, but that no diff approves itself; an agent may lower its limits and raise none."""
        start = self._target.start
        return options_of(
            start.model_copy(update={"turbo": False}),
            preset=preset or None,
            train_tokens=None,
            max_versions=_least(start.max_versions, max_versions),
            max_runs=_least(start.max_runs, max_runs),
            max_hours=None,
            max_usd=_least(start.max_usd, max_usd),
            max_tokens=_least(start.max_tokens, max_tokens),
            minimum_effect=None,
            confidence=None,
            workers=None,
            no_sandbox=False,
            secret=None,
        )

    def _begun(self, opened: Opened) -> Any:
        """Let a process of its own drive the session, which goes on when the agent is gone."""
        name = opened.session.id
        command = [sys.executable, "-m", "agents.cli", "resume", name, "--target", str(self._home.target)]
        with (opened.folder / "drive.log").open("wb") as log:
            driver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._drivers[name] = driver
        return {"session": name, "next": "show says how it stands"}

    def _next(self, opened: Opened) -> dict[str, str]:
        if opened.status() != "awaiting_approval":
            return {}
        sha256 = [version.patch.diff_sha256 for version in versions_of(opened.state()) if version.patch][-1]
        name = opened.session.id
        return {"next": f"A person reads `circle diff {name}` and runs `circle approve {name} --sha {sha256}`."}
