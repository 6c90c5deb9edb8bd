"""The runs of the noise study in memory and in their compact file, and how they vary, alone and in pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, shapiro

from agents.statistics import interval, skewness
from benchmarks.noise.arms import ARMS

Floats = NDArray[np.float64]
Measure = Callable[[dict[str, Any]], float]
FEWEST = 4
"""Pairs without which an arm is left out of the tables."""
BLOCKS = 32
"""Stretches of text into which a split's windows are gathered, one after another."""


def visible(run: dict[str, Any]) -> float:
    """The loss of the whole visible split, nats per token."""
    return float(run["visible"])


def hidden(run: dict[str, Any]) -> float:
    """The loss of the whole hidden split, nats per token."""
    return float(run["hidden"])


def joined(run: dict[str, Any]) -> float:
    """The loss over both splits, which are about equally long: a validation set of twice the size."""
    return (visible(run) + hidden(run)) / 2


def averaged(place: int) -> Measure:
    """The hidden loss of the weights averaged over SHARES[place] of the run."""
    return lambda run: float(run["averaged"][place])


@dataclass(frozen=True)
class Study:
    """The runs of one preset."""

    preset: str
    runs: dict[tuple[str, int], dict[str, Any]]

    def arms(self) -> list[str]:
        """Those with FEWEST seeds or more, the base first."""
        return [arm for arm in ARMS if self.pairs(arm, hidden).shape[1] >= FEWEST]

    def alone(self, arm: str, measure: Measure) -> Floats:
        """[seeds]: the measure of every run of an arm."""
        return np.array([measure(run) for (name, _), run in sorted(self.runs.items()) if name == arm])

    def pairs(self, arm: str, measure: Measure) -> Floats:
        """[2, seeds]: the base's and the arm's measure at every seed that has both."""
        seeds = sorted(seed for name, seed in self.runs if name == arm and ("base", seed) in self.runs)
        return np.array([[measure(self.runs[name, seed]) for seed in seeds] for name in ("base", arm)])

    def gains(self, arm: str, measure: Measure) -> Floats:
        """[seeds]: the arm's gain over the base."""
        base, tried = self.pairs(arm, measure)
        return np.asarray(base - tried)

    def blocks(self, arm: str, split: str) -> Floats:
        """[seeds, BLOCKS]: the arm's gain over the base on every stretch of a split."""
        gains = [self.gains(arm, partial(stretch, split, block)) for block in range(BLOCKS)]
        return np.stack(gains, axis=1)


def stretch(split: str, block: int, run: dict[str, Any]) -> float:
    """The loss of one stretch of a split."""
    return float(run["blocks"][split][block])


def read_studies(path: Path) -> list[Study]:
    """The studies of a compact file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        Study(preset, {(run["arm"], run["seed"]): run for run in runs}) for preset, runs in document["presets"].items()
    ]


def compact(run: dict[str, Any]) -> dict[str, Any]:
    """A trained run in a twentieth of its size: windows gathered into blocks, and no more digits than tell."""
    kept = {name: run[name] for name in ("arm", "seed")}
    kept |= {split: round(run[split], 6) for split in ("visible", "hidden")}
    kept |= {name: [round(loss, 5) for loss in run[name]] for name in ("averaged", "evaluations")}
    kept["train"] = [round(float(part.mean()), 4) for part in np.array_split(run["train"], len(run["train"]) // 2)]
    kept["blocks"] = {
        split: [round(float(block.mean()), 4) for block in np.array_split(losses, BLOCKS)]
        for split, losses in run["windows"].items()
    }
    return kept


def write_compact(path: Path, runs: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Writes the compact file, one run a line."""
    presets = dict.fromkeys(run["preset"] for run in runs)
    parts = []
    for preset in presets:
        mine = sorted((run for run in runs if run["preset"] == preset), key=lambda run: run["seed"])
        lines = [json.dumps(compact(run), separators=(",", ":")) for run in mine]
        parts.append(f"{json.dumps(preset)}: [\n" + ",\n".join(lines) + "\n]")
    head = json.dumps(about)[1:-1]
    path.write_text("{" + head + ',\n"presets": {' + ",\n".join(parts) + "}}\n", encoding="utf-8")


class Spread(NamedTuple):
    """A standard deviation with its 95 % interval, were the values normal."""

    sd: float
    low: float
    high: float


def spread(values: Floats) -> Spread:
    """The standard deviation of values."""
    freedom, sd = len(values) - 1, float(values.std(ddof=1))
    low, high = (sd * math.sqrt(freedom / chi2.ppf(tail, freedom)) for tail in (0.975, 0.025))
    return Spread(sd, low, high)


def correlation(pairs: Floats) -> Spread:
    """Pearson's correlation of two rows, with Fisher's 95 % interval."""
    rho = float(np.corrcoef(pairs[0], pairs[1])[0, 1])
    half = norm.ppf(0.975) / math.sqrt(pairs.shape[1] - 3)
    return Spread(rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))


def noise(studies: list[Study]) -> Iterator[list[Any]]:
    """How the base's runs vary by the seed alone."""
    for study in studies:
        for measure in (visible, hidden):
            values = study.alone("base", measure)
            sd = spread(values)
            skew = skewness(values.tolist())
            worst = (values.max() - values.mean()) / sd.sd
            yield [
                study.preset,
                measure.__name__,
                len(values),
                f"{values.mean():.4f}",
                f"{sd.sd:.4f} [{sd.low:.4f}, {sd.high:.4f}]",
                f"{skew:+.2f}",
                f"{shapiro(values).pvalue:.2f}",
                f"{worst:+.1f} sd",
            ]


def pairing(studies: list[Study]) -> Iterator[list[Any]]:
    """What an arm shares with the base of the same seed, on the hidden split."""
    for study in studies:
        sigma = spread(study.alone("base", hidden)).sd
        for arm in study.arms()[1:]:
            pairs = study.pairs(arm, hidden)
            gains = pairs[0] - pairs[1]
            sd, rho, mean = spread(gains), correlation(pairs), interval(gains.tolist())
            yield [
                study.preset,
                arm,
                len(gains),
                f"{mean.mean / sigma:+.2f} [{mean.low / sigma:+.2f}, {mean.high / sigma:+.2f}]",
                f"{sd.sd / sigma:.2f} [{sd.low / sigma:.2f}, {sd.high / sigma:.2f}]",
                f"{rho.sd:+.2f} [{rho.low:+.2f}, {rho.high:+.2f}]",
                f"{100 * (1 - sd.sd**2 / pairs.var(1, ddof=1).sum()):.0f} %",
            ]
