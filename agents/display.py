"""What a person sees while a session runs: a line for each thing decided, and the runs as they go."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents.plain_text import plain
from agents.records import Experiment, Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table


@dataclass
class _Going:
    """A run that is being trained."""

    name: str
    tokens: int
    started: float = field(default_factory=time.monotonic)
    step: int = 0
    steps: int = 0
    loss: float = float("nan")

    @property
    def tokens_per_second(self) -> float:
        seconds = time.monotonic() - self.started
        return self.tokens * self.step / self.steps / seconds if self.steps and seconds else 0.0

    @property
    def seconds_left(self) -> float:
        seconds = time.monotonic() - self.started
        return seconds * (self.steps - self.step) / self.step if self.step else 0.0


class Display:
    """A Reporter that writes to standard error; on a terminal the running runs are shown live below the lines."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.RLock()
        self._going: dict[str, _Going] = {}
        self._node, self._ended, self._pairs = "", 0, 0
        self._most_runs, self._runs_a_version, self._seconds = 0, 0, 0.0
        self._usage, self._asking = None, False
        self._live = self._open_live() if console.is_terminal else None

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def __call__(self, event: str, **details: Any) -> None:
        """Show an event; one that is not known here is not shown."""
        with self._lock:
            show = getattr(self, f"_on_{event.replace(' ', '_')}", None)
            if show is not None:
                show(**details)
            if self._live:
                self._live.update(self._table())

    def _say(self, subject: str, text: str) -> None:
        self._console.print(f"[bold]{subject:<11}[/bold]", end="", highlight=False)
        self._console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    def _on_node(self, name: str) -> None:
        self._node = name

    def _on_forecast(self, forecast: Any, metric: str) -> None:
        self._most_runs, self._runs_a_version = forecast.most_runs, forecast.runs_a_version
        unit = (
            f"{forecast.smallest_effect:.1f} sigma of" if forecast.in_sigmas else f"{forecast.smallest_effect:.4f} in"
        )
        self._say(
            "expect",
            f"{forecast.fewest_runs} to {forecast.most_runs} runs a version, about {_span(forecast)}; the smallest "
            f"effect that they can prove is {unit} {metric}, less where the arms vary together",
        )
        if forecast.warning:
            self._say("budget", forecast.warning)

    def _on_branch(self, session: str, text: str) -> None:
        if not text.startswith("run "):
            self._say(session[-4:], text)

    def _on_tracking(self, text: str) -> None:
        self._say("tracking", text)

    def _on_trying(self, script: str, length: int) -> None:
        self._say("trying", f"{script} with a length of {length}")

    def _on_preparing_data(self) -> None:
        self._say("data", "being prepared from the base commit")

    def _on_cluster(self, text: str) -> None:
        self._say("cluster", text)

    def _on_baseline(self, baseline: Any) -> None:
        origin = "recorded earlier, one seed run again and equal" if baseline.reused else "measured now"
        self._say(
            "baseline",
            f"{baseline.metric} {baseline.mean:.4f} ± {baseline.std:.4f} over {baseline.n} seeds, {origin}",
        )

    def _on_plan(self, version: Any, before: Any) -> None:
        self._pairs, self._most_runs = 0, self._ended + self._runs_a_version
        flags = " ".join(f"{flag.name}={flag.value}" for flag in version.plan.flags)
        self._say(f"V{version.n} plan", f"{version.plan.title} ({flags})")
        if before:
            cause = f" by {before.cause}" if before.cause else ""
            self._say("memory", f"tried before on other code: session {before.session}, {before.outcome}{cause}")

    def _on_patch(self, version: int, patch: Any) -> None:
        files = ", ".join(patch.files) or "no file, flags alone"
        self._say(f"V{version} patch", f"{patch.commit[:12]} touches {files}; diff {patch.diff_sha256[:12]}…")

    def _on_review(self, version: int, review: Any) -> None:
        critical = [issue for issue in review.issues if issue.severity == "CRITICAL"]
        remarks = f"{len(review.issues)} remark{'' if len(review.issues) == 1 else 's'}"
        self._say(f"V{version} review", f"passed, {remarks}" if review.passed else f"failed: {critical[0].issue}")

    def _on_approval(self, version: int, approval: Any) -> None:
        words = f": {approval.comment}" if approval.comment else ""
        self._say(f"V{version} diff", f"{approval.decision} by {approval.by}{words}")

    def _on_regression(self, version: int, regression: Any) -> None:
        self._say(f"V{version} gate", regression.reason)

    def _on_screen(self, version: int, runs: int, decision: str, gain: Any, sigma: float) -> None:
        if decision == "more":
            return
        said = "promising, not proved" if decision == "survives" else "not promising"
        size = f"visible gain {gain.mean:+.4f}, {gain.mean / sigma:+.1f} sigma"
        self._say(f"V{version} screen", f"{said} after {runs} runs ({size}); this claims nothing")

    def _on_look(self, pairs: int, decision: str) -> None:
        words = {"more": "open, more pairs", "win": "beaten", "refused": "not beaten"}[decision]
        self._say("look", f"after {pairs} pairs on fresh seeds: {words}")

    def _on_experiment(self, version: int, experiment: Experiment) -> None:
        seen = experiment.visible_effect
        effect = f"visible gain {seen.mean:+.4f} [{seen.low:+.4f}, {seen.high:+.4f}]" if seen else "no gain measured"
        speed = f", step time x{experiment.speed_ratio.mean:.3f}" if experiment.speed_ratio else ""
        self._say(f"V{version} runs", f"{len(experiment.pairs)} pairs, {effect}{speed}, ended: {experiment.ended}")

    def _on_verdict(self, version: int, verdict: Any) -> None:
        cause = f" by {verdict.cause}" if verdict.cause else ""
        self._say(f"V{version} verdict", f"{verdict.outcome}{cause}. {verdict.finding}")

    def _on_revision(self, version: int, revision: Any) -> None:
        self._say(f"V{version} next", revision.change)

    def _on_robustness(self, version: int, result: Any) -> None:
        self._say(f"V{version} check", result.finding)

    def _on_asking(self, usage: Any) -> None:
        self._usage, self._asking = usage, True

    def _on_usage(self, usage: Any) -> None:
        self._usage, self._asking = usage, False

    def _on_waiting(self, seconds: float, reason: str) -> None:
        self._say("model", f"waits {seconds:.0f} s: {reason}")

    def _on_campaign(self, text: str) -> None:
        self._say("campaign", text)

    def _on_victory(self, victory: Any) -> None:
        low, high = victory.ci
        self._say("victory", f"effect {victory.effect:+.4f}, 95 % [{low:+.4f}, {high:+.4f}], on {victory.branch}")

    def _on_conclusion(self, reason: str) -> None:
        self._say("concluded", f"without a victory. {reason}")

    def _on_run_started(self, key: str, arm: str, stage: str, seed: int, train_tokens: int) -> None:
        self._going[key] = _Going(f"{stage} {arm} seed {seed}", train_tokens)

    def _on_step(self, key: str, step: int, steps: int, loss: float) -> None:
        going = self._going[key]
        going.step, going.steps, going.loss = step, steps, loss

    def _on_run_ended(self, key: str, run: Run) -> None:
        going = self._going.pop(key)
        self._ended += 1
        self._seconds += run.train_seconds
        self._pairs += run.arm == "experiment" and run.stage in ("screen", "confirm")
        value = run.visible if run.visible is not None else run.hidden if run.stage == "floor" else None
        shown = f"{value:.6g}" if value is not None else run.error or run.status
        self._say("run", f"{self._ended:>3}  {going.name}: {shown}, {run.train_seconds:.1f} s")

    def _open_live(self) -> Live:
        from rich.live import Live

        live = Live(console=self._console, refresh_per_second=4, transient=True)
        live.start()
        return live

    def _table(self) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        left = max(0, self._most_runs - self._ended)
        minutes = left * self._seconds / max(1, self._ended) / 60 / max(1, len(self._going))
        done = f"{self._ended} runs and {self._pairs} pairs done"
        table.add_row(f"[bold cyan]{self._node}[/]", done, f"at most {left} runs", f"and {minutes:.0f} min left", "")
        if self._usage is not None:
            used, name = self._usage, "the model is asked" if self._asking else "the model"
            tokens = f"{used.input_tokens:,} in, {used.output_tokens:,} out"
            table.add_row("", name, f"{used.model_calls} calls", tokens, f"${used.usd:.4f}")
        for going in self._going.values():
            progress = f"step {going.step}/{going.steps}" if going.steps else "starting"
            speed = f"{going.tokens_per_second:,.0f} tokens/s, {going.seconds_left:.0f} s left"
            table.add_row("", going.name, progress, f"loss {going.loss:.4f}", speed)
        return table


def _span(forecast: Any) -> str:
    """The shortest and the longest time that is expected, in seconds where minutes would be none."""
    fewest, most = forecast.fewest_minutes, forecast.most_minutes
    return f"{fewest:.0f} to {most:.0f} minutes" if most >= 2 else f"{60 * fewest:.0f} to {60 * most:.0f} seconds"
