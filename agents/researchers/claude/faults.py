"""What a failed call means, and what is done about it: the one policy, since the SDK's own retries are off.

again        429, 408, 409, 5xx, 529, no connection, a cut stream: once more after a pause
pause        401, 402, 403, a spend limit: a person has to do something; the session can be resumed then
unsupported  400 or 422 about a part of the request: this server does without it
broken       a reply that is none of the Messages API: twice more at once
failed       any other 4xx: an error of ours, of the address or of the model's name
too long     the request, or the reply, is longer than the model or we can take
"""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

from agents.plain_text import plain
from agents.records import Record

if TYPE_CHECKING:
    import anthropic

Kind = Literal["again", "pause", "unsupported", "broken", "failed", "too long"]
LONGEST_PAUSE = 60.0
_TOLD = 300
_MONEY = re.compile(r"spend|credit|billing|payment|quota", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"too long|too large|context (window|length)|maximum context|exceed\w* .*tokens|max_tokens: \d+ >|maximum allowed",
    re.IGNORECASE,
)
_FEATURES = {
    "schema": r"output_config|output_format|json_schema|structured",
    "thinking": r"thinking",
    "caching": r"cache_control|caching",
    "editor": r"text_editor|tools?\W+\d+\W+(type|input_schema)|input_schema",
    "forced": r"tool_choice",
    "tools": r"tool",
    "blocks": r"system",
}
"""What a request may do without, and the words by which a server that refuses it is recognised, in this order."""


class Fault(Record):
    """How a call failed; `retry_after` are the seconds that the server asks for at least."""

    kind: Kind
    text: str
    features: tuple[str, ...] = ()
    retry_after: float | None = None


def status_fault(error: anthropic.APIStatusError, *, own_server: bool = False) -> Fault:
    """Return what an answer with an error status means; a server of one's own says 500 of what it cannot do, too."""
    status, text = error.status_code, plain(without_secrets(f"{error.status_code}: {_words(error).rstrip('.')}"), _TOLD)
    after = _seconds(error.response.headers.get("retry-after"))
    whole = f"{error.body or ''} {error.message}"
    if status in (401, 402, 403) or (status in (400, 429) and after is None and _MONEY.search(whole)):
        return Fault(kind="pause", text=text)
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(_words(error))):
        return Fault(kind="too long", text=text)
    if status in (400, 422) or (own_server and status in (500, 501)):
        found = tuple(feature for feature, words in _FEATURES.items() if re.search(words, whole, re.IGNORECASE))
        if found:
            return Fault(kind="unsupported", text=text, features=found)
    if status in (408, 409, 429) or status >= 500 or status < 400:
        return Fault(kind="again", text=text, retry_after=after)
    return Fault(kind="failed", text=text)


def without_secrets(text: str) -> str:
    """Return a server's words without a key that it repeats."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        if secret := os.environ.get(name):
            text = text.replace(secret, "…")
    return text


def pause_before(attempt: int, fault: Fault, backoff: float) -> float:
    """Return the seconds to wait: full jitter below a bound that doubles, and never less than the server asked for.

    Source: M. Brooker, Exponential backoff and jitter (AWS Architecture Blog, 2015).
    """
    most = min(LONGEST_PAUSE, backoff * 2 ** min(attempt, 16))
    return max(random.uniform(0, most), fault.retry_after or 0.0)  # noqa: S311 (no secret hangs on it)


def _words(error: anthropic.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    words = inner.get("message") if isinstance(inner, dict) else None
    return str(words or error.message)


def _seconds(header: str | None) -> float | None:
    """The seconds of a retry-after: a number, or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
