"""What a session's calls of a model have used, from its journal alone: reserved before each, settled after it.

A `reserved` entry is written before a request leaves, a `call` entry once it is known how it ended. A process that was
killed in between may have been charged: the request counts with its worst case, and is sent once more.
"""

from __future__ import annotations

from typing import Any

from agents.errors import BudgetSpent
from agents.journal import Journal
from agents.records import Budget, Usage

RESERVED, CALL = "reserved", "call"


def used(journal: Journal) -> Usage:
    """Return what has been used; what was reserved and never settled counts as it was reserved."""
    calls = {key: body["usage"] for key, body in journal.bodies(CALL).items()}
    total = Usage()
    for key, worst in journal.bodies(RESERVED).items():
        total += Usage.model_validate(calls.get(key, worst))
    return total


class Ledger:
    """A session's account of its model."""

    def __init__(self, journal: Journal, budget: Budget) -> None:
        self._journal, self._budget = journal, budget
        self.total = used(journal)

    def affords(self, worst: Usage) -> bool:
        """Whether a call fits into what is left, if it uses all that it can."""
        after, budget = self.total + worst, self._budget
        within_usd = budget.max_usd is None or after.usd <= budget.max_usd
        tokens = after.input_tokens + after.output_tokens
        return within_usd and (budget.max_tokens is None or tokens <= budget.max_tokens)

    def reserve(self, key: str, worst: Usage) -> None:
        """Set aside what a call can use; raise BudgetSpent if the budget has no room for it."""
        if not self.affords(worst):
            raise BudgetSpent(
                f"The budget is spent: {self.total.model_calls} model calls used {_told(self.total)}, and the next one "
                f"may take {_told(worst)} more."
            )
        self._journal.once(RESERVED, key, lambda: worst.model_dump(mode="json"))
        self.total += worst

    def settle(self, key: str, usage: Usage, body: dict[str, Any]) -> dict[str, Any]:
        """Put on record how a reserved call ended, and what it used instead of its worst case."""
        settled: dict[str, Any] = self._journal.once(CALL, key, lambda: body | {"usage": usage.model_dump(mode="json")})
        self.total = used(self._journal)
        return settled


def _told(usage: Usage) -> str:
    return f"${usage.usd:.4f} and {usage.input_tokens + usage.output_tokens:,} tokens"
