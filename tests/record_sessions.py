"""Records the sessions of tests/sessions anew: `python -m tests.record_sessions`. Real ones, on the plain target.

To be run after a change that is meant to change what sessions do: a prompt, a paper, a rule. What they prove is that
nothing else has.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.messages import MessagesServer, use
from benchmarks.model_faults import target
from tests.commands import (
    ROOT,
    Reply,
    analysis,
    change,
    circle,
    diff_of,
    plan,
    review,
    revision,
    session_id,
    shown,
)
from tests.researchers.model import Model

PLACE = ROOT / "tests" / "sessions"
LOWER, BETTER = plan("A lower rate", ("rate", 0.01, 0.003)), plan("An intercept", ("intercept", False, True))
EDITOR = "str_replace_based_edit_tool"


def script(folder: Path, *replies: Reply) -> str:
    """Write a script beside the target and return its researcher's name."""
    file = folder.parent / "script.json"
    file.write_text(json.dumps({"replies": [{"skill": skill, "reply": reply} for skill, reply in replies]}))
    return f"scripted:{file}"


def start(folder: Path, *replies: Reply, turbo: bool = True) -> str:
    """Start a session and return its id."""
    options = ["--turbo"] if turbo else []
    return session_id(circle(folder, "start", *options, "--researcher", script(folder, *replies), "A rate").stderr)


def victory_after_failure(folder: Path) -> str:
    """V1 harms, V2 answers the harm and wins."""
    return start(
        folder, LOWER, change(), review(), analysis("Slow."), revision(), BETTER, change(), review(), analysis()
    )


def honest_conclusion(folder: Path) -> str:
    """It harms, and nothing of the idea is left."""
    return start(folder, LOWER, change(), review(), analysis("Slow."), revision(exhausted=True))


def rejected_diff(folder: Path) -> str:
    """A person sends the first diff back, with words; the second is approved, and wins."""
    new = diff_of(folder, "settings.py", ("    batch: int = 8\n", "    batch: int = 8\n    constant: bool = False\n"))
    new += diff_of(folder, "model.py", ("if configs.intercept else", "if configs.intercept or configs.constant else"))
    constant = plan("A constant", ("constant", False, True), files=["model.py", "settings.py"])
    name = start(folder, LOWER, change(), review(), constant, change(new), review(), analysis(), turbo=False)
    for decision in (["reject", "--comment", "Add what is missing."], ["approve"]):
        sha256 = shown(folder, name)["versions"][-1]["diff_sha256"]
        circle(folder, decision[0], name, "--sha", sha256, *decision[1:])
    return name


def killed_and_resumed(folder: Path) -> str:
    """SIGKILL in the middle of the screen; resumed, it wins."""
    researcher = script(folder, BETTER, change(), review(), analysis())
    command = [sys.executable, "-m", "agents.cli", "start", "--turbo", "--researcher", researcher, "A rate"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        name = session_id(process.stderr.readline())
        next(line for line in process.stderr if "screen experiment" in line)
        process.send_signal(signal.SIGKILL)
    circle(folder, "resume", name)
    return name


def model_with_tools(folder: Path) -> str:
    """A model's server writes the code by tools and checks it."""
    step = "    weights = [w - configs.rate * g for w, g in zip(weights, gradient(weights, samples))]\n"
    twice = step + "    if configs.twice:\n" + step.replace("    weights", "        weights")
    declared = "    intercept: bool = False\n"
    edits = [("settings.py", declared, f"{declared}    twice: bool = False\n"), ("model.py", step, twice)]
    model = Model(
        plan=[use("memory"), plan("Two steps", ("twice", False, True), files=["model.py", "settings.py"])[1]],
        implement=[
            *(use(EDITOR, command="str_replace", path=path, old_str=old, new_str=new) for path, old, new in edits),
            use("check"),
            {"summary": "Each step is taken twice."},
        ],
        review=[{"passed": True, "issues": []}],
        analyse=[{"reason": "It descends further.", "lessons": ["The rate limits the descent."]}],
    )
    with MessagesServer(model) as server:
        command = ["start", "--turbo", "--researcher", "claude", "Descend faster"]
        ended = circle(folder, *command, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="k")
    return session_id(ended.stderr)


RECORDED: tuple[Callable[[Path], str], ...] = (
    victory_after_failure,
    honest_conclusion,
    rejected_diff,
    killed_and_resumed,
    model_with_tools,
)


def main() -> None:
    """Record every session anew."""
    PLACE.mkdir(exist_ok=True)
    for record in RECORDED:
        with target() as folder:
            name, file = record(folder), PLACE / f"{record.__name__}.circle"
            file.unlink(missing_ok=True)
            told = circle(folder, "export", name, str(file)).stdout.strip()
            print(f"{record.__name__}: {shown(folder, name)['status']}. {told}")


if __name__ == "__main__":
    main()
