"""What a call of a model costs: from the table of the target's settings, then from the one beside this file."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agents.errors import UsageError
from agents.records import Usage
from agents.settings import Model, Price

_MILLION, _BRIEF_WRITE = 1_000_000, 1.25
"""What a cache entry that lasts five minutes costs to write, of the input's price (the same page as prices.toml)."""
FREE = Price(input=0, output=0, cache_write=0, cache_read=0)
_OVERHEAD_TOKENS = 4_000
"""What a server may add to a request by itself: instructions for tools and for structured replies."""


def price_of(model: Model, server: str, *, limited: bool) -> Price:
    """Return a model's price; one of a server of one's own is free where no limit in dollars depends on it.

    Raises:
        UsageError: nobody said what the model costs.
    """
    if model.name in model.prices:
        return model.prices[model.name]
    table = tomllib.loads((Path(__file__).parent / "prices.toml").read_text(encoding="utf-8"))
    if found := table.get(re.sub(r"-\d{8}$", "", model.name)):
        return Price.model_validate(found)
    if is_own(server) and not limited and "claude" not in model.name.lower():
        return FREE
    raise UsageError(
        f"What the model {model.name!r} costs is not known: put [model.prices.{model.name!r}] with input, output, "
        "cache_write and cache_read, in dollars a million tokens, into circle.toml."
    )


def is_own(server: str) -> bool:
    """Whether a server's address is one of this machine or of a private network."""
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host.endswith((".local", ".localhost", ".internal")) or ("." not in host and host != "")


def cost(price: Price, usage: dict[str, Any]) -> Usage:
    """Return what a reply's `usage` object costs; tokens count wherever they came from."""
    fresh, output = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    written, read = _count(usage, "cache_creation_input_tokens"), _count(usage, "cache_read_input_tokens")
    asked = fresh + written + read
    rate = price.long if price.long and price.long_prompt and asked > price.long_prompt else price
    brief = min(written, _count(usage.get("cache_creation") or {}, "ephemeral_5m_input_tokens"))
    usd = fresh * rate.input + (written - brief) * rate.cache_write + brief * _BRIEF_WRITE * rate.input
    usd += read * rate.cache_read + output * rate.output
    return Usage(usd=usd / _MILLION, input_tokens=asked, output_tokens=output, model_calls=1)


def worst_case(price: Price, most_input: int, most_output: int) -> Usage:
    """Return the most that a call can cost: all of its input written to the cache, all of its output used."""
    asked = most_input + _OVERHEAD_TOKENS
    return cost(price, {"cache_creation_input_tokens": asked, "output_tokens": most_output})


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
