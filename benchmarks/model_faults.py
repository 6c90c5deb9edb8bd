"""What a session survives of its model: `python -m benchmarks.model_faults`.

A real session on a target that trains in a tenth of a second, its model a server on loopback that speaks the Messages
API. Each case does one thing wrong, once or for a while. It is survived if the session ends as it would have without,
or as the case says that it must, and if what it booked is what the server billed. A call that broke off is booked with
all that it could have cost, so there the account may be above the bill and never below it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agents.researchers.claude.prices import cost
from agents.researchers.claude.stream import LONGEST
from agents.researchers.claude.tools import EDITOR
from agents.settings import Price
from benchmarks.messages import Answer, MessagesServer, Raw, Request, Says, Status, text, use
from benchmarks.verdict import table
from tests.commands import TARGETS, circle, git, plan, session_id, shown

PRICE = Price(input=3, output=15, cache_write=6, cache_read=0.3)
SETTINGS = """
[model]
name = "priced"
backoff_seconds = 0.05
patience_hours = 0.01
silence_seconds = 0.5
max_output_tokens = 4000
prices.priced = { input = 3, output = 15, cache_write = 6, cache_read = 0.3 }
"""
DEAD = plan("A batch of the same size", ("batch", 8, 8))[1]
"""A plan that the review refuses at once: its flag is the baseline's, and nothing is trained for it."""
WRITTEN: Answer = text(json.dumps({"summary": "Nothing changes."}))
REPLIES: dict[str, Answer] = {
    "Plan": text(json.dumps(DEAD)),
    "Implement": WRITTEN,
    "Explain": text(json.dumps({"reason": "Both arms are one.", "lessons": []})),
}
Ends = Literal["as undisturbed", "paused, then as undisturbed", "concluded with the reason", "an error in a sentence"]


@dataclass(frozen=True)
class Case:
    """What the server does at the first requests of the session instead of answering; then it answers."""

    name: str
    instead: tuple[Answer, ...]
    ends: Ends = "as undisturbed"
    words: str = ""
    more_requests: int | None = None


def cut(**how: Any) -> Says:
    """A reply that breaks off."""
    return text(json.dumps(DEAD) * 4, **how)


def bare_stream(words: str, stopped: str, *, start: bool = True, tool: bool = False) -> Raw:
    """A stream as careless servers send it: no usage, and no event that only opens or closes something."""
    delta: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}
    call: dict[str, Any] = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "t", "input": {}},
    }
    begun = [{"type": "message_start", "message": {"role": "assistant"}}] if start else []
    events = [*begun, call if tool else delta, {"type": "message_delta", "delta": {"stop_reason": stopped}}]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Raw(body.encode(), "text/event-stream")


DRAFT: dict[str, Any] = DEAD | {"title": "A draft"}
_MESSAGE: dict[str, Any] = {
    "type": "message",
    "content": [{"type": "text", "text": json.dumps(DEAD)}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 100, "output_tokens": 10},
}
WHOLE = Raw(json.dumps(_MESSAGE).encode(), "application/json")
ECHO = Status(400, "Extra inputs are not permitted: thinking; input was {'output_config': …, 'cache_control': …}")
BAD = text('{"title": "A plan without the rest"}')
OVERLOADED = Status(529, "Overloaded")
SPENT = Status(429, "limit", {"details": {"error_code": "enforced_spend_limit_reached"}})
CASES = (
    Case("429 that names a time", (Status(429, "slow down", headers={"retry-after": "0.3"}),), more_requests=1),
    Case("529 four times", (OVERLOADED,) * 4, more_requests=4),
    Case("500, 502, 503", (Status(500, "x"), Status(502, "x"), Status(503, "x")), more_requests=3),
    Case("a dropped connection", (Raw(dropped=True),), more_requests=1),
    Case("a stream that is cut", (cut(cut=True),), more_requests=1),
    Case("a stream in chunks that is cut", (cut(cut=True, chunked=True),), more_requests=1),
    Case("an error within the stream", (cut(error="overloaded_error"),), more_requests=1),
    Case("silence", (Raw(silent=True),), more_requests=1),
    Case("a page in place of a stream", (Raw(b"<html>Welcome</html>"),), more_requests=1),
    Case("a stream of no events", (Raw(b"data: {]\n\nevent: x\n\n", "text/event-stream"),), more_requests=1),
    Case("a reply cut at its limit", (text('{"title": "A', stop_reason="max_tokens"),), more_requests=1),
    Case("replies that fail validation twice", (BAD, BAD), more_requests=2),
    Case("tools that do not exist", (use("bash", command="rm -rf /"), use("memory", words=3)), more_requests=2),
    Case("no structured outputs", (Status(400, "output_config: Extra inputs are not permitted"),), more_requests=1),
    Case("no adaptive thinking", (Status(400, "thinking.type: adaptive is not supported"),), more_requests=1),
    Case("no caching", (Status(422, "cache_control is unknown"),), more_requests=1),
    Case("prose in place of JSON", (text("I think that the batch should be larger."),), more_requests=1),
    Case("a whole reply that is not streamed", (WHOLE,)),
    Case("a whole reply without a usage", (replace(WHOLE, body=WHOLE.body.replace(b'"usage"', b'"used"')),)),
    Case("a stream without a usage, by another's words", (bare_stream(json.dumps(DEAD), "stop"),)),
    Case("a stream without its beginnings", (bare_stream(json.dumps(DEAD), "end_turn", start=False),)),
    Case("a call without a tool's name", (bare_stream("", "tool_use", tool=True),), more_requests=1),
    Case("a command that is a list", (use(EDITOR, command=["view"], path="x"),), more_requests=1),
    Case("half of a pair of surrogates", (use(EDITOR, command="view", path="\ud83d"),), more_requests=1),
    Case("a path of 300 characters", (use(EDITOR, command="view", path="x" * 300),), more_requests=1),
    Case("JSON of 3000 levels", (text('{"a":' * 3000),), more_requests=1),
    Case("a number of 5000 digits", (text('{"title": ' + "1" * 5000),), more_requests=1),
    Case("a draft that was thought aloud", (text(f"<think>{json.dumps(DRAFT)}</think>{json.dumps(DEAD)}"),)),
    Case("500 for what it cannot do", (Status(500, "json_schema is not supported by this model"),), more_requests=1),
    Case("a refusal that repeats the request", (ECHO,) * 2, more_requests=2),
    Case("instructions in one string alone", (Status(400, "system: Input should be a valid string"),), more_requests=1),
    Case("a date to wait for", (Status(429, "later", headers={"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT"}),)),
    Case("a spend limit", (SPENT,), "paused, then as undisturbed", "before you do something"),
    Case("a wrong key", (Status(401, "invalid x-api-key"),), "paused, then as undisturbed", "401: invalid"),
    Case("no credit", (Status(400, "Your credit balance is too low"),), "paused, then as undisturbed", "credit"),
    Case(
        "a pause of weeks",
        (Status(429, "later", headers={"retry-after": "4000000"}),),
        "paused, then as undisturbed",
        "longer pause",
    ),
    Case("a refusal", (text("No.", stop_reason="refusal"),), "concluded with the reason", "refused", -3),
    Case("replies that fail validation three times", (BAD,) * 3, "concluded with the reason", "no valid Plan", -1),
    Case(
        "replies cut at their limits",
        (text("{", stop_reason="max_tokens"),) * 2,
        "concluded with the reason",
        "cut at its limit twice",
    ),
    Case("an unknown reason to stop", (text("{}", stop_reason="paws"),), "concluded with the reason", "'paws'"),
    Case("a reply of 10 MB", (text("a" * 10_000_000),), "concluded with the reason", "does not end"),
    Case(
        "a limit above the model's own",
        (Status(400, "max_tokens: 8000 > 4096, which is the maximum"),),
        "concluded with the reason",
        "8000 > 4096",
    ),
    Case("a prompt that is too long", (Status(400, "prompt is too long"),), "concluded with the reason", "too long"),
    Case("an unknown model", (Status(404, "model: priced"),), "an error in a sentence", "refuses the request: 404"),
)


@dataclass
class Outcome:
    """How a case ended, and what was booked and billed, in dollars."""

    code: int
    document: dict[str, Any]
    errors: str
    requests: int
    booked: float
    billed: float
    answered: list[Answer] = field(default_factory=list)

    @property
    def overbooked(self) -> bool:
        """Whether a call broke off after it began, so that it counts with its worst case."""
        return any(broke_off(answer) for answer in self.answered)


def broke_off(answer: Answer) -> bool:
    """Whether an answer is none that the server bills here: what it used is not known, so its worst case counts."""
    if isinstance(answer, Says):
        return answer.cut or bool(answer.error) or len(str(answer.content)) > LONGEST
    return isinstance(answer, Raw)


@contextmanager
def target() -> Iterator[Path]:
    """Give a repository of the target that trains in a tenth of a second, with a model's price."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "plain"
        shutil.copytree(TARGETS / "plain", folder)
        with (folder / "circle.toml").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "The training code")
        yield folder


def session(folder: Path, server: MessagesServer, *options: str) -> tuple[int, str, str]:
    """Start a session with the server's model; return its exit code, its id and what it said."""
    command = ["start", "--turbo", "--researcher", "claude", "--max-versions", "1", *options, "A larger batch"]
    ended = circle(folder, *command, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="k")
    return ended.returncode, session_id(ended.stderr), ended.stderr


def answering(instead: tuple[Answer, ...] = ()) -> Callable[[Request], Answer]:
    """Return what answers with these first, and then as each question asks."""
    waiting = iter(instead)

    def answer(request: Request) -> Answer:
        word = str(request["messages"][0]["content"]).split()[0]
        return next(waiting, None) or REPLIES[word]

    return answer


def billed(server: MessagesServer) -> float:
    """What the server's bill comes to, in dollars."""
    return sum(cost(PRICE, usage).usd for usage in server.bill)


def run(case: Case) -> Outcome:
    """Run a case to the end of its session; one that paused is resumed once."""
    with target() as folder, MessagesServer(answering(case.instead)) as server:
        code, name, errors = session(folder, server)
        if code == 5:
            again = circle(folder, "resume", name, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="k")
            code, errors = again.returncode, errors + again.stderr
            errors += "RESUMED"
        document = shown(folder, name)
        return Outcome(
            code,
            document,
            errors,
            len(server.requests),
            document["spend"]["usd"],
            billed(server),
            list(case.instead),
        )


def complaints(case: Case, ended: Outcome, undisturbed: Outcome) -> list[str]:
    """Say what of a case's promise does not hold; nothing where it was survived."""
    found = []
    codes = {"an error in a sentence": 1}
    if ended.code != codes.get(case.ends, 3):
        found.append(f"exit code {ended.code}")
    if "Traceback" in ended.errors:
        found.append("a traceback")
    if case.words not in ended.errors:
        found.append(f"it does not say {case.words!r}")
    if (case.ends == "paused, then as undisturbed") != ("RESUMED" in ended.errors):
        found.append("it paused, or did not")
    if "as undisturbed" in case.ends and essence(ended.document) != essence(undisturbed.document):
        found.append("another end than without the fault")
    if case.more_requests is not None and ended.requests != undisturbed.requests + case.more_requests:
        found.append(f"{ended.requests} requests, not {undisturbed.requests + case.more_requests}")
    if (ended.overbooked and ended.booked < ended.billed) or (not ended.overbooked and not near(ended)):
        found.append(f"${ended.booked:.6f} booked, ${ended.billed:.6f} billed")
    return found


def near(ended: Outcome) -> bool:
    """Whether what was booked is what was billed, but for the last bits of the sums."""
    return abs(ended.booked - ended.billed) < 1e-9


def essence(document: dict[str, Any]) -> Any:
    """What must be the same with a fault and without."""
    versions = [
        (version["plan"], version["review"], version["verdict"], version["diff_sha256"])
        for version in document["versions"]
    ]
    return document["status"], document["conclusion"], versions


def main() -> None:
    """Run every case and print the table."""
    undisturbed = run(Case("nothing", ()))
    rows, survived, error = [], 0, abs(undisturbed.booked - undisturbed.billed)
    for case in CASES:
        ended = run(case)
        found = complaints(case, ended, undisturbed)
        survived += not found
        if not ended.overbooked:
            error += abs(ended.booked - ended.billed)
        rows.append([case.name, case.ends, "; ".join(found) or "yes", f"{ended.booked:.4f}", f"{ended.billed:.4f}"])
        print(f"{len(rows)}/{len(CASES)} {case.name}: {rows[-1][2]}", flush=True)
    table("Faults of a model", ["fault", "the session ends", "survived", "$ booked", "$ billed"], rows)
    print(f"\n{survived} of {len(CASES)} survived; spend error where no call broke off ${error:.6f}")


if __name__ == "__main__":
    main()
