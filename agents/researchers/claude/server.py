"""A server that speaks the Messages API: one request, streamed, paid for and put on record, whatever happens to it.

A request that was answered once is never sent again: the journal holds the reply under the request's hash. SDK retries
are off; agents/researchers/claude/faults.py is the policy.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from agents.errors import CircleError, Interrupted, Paused, Unanswered
from agents.journal import Journal
from agents.ledger import CALL, RESERVED, Ledger
from agents.plain_text import plain
from agents.ports import Reporter
from agents.records import Usage, canonical, digest
from agents.researchers.claude.faults import Fault, pause_before, status_fault
from agents.researchers.claude.prices import cost, worst_case
from agents.researchers.claude.stream import LONGEST, Message, TooLong, events
from agents.settings import Model, Price

if TYPE_CHECKING:
    import anthropic

HOME = "https://api.anthropic.com"
_LONGEST_CALL, _TOLD = 3600.0, 200
_COUNTED_MARGIN, _BROKEN_REPLIES = 1.1, 2


class Unsupported(Exception):
    """The server refused a part of the request; `features` are what it may be about, likeliest first."""

    def __init__(self, features: tuple[str, ...], text: str) -> None:
        super().__init__(text)
        self.features = features


def address() -> str:
    """Return the server's address: ANTHROPIC_BASE_URL, else Anthropic's own."""
    return (os.environ.get("ANTHROPIC_BASE_URL") or HOME).rstrip("/")


def shown_address() -> str:
    """Return the server's address as it may be told: without a name and a password in it."""
    parts = urlsplit(address())
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def has_access() -> bool:
    """Whether the environment names a key, or a server that may do without one."""
    return any(os.environ.get(name) for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"))


def connect(silence_seconds: float) -> anthropic.Anthropic:
    """Return the SDK's client without retries of its own; a server of one's own needs no key."""
    import anthropic
    import httpx2

    keyless = not any(os.environ.get(name) for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
    timeout = httpx2.Timeout(silence_seconds, connect=10.0)
    return anthropic.Anthropic(
        base_url=address(), max_retries=0, timeout=timeout, api_key="none" if keyless and address() != HOME else None
    )


def counted_tokens(client: anthropic.Anthropic, asked: dict[str, Any]) -> int | None:
    """Return the tokens of a request as the server counts them; None where it does not."""
    import anthropic
    import httpx2

    try:
        found = getattr(client.messages.count_tokens(**asked), "input_tokens", None)
    except (anthropic.APIError, httpx2.HTTPError, ValueError):
        return None
    return found if isinstance(found, int) else None


@dataclass
class Server:
    """The model's server, for one session. `stopped` says whether the session was asked to stop."""

    model: Model
    price: Price
    journal: Journal
    ledger: Ledger
    report: Reporter
    stopped: Callable[[], bool]
    counts_tokens: bool = field(default=True, init=False)

    def send(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the whole reply to a request.

        Raises:
            Unsupported: the server does not know a part of the request.
            BudgetSpent: the worst case of the call does not fit into the budget.
            Unanswered: the request or the reply is too long.
            Paused: a person has to do something, or patience has ended.
            Interrupted: the session was asked to stop while it waited.
            CircleError: the request was refused for another reason.
        """
        identity = digest(request)[:32]
        deadline = time.monotonic() + self.model.patience_hours * 3600
        for attempt in count():
            key = f"{identity}/{attempt}"
            ended, fresh = self.journal.find(CALL, key), False
            if ended is None and (worst := self.journal.find(RESERVED, key)) is not None:
                killed = Fault(kind="again", text="the process was killed while it waited for the reply")
                ended = self.ledger.settle(key, Usage.model_validate(worst), {"fault": killed.model_dump()})
            elif ended is None:
                ended, fresh = self._attempt(key, request), True
            if "message" in ended:
                message: dict[str, Any] = ended["message"]
                return message
            self._bear(Fault.model_validate(ended["fault"]), attempt, deadline, fresh)
        raise AssertionError("count() has no end")

    def _attempt(self, key: str, request: dict[str, Any]) -> dict[str, Any]:
        worst = self._worst(request)
        self.ledger.reserve(key, worst)
        self.report("asking", usage=self.ledger.total)
        ended, usage = sent(self._client, request, self.price)
        settled = self.ledger.settle(key, usage, ended)
        self.report("usage", usage=self.ledger.total)
        return settled

    def _bear(self, fault: Fault, attempt: int, deadline: float, fresh: bool) -> None:
        """Do what a fault asks for; of one that is on record only what no time changes."""
        if fault.kind == "unsupported":
            raise Unsupported(fault.features, fault.text)
        if not fresh:
            return
        where = f"{self.model.name} at {shown_address()}"
        if fault.kind == "broken" and attempt < _BROKEN_REPLIES:
            return
        if fault.kind in ("too long", "broken"):
            raise Unanswered(f"{where} cannot answer: {fault.text}.")
        if fault.kind == "failed":
            raise CircleError(f"{where} refuses the request: {fault.text}.")
        if fault.kind == "pause":
            raise Paused(f"{where} takes no call before you do something: {fault.text}.")
        seconds = pause_before(attempt, fault, self.model.backoff_seconds)
        if time.monotonic() + seconds > deadline:
            hours = f"{self.model.patience_hours:g} hours"
            raise Paused(f"{where} has not answered within {hours}, or asks for a longer pause: {fault.text}.")
        self.report("waiting", seconds=seconds, reason=fault.text)
        self._wait(time.monotonic() + seconds)

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            if self.stopped():
                raise Interrupted
            time.sleep(min(left, 0.5))

    def _worst(self, request: dict[str, Any]) -> Usage:
        """The most that a request can cost: no token is shorter than a byte; if too much, the server counts."""
        worst = worst_case(self.price, len(canonical(request).encode()), request["max_tokens"])
        if not self.ledger.affords(worst) and self.counts_tokens and (counted := self._counted(request)):
            return worst_case(self.price, counted, request["max_tokens"])
        return worst

    def _counted(self, request: dict[str, Any]) -> int | None:
        names = ("model", "messages", "system", "tools")
        asked: dict[str, Any] = {name: request[name] for name in names if name in request}
        tokens = counted_tokens(self._client, asked)
        self.counts_tokens = tokens is not None
        return None if tokens is None else round(tokens * _COUNTED_MARGIN)

    @cached_property
    def _client(self) -> anthropic.Anthropic:
        return connect(self.model.silence_seconds)


def sent(client: anthropic.Anthropic, request: dict[str, Any], price: Price) -> tuple[dict[str, Any], Usage]:
    """Send a request once; return the reply or the fault, and what it used.

    A call that reached the server and broke off may have been charged to the end, so it counts with all that it could
    use; so does what a reply's usage leaves out.
    """
    import anthropic
    import httpx2

    message, reached = Message(), True
    try:
        _receive(client, request, message)
        body = message.body()
    except anthropic.APIStatusError as error:
        fault, reached = status_fault(error, own_server=address() != HOME), message.begun
    except (anthropic.APIError, httpx2.HTTPError) as error:
        fault = Fault(kind="again", text=f"the connection failed: {str(error).rstrip('.')}")
        reached = not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    except TooLong:
        fault = Fault(kind="too long", text="the reply does not end")
    except (ValueError, RecursionError) as error:
        fault = Fault(kind="broken", text=f"the reply is none of the Messages API: {plain(str(error), _TOLD)}")
    else:
        if body["stop_reason"]:
            said = {"output_tokens": len(canonical(body["content"]))}
            return {"message": body}, cost(price, _bounds(request) | said | message.usage)
        fault = Fault(kind="again", text="the stream was cut before its end")
    most = _bounds(request) | message.usage | {"output_tokens": request["max_tokens"]}
    return {"fault": fault.model_dump()}, cost(price, most) if reached else Usage()


def _receive(client: anthropic.Anthropic, request: dict[str, Any], message: Message) -> None:
    """Take up what the server answers; a whole reply is taken where it does not stream."""
    ends = time.monotonic() + _LONGEST_CALL
    with client.messages.create(**request, stream=True) as stream:
        kind = stream.response.headers.get("content-type", "")
        if "json" in kind:
            message.whole(json.loads(stream.response.read()[: 4 * LONGEST]))
            return
        if "event-stream" not in kind:
            raise ValueError(f"its type is {kind!r}, not an event stream")
        for event in events(stream):
            message.add(event)
            if time.monotonic() > ends:
                raise TooLong


def _bounds(request: dict[str, Any]) -> dict[str, int]:
    """What a reply without a usage counts as: no token is shorter than a byte."""
    return {"input_tokens": len(canonical(request).encode())}
