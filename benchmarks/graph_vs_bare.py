"""One model and one budget, as a bare loop and as the graph: `python -m benchmarks.graph_vs_bare [--target PATH]`.

The bare loop is one agent with the same tools: it edits the code, trains once, and keeps what came out lower than the
best so far. The graph is `circle campaign` on ideas of the model's own. Both have the same dollars and runs. At the end
a neutral script trains what each of them kept, and the base, on 16 fresh seeds, evaluated on the hidden split.

With a key (ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for a server of one's own) the model is a real one. Without one a
scripted model answers both on a target that trains in a tenth of a second: most of its changes do nothing, one helps.
That shows how the two loops keep what they are given, and nothing about any real model.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from agents.campaign.board import Board
from agents.campaign.record import find_campaign
from agents.desk import FolderDesk
from agents.errors import Halted
from agents.journal import Journal
from agents.ledger import used
from agents.measuring import open_laboratory
from agents.ports import Order, Question, Switches, silent, switched
from agents.records import Budget, Change, Usage
from agents.researchers import check_model
from agents.researchers.claude import Claude, World
from agents.researchers.claude.server import has_access
from agents.session import Home, load_committed_target
from agents.settings import Target
from agents.statistics import gain, interval, seed
from benchmarks.messages import Answer, MessagesServer, Request, text, use
from benchmarks.model_faults import target as scratch_target
from benchmarks.verdict import table
from tests.commands import circle, git

_FRESH, _WORKERS = 16, 2
_TASK = """\
Improve this training code: {metric} should {direction}. Make one change by editing the files; it is trained once, and
kept if the number is better than the best so far, which is {best}. Change the code itself: no flag is needed.
Say in your reply what you changed. Tried so far:
{tried}
"""
_USELESS, _USEFUL = ("discard", 0), ("intercept", False, True)
_IDEAS: tuple[tuple[str, Any, Any], ...] = (
    *((*_USELESS, 1), (*_USELESS, 2), (*_USELESS, 3), (*_USELESS, 4)),
    _USEFUL,
    *((*_USELESS, 5), (*_USELESS, 6), (*_USELESS, 7)),
)
"""To discard random numbers before the first draw changes nothing but the luck; an intercept is missing indeed."""


@dataclass
class Kept:
    """What a loop ends with: a commit and the flags that are on in it, what it says of it, and what it used."""

    commit: str
    flags: Switches
    claims: int
    said: float
    usage: Usage
    runs: int


class Scripted:
    """The model that ships with this benchmark: the same ideas in the same order, however it is asked."""

    def __init__(self) -> None:
        self._next = {"bare": 0, "plan": 0}

    def __call__(self, request: Request) -> Answer:
        """Answer as the question asks."""
        opening = str(request["messages"][0]["content"])
        if opening.startswith("Improve"):
            return _edited(request, partial(self._idea, "bare"))
        if opening.startswith("Plan"):
            name, default, value = self._idea("plan")
            flag = {"name": name, "default": default, "value": value}
            words = dict.fromkeys(("title", "hypothesis", "method", "criteria"), f"{name} = {value}")
            return _json(**words, flags=[flag])
        replies: dict[str, Answer] = {
            "Implement": _json(summary="The setting exists."),
            "Review": _json(passed=True, issues=[]),
            "Explain": _json(reason="As measured.", lessons=[]),
            "Say": _json(exhausted=True, change="One value of a setting was all of it."),
        }
        return replies[opening.split()[0]]

    def _idea(self, who: str) -> tuple[str, Any, Any]:
        self._next[who] += 1
        turn, place = divmod(self._next[who] - 1, len(_IDEAS))
        name, default, value = _IDEAS[place]
        return name, default, value + len(_IDEAS) * turn if name == _USELESS[0] else value


def _edited(request: Request, idea: Callable[[], tuple[str, Any, Any]]) -> Answer:
    """Look at the settings, change the default of one, whatever an earlier edit has made of it, and hand in."""
    messages = request["messages"]
    if len(messages) == 1:
        return use("str_replace_based_edit_tool", command="view", path="settings.py")
    if len(messages) > 3:
        return _json(summary="One setting.")
    name, _, value = idea()
    (old,) = re.findall(rf"^ *\d+\t(    {name}: .*)$", messages[-1]["content"][0]["content"], re.MULTILINE)
    new = f"{old.split('=')[0]}= {value}"
    return use("str_replace_based_edit_tool", command="str_replace", path="settings.py", old_str=old, new_str=new)


def _json(**reply: Any) -> Answer:
    return text(json.dumps(reply))


@dataclass
class Bench:
    """A target, its laboratory, and the budget that each loop has."""

    home: Home
    target: Target
    folder: Path
    budget: Budget

    def __post_init__(self) -> None:
        """Open the laboratory of the target's commit."""
        self.home.prepare()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.base = self.home.workspace.head()
        self.preset = self.target.preset
        self.tokens = self.target.scale(self.preset).train_tokens
        self.journal = Journal(self.folder / "journal.sqlite")
        place = (self.home, self.target, self.base, self.preset, self.folder, self.journal)
        self.laboratory = open_laboratory(*place, no_sandbox=False, workers=_WORKERS, report=silent)

    def losses(self, commit: str, flags: Switches, bank: str, runs: int) -> list[float | None]:
        """Train a commit on the seeds of a bank; the visible metric of the bank "bare", else the hidden one."""
        split = "visible" if bank == "bare" else "hidden"
        seeds = [seed(b"graph against bare", bank, index) for index in range(runs)]
        orders = [
            Order("experiment", "report", each, commit, self.tokens, flags=flags, splits=(split,))  # type: ignore[arg-type]
            for each in seeds
        ]
        return [getattr(run, split) for run in self.laboratory.run(orders)]


def bare(bench: Bench) -> Kept:
    """Edit, run once, keep if lower, until the runs or the dollars are spent."""
    first = World(
        model=bench.target.model,
        secret="the marks of a benchmark",
        journal=bench.journal,
        budget=bench.budget,
        target=bench.target,
        base_tree=bench.home.workspace.export(bench.base),
        remember=lambda words: "Nothing but what the question says.",
        report=silent,
        stopped=lambda: False,
    )
    champion, claims, said, runs = bench.base, 0, 0.0, 1
    (best,) = bench.losses(champion, (), "bare", 1)
    tried: list[str] = []
    assert best is not None
    while runs < (bench.budget.max_runs or 0):
        place = bench.folder / "desk"
        folders = (place, bench.base, champion, bench.target, bench.home.workspace, bench.laboratory)
        desk = partial(FolderDesk.laid, *folders, None, None)
        words = _TASK.format(
            metric=bench.target.metric.name,
            direction="fall" if bench.target.metric.direction == "min" else "rise",
            best=best,
            tried="\n".join(tried) or "nothing",
        )
        try:
            question = Question("experiment-planner", "implement", {}, words, desk)
            world = replace(first, base_tree=bench.home.workspace.export(champion))
            change = Claude(world).ask(question, Change)
        except Halted:
            break
        commit = bench.home.workspace.commit_folder(bench.base, place, bench.target.editable)
        (found,) = bench.losses(commit, (), "bare", 1)
        runs += 1
        better = found is not None and gain(best, found, bench.target.metric.direction) > 0
        tried.append(f"{change.summary} -> {found}{', kept' if better else ''}")
        if better and found is not None:
            claims, said = claims + 1, said + gain(best, found, bench.target.metric.direction)
            champion, best = commit, found
    return Kept(champion, (), claims, said, used(bench.journal), runs)


def graph(bench: Bench) -> Kept:
    """A night of the graph with the same budget."""
    budget = bench.budget
    options = ["--turbo", "--researcher", "claude", "--hours", "8", "--max-runs", str(budget.max_runs), "--no-memory"]
    if budget.max_usd is not None:
        options += ["--max-usd", str(budget.max_usd)]
    ended = circle(bench.home.target, "campaign", *options)
    if ended.returncode not in (0, 3):
        raise SystemExit(ended.stderr)
    board = Board(find_campaign(bench.home, ended.stderr.split()[1]))
    wins, (runs, _) = board.opened.wins(), board.cost()
    said = sum(win.effect for win in wins)
    return Kept(board.base, switched(board.standing), len(wins), said, board.usage(), runs)


def compare(bench: Bench) -> list[list[Any]]:
    """Run both loops, and measure what they kept; return the rows of the table."""
    rows = []
    direction = bench.target.metric.direction
    base = bench.losses(bench.base, (), "neutral", _FRESH)
    loops: dict[str, Callable[[Bench], Kept]] = {"bare: edit, run once, keep if lower": bare, "the graph": graph}
    for name, loop in loops.items():
        kept = loop(bench)
        found = bench.losses(kept.commit, kept.flags, "neutral", _FRESH)
        gains = [gain(old, new, direction) for old, new in zip(base, found, strict=True) if old and new]
        true = interval(gains)
        rows.append(
            [
                name,
                kept.runs,
                kept.usage.model_calls,
                f"{kept.usage.usd:.4f}",
                kept.claims,
                f"{kept.said:+.4f}",
                f"{true.mean:+.4f} [{true.low:+.4f}, {true.high:+.4f}]",
            ]
        )
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, help="a training repo; without a key a small one of our own")
    parser.add_argument("--model", help="default: circle.toml's")
    parser.add_argument("--max-usd", type=float, help="dollars of each loop")
    parser.add_argument("--max-runs", type=int, default=150, help="training runs of each loop")
    asked = parser.parse_args()
    head = ["loop", "runs", "calls", "$", "claims", "they say, in sum", "true gain on hidden data [95 %]"]
    with tempfile.TemporaryDirectory() as folder:
        if not has_access():
            with scratch_target() as place, MessagesServer(Scripted()) as server:
                _add_a_useless_setting(place)
                os.environ["ANTHROPIC_BASE_URL"] = server.url
                rows = compare(_bench(place, Path(folder), asked))
            table("A scripted model: no figure of a real one is claimed", head, rows)
            return
        rows = compare(_bench((asked.target or Path.cwd()).resolve(), Path(folder), asked))
        table(f"{asked.model or 'the model of circle.toml'}", head, rows)


def _add_a_useless_setting(place: Path) -> None:
    drawn = "    random.getrandbits(32 * (1 + configs.discard))\n"
    for name, before, after in (
        ("settings.py", "    rate:", "    discard: int = 0\n    rate:"),
        ("train.py", "Random(configs.seed)\n", f"Random(configs.seed)\n{drawn}"),
    ):
        file = place / name
        file.write_text(file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    git(place, "commit", "-qam", "A setting that changes nothing but the luck")


def _bench(place: Path, folder: Path, asked: argparse.Namespace) -> Bench:
    home = Home(place)
    target = load_committed_target(home.workspace, home.workspace.head())
    if asked.model:
        os.environ["CIRCLE_MODEL"] = asked.model
        target = target.model_copy(update={"model": target.model.model_copy(update={"name": asked.model})})
    check_model("claude", target.model, limited=asked.max_usd is not None)
    return Bench(home, target, home.folder / "graph-vs-bare", Budget(max_runs=asked.max_runs, max_usd=asked.max_usd))


if __name__ == "__main__":
    main()
