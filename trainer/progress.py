"""How far a preparation is: a bar on a terminal, a line for each whole shard elsewhere."""

import sys
import time

WIDTH = 30  # characters of the bar
REDRAW = 0.1  # seconds between two drawings of the bar


class Progress:
    """Tokens prepared so far, out of `goal`, which is None where nobody knows; printed on standard error."""

    def __init__(self, tokens: int, goal: int | None) -> None:
        self.tokens, self.goal = tokens, goal
        self.before, self.began = tokens, time.monotonic()
        self.drawn = -REDRAW
        self.terminal = sys.stderr.isatty()

    def add(self, tokens: int) -> None:
        """Counts tokens, and redraws the bar from time to time."""
        self.tokens += tokens
        now = time.monotonic()
        if self.terminal and now - self.drawn >= REDRAW:
            self.drawn = now
            print(f"\r{self.bar()}{self.words()}\x1b[K", end="", file=sys.stderr, flush=True)

    def milestone(self, what: str) -> None:
        """Says on a line of its own that a part is whole."""
        start = "\r\x1b[K" if self.terminal else ""
        print(f"{start}{what}: {self.words()}", file=sys.stderr, flush=True)

    def bar(self) -> str:
        """The share of the goal that is reached, drawn."""
        if self.goal is None:
            return ""
        filled = min(WIDTH, WIDTH * self.tokens // self.goal)
        return f"[{'#' * filled}{'.' * (WIDTH - filled)}] "

    def words(self) -> str:
        """The same in numbers, with the speed since this process began."""
        goal = "" if self.goal is None else f" of {self.goal:,}"
        speed = (self.tokens - self.before) / max(time.monotonic() - self.began, 1e-9)
        return f"{self.tokens:,}{goal} tokens, {speed:,.0f} tok/s"
