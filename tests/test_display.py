"""What a person sees: lines, and on a terminal the runs as they go."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from agents.display import Display
from agents.records import Run


def a_run(**changes: object) -> Run:
    """Return a run's record."""
    fields: dict[str, object] = {
        "key": "k",
        "arm": "baseline",
        "stage": "floor",
        "seed": 7,
        "commit": "c",
        "flags": (),
        "train_tokens": 1000,
        "status": "done",
        "visible": 4.25,
        "train_seconds": 2.0,
    }
    return Run.model_validate(fields | changes)


def test_a_terminal_shows_the_node_and_the_running_runs() -> None:
    text = StringIO()
    display = Display(Console(file=text, force_terminal=True, width=120))
    display("node", name="baseline")
    display("run started", key="k", arm="baseline", stage="floor", seed=7, train_tokens=1000)
    display("step", key="k", step=5, steps=10, loss=3.5)
    display("an event that nobody knows", detail=1)
    shown = display._table()
    Console(file=text, width=120).print(shown)
    display("run ended", key="k", run=a_run())
    display.close()
    for words in (
        "baseline",
        "floor baseline seed 7",
        "at most 0 runs",
        "step 5/10",
        "loss 3.5000",
        "tokens/s",
        "s left",
        "4.25, 2.0 s",
    ):
        assert words in text.getvalue(), words


def test_a_failed_run_says_why() -> None:
    text = StringIO()
    display = Display(Console(file=text, width=120))
    display("run started", key="k", arm="experiment", stage="screen", seed=7, train_tokens=1000)
    display("run ended", key="k", run=a_run(status="crashed", visible=None, error="ValueError: lost"))
    display.close()
    assert "ValueError: lost" in text.getvalue()
