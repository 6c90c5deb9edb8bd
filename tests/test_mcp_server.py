"""Circle as a coding agent sees it: a real client over standard input and output, real sessions behind it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.commands import circle, diff_of, shown

Call = Callable[..., Awaitable[Any]]


def served(folder: Path, talk: Callable[[ClientSession, Call], Awaitable[None]]) -> None:
    """Let a client talk to `circle mcp` of a target."""

    async def run() -> None:
        command = ["-m", "agents.cli", "mcp", "--target", str(folder)]
        server = StdioServerParameters(command=sys.executable, args=command, cwd=Path.cwd())
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()

            async def call(name: str, **arguments: Any) -> Any:
                result = await session.call_tool(name, arguments)
                text = "".join(getattr(part, "text", "") for part in result.content)
                return text if result.is_error else json.loads(text)

            await talk(session, call)

    asyncio.run(run())


async def until(call: Call, name: str, *statuses: str) -> Any:
    """Ask how a session stands until it has one of these statuses."""
    while (document := await call("show", session=name))["status"] not in statuses:
        await asyncio.sleep(0.2)
    return document


def test_an_agents_diff_is_judged_and_a_person_approves(plain: Path) -> None:
    """It waits for a person whatever the agent does; approved, it wins by the same proof as any other."""
    diff = diff_of(plain, "model.py", ("if configs.intercept else", "if configs.intercept or configs.batch > 8 else"))
    waiting: list[str] = []

    async def bring(session: ClientSession, call: Call) -> None:
        offered = {tool.name for tool in (await session.list_tools()).tools}
        assert {"start", "show", "diff", "judge", "replay", "ideas", "sessions", "stop"} <= offered
        assert not [name for name in offered if "approve" in name or "reject" in name]
        begun = await call("judge", diff=diff, flags="--intercept true", title="An intercept")
        document = await until(call, begun["session"], "awaiting_approval", "failed", "concluded")
        assert document["status"] == "awaiting_approval" and "circle approve" in document["next"], document
        found = await call("diff", session=begun["session"])
        assert found["sha256"] in document["next"] and "configs.batch > 8" in found["diff"]
        assert document["spend"]["runs"] == 8, "nothing of the diff has run"
        waiting.extend([begun["session"], found["sha256"]])

    served(plain, bring)
    name, sha256 = waiting
    assert circle(plain, "approve", name, "--sha", sha256).returncode == 0
    assert shown(plain, name)["status"] == "victory"

    async def look(session: ClientSession, call: Call) -> None:
        assert (await call("show", session=name))["victory"]["effect"] > 0
        assert (await call("replay", session=name))["identical"] is True
        assert [entry["outcome"] for entry in (await call("ideas", words=["intercept"]))["ideas"]] == ["win"]
        assert await call("ideas", words=["no such word"]) == {"ideas": []}
        assert "There is no session" in await call("show", session="nobody")
        assert "does not apply" in await call("judge", diff="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", flags="--rate 1")
        assert "no researcher 'oracle'" in await call("start", idea="x", researcher="oracle")

    served(plain, look)


def test_a_target_that_approves_by_itself_does_not_for_an_agent(plain: Path) -> None:
    """`turbo` in circle.toml is a person's word to themselves."""
    from tests.commands import git

    with (plain / "circle.toml").open("a") as settings:
        settings.write("\n[start]\nturbo = true\nmax_runs = 50\n")
    git(plain, "commit", "-qam", "Approve by itself")

    async def bring(session: ClientSession, call: Call) -> None:
        begun = await call("judge", diff="", flags="--rate 0.02", max_runs=6_000)
        document = await until(call, begun["session"], "awaiting_approval", "victory", "concluded", "failed")
        assert document["status"] == "awaiting_approval"
        assert document["budget"]["max_runs"] == 50, "a limit of the target's is not the agent's to raise"

    served(plain, bring)
