"""Mirrors a session's curves and verdicts to TensorBoard or MLflow, for people who look there already.

Nothing is read from there, and no number of the hidden split goes there but a victory's.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agents.errors import CircleError, UsageError
from agents.ports import Reporter

if TYPE_CHECKING:
    from agents.records import Run, Verdict, Victory
    from agents.session import Opened

TRACKERS = ("tensorboard", "mlflow")
Points = Sequence[tuple[int, float]]


class Mirror(Protocol):
    """Where curves are shown: one entry for each run, and one for each verdict."""

    place: str

    def write(self, name: str, scalars: dict[str, Points], words: dict[str, str]) -> None:
        """Add an entry: its scalars by name, each as (step, value), and what is said of it."""
        ...


def check_tracker(name: str) -> str:
    """Return the name of a tracker; raise UsageError if there is none of that name, or it is not installed."""
    if not name:
        return name
    if name not in TRACKERS:
        raise UsageError(f"There is no tracker {name!r}; there are: {', '.join(TRACKERS)}.")
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise UsageError(f"{name} is not installed: pip install 'circle-research[{name}]'.")
    return name


@contextmanager
def tracked(opened: Opened, report: Reporter) -> Iterator[Reporter]:
    """Give a reporter that also mirrors what it hears to the session's tracker, if it has one."""
    session = opened.session
    if not session.track:
        yield report
        return
    check_tracker(session.track)
    mirror: Mirror = TensorBoard(opened.folder / "tensorboard") if session.track == "tensorboard" else MLflow(opened)
    report("tracking", text=mirror.place)
    yield _Tracking(mirror, report)


class _Tracking:
    """Passes every event on, and mirrors runs, verdicts and the victory."""

    def __init__(self, mirror: Mirror, report: Reporter) -> None:
        self._mirror, self._report, self._lock = mirror, report, threading.Lock()

    def __call__(self, event: str, **details: Any) -> None:
        self._report(event, **details)
        if event == "run ended":
            self._run(details["run"])
        elif event == "verdict":
            self._verdict(details["version"], details["verdict"])
        elif event == "victory":
            self._victory(details["victory"])

    def _run(self, run: Run) -> None:
        scalars = {"loss": list(zip(run.loss_steps, run.losses, strict=True))}
        scalars |= {name: [(run.steps, value)] for name, value in (("visible", run.visible),) if value is not None}
        if run.seconds_per_step:
            scalars["seconds per step"] = [(run.steps, run.seconds_per_step)]
        words = {"status": run.status, "flags": " ".join(run.flags), "commit": run.commit}
        self._write(f"{run.stage} {run.arm} seed {run.seed} {run.key[:6]}", scalars, words)

    def _verdict(self, version: int, verdict: Verdict) -> None:
        outcome = " ".join(filter(None, [verdict.outcome, verdict.cause]))
        scalars = {verdict.quantity: [(version, verdict.value)]} if verdict.value is not None else {}
        self._write(f"V{version} {outcome}", scalars, {"outcome": outcome, "finding": verdict.finding})

    def _victory(self, victory: Victory) -> None:
        low, high = victory.ci
        numbers = {"effect": victory.effect, "effect, low": low, "effect, high": high}
        self._write("victory", {name: [(0, value)] for name, value in numbers.items()}, {"branch": victory.branch})

    def _write(self, name: str, scalars: dict[str, list[tuple[int, float]]], words: dict[str, str]) -> None:
        finite = {key: [(at, value) for at, value in points if math.isfinite(value)] for key, points in scalars.items()}
        with self._lock:
            self._mirror.write(name, {key: points for key, points in finite.items() if points}, words)


class TensorBoard:
    """A folder of event files, one folder in it for each entry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = f"tensorboard --logdir {folder}"

    def write(self, name: str, scalars: dict[str, Points], words: dict[str, str]) -> None:
        """Write an entry's scalars; TensorBoard has no place for its words but its name."""
        from tensorboard.summary import Writer

        writer = Writer(str(self._folder / name))
        for key, points in scalars.items():
            for step, value in points:
                writer.add_scalar(key, value, step)
        writer.close()


class MLflow:
    """An experiment by the session's id, at $MLFLOW_TRACKING_URI or in a database of the target's own."""

    def __init__(self, opened: Opened) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{opened.home.folder / 'mlflow.db'}"
        self._refused = MlflowException
        self.place = f"mlflow, the experiment circle-{opened.session.id} at {uri}"
        with self._told():
            self._client = MlflowClient(tracking_uri=uri)
            name = f"circle-{opened.session.id}"
            known = self._client.get_experiment_by_name(name)
            self._experiment = known.experiment_id if known else self._client.create_experiment(name)

    def write(self, name: str, scalars: dict[str, Points], words: dict[str, str]) -> None:
        """Write an entry as a run of the experiment."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._told():
            run = self._client.create_run(self._experiment, run_name=name, tags=words)
            metrics = [
                Metric(re.sub(r"[^\w .:/-]", "", key), value, now, step)
                for key, points in scalars.items()
                for step, value in points
            ]
            for first in range(0, len(metrics), _BATCH):
                self._client.log_batch(run.info.run_id, metrics=metrics[first : first + _BATCH])
            self._client.set_terminated(run.info.run_id)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self._refused, OSError) as error:
            raise CircleError(f"{self.place} cannot be written: {error}. --track names what is mirrored.") from error


_BATCH = 1000
