"""The noise study: what its arms share and what they do not, killed training, and arithmetic with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.lines import read_runs
from benchmarks.noise import __main__ as command
from benchmarks.noise import rules, savings
from benchmarks.noise.arms import ARMS
from benchmarks.noise.runs import tasks, train_all
from benchmarks.noise.study import Study, hidden, read_studies, write_compact
from benchmarks.shapes import prepare_data
from trainer.config import PRESETS

STEPS = 10
TOKENS = STEPS * PRESETS["smoke"].tokens_per_step
PAGE = command.ROOT / "docs" / "research" / "noise.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of one seed's runs, all arms, on a part of the corpus; and that part."""
    folder = tmp_path_factory.mktemp("noise")
    data = prepare_data(folder, replace(PRESETS["smoke"], train_tokens=TOKENS))
    path = folder / "smoke.jsonl"
    assert train_all(path, tasks("smoke", 1, data, TOKENS), workers=2) == len(ARMS)
    return path, data


def test_each_arm_shares_what_its_name_says(trained: tuple[Path, Path]) -> None:
    """The loss before the first update is that of the initial weights; twins part by less than anything else."""
    runs = {run["arm"]: run for run in read_runs(trained[0])}
    first = {arm: run["evaluations"][0] for arm, run in runs.items()}
    assert first["base"] == first["twin"] == first["order"] == first["decay"] != first["init"]
    curves = {arm: np.array(run["train"]) for arm, run in runs.items()}
    apart = {arm: np.abs(curve - curves["base"]).max() for arm, curve in curves.items()}
    assert apart["twin"] < min(apart["order"], apart["init"]) / 5
    assert runs["twin"]["hidden"] != runs["base"]["hidden"]


def test_a_run_keeps_means_over_whole_splits(trained: tuple[Path, Path]) -> None:
    """Windows add up to the loss; of 10 steps the last twentieth is one, whose average is the last weights."""
    for run in read_runs(trained[0]):
        assert np.mean(run["windows"]["hidden"]) == pytest.approx(run["hidden"], abs=0.01)
        assert run["averaged"][0] == pytest.approx(run["hidden"], abs=1e-5) and run["averaged"][2] != run["averaged"][0]


def test_a_killed_training_goes_on(trained: tuple[Path, Path]) -> None:
    """A line that was cut short is run again and comes out the same; nothing else is."""
    path, data = trained
    before = {run["arm"]: run for run in read_runs(path)}
    whole = path.read_text()
    path.write_text(whole[:-40])
    assert train_all(path, tasks("smoke", 1, data, TOKENS), workers=1) == 1
    after = {run["arm"]: run for run in read_runs(path)}
    assert {arm: run["windows"] for arm, run in after.items()} == {arm: run["windows"] for arm, run in before.items()}
    assert train_all(path, tasks("smoke", 1, data, TOKENS), workers=1) == 0


def test_the_compact_file_holds_what_the_tables_need(trained: tuple[Path, Path], tmp_path: Path) -> None:
    write_compact(tmp_path / "noise.json", read_runs(trained[0]), {"command": "…"})
    (study,) = read_studies(tmp_path / "noise.json")
    assert study.runs.keys() == {(arm, 1) for arm in ARMS} and not study.arms(), "one seed is not enough for a table"
    gain = study.gains("order", hidden)
    assert gain.shape == (1,) and study.blocks("order", "hidden").mean() == pytest.approx(gain[0], abs=0.01)


def made_up(seeds: int, text: float, rng: np.random.Generator) -> Study:
    """Twins whose gain has variance 1 by the seed, plus `text` by each split."""
    runs: dict[tuple[str, int], dict[str, Any]] = {}
    for seed in range(seeds):
        own, noise = rng.standard_normal(), np.sqrt(text) * rng.standard_normal(2)
        runs["base", seed] = {"visible": 0.0, "hidden": 0.0}
        runs["twin", seed] = {"visible": own + noise[0], "hidden": own + noise[1]}
    return Study("made up", runs)


def test_the_split_s_share_of_the_variance_is_found(rng: np.random.Generator) -> None:
    """Where half of the variance is the split's, a split twice as large saves a quarter."""
    study = made_up(4_000, 1.0, rng)
    pair = np.stack([study.gains("twin", measure) for measure in (savings.visible, hidden)])
    assert savings.finite_share(pair) == pytest.approx(0.5, abs=0.05)
    assert savings.variance_of_twice(pair) == pytest.approx(0.75, abs=0.05)
    stretches = rng.standard_normal((4_000, 1)) + np.sqrt(savings.BLOCKS) * rng.standard_normal((4_000, savings.BLOCKS))
    assert savings.interaction(stretches + rng.standard_normal(savings.BLOCKS)) == pytest.approx(1.0, abs=0.05)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_line_is_found_and_noise_is_not(rng: np.random.Generator) -> None:
    covariate, rest = rng.standard_normal((2, 200))
    assert savings.unexplained(covariate, 3 * covariate + rest) == pytest.approx(0.1, abs=0.04)
    assert savings.unexplained(covariate, rest) > 0.98


def test_the_regression_on_a_bank_is_unbiased(rng: np.random.Generator) -> None:
    """The effect, 0.7, comes out on average, whatever the correlation; a bank of the pairs alone changes nothing."""
    found = []
    for _ in range(4_000):
        base = rng.standard_normal(10)
        found.append(savings.shrunk(base, 0.5 * base + rng.standard_normal(10) - 0.7, 0.0))
    assert np.mean(found) == pytest.approx(0.7, abs=0.03)
    base, tried = rng.standard_normal((2, 10))
    assert savings.shrunk(base, tried, float(base.mean())) == pytest.approx((base - tried).mean())


def test_sessions_are_drawn_from_real_runs(rng: np.random.Generator) -> None:
    """Paired, every pair is one seed's twins, in either order; unpaired, the twins are left out."""
    losses = np.stack([np.arange(60.0), np.arange(60.0) + 0.5])
    pool = rules.Noise(losses, losses + 100)
    for _ in range(50):
        floor, screened, bank, confirmed = rules.paired(pool, rng)
        differences = np.concatenate([floor - screened, bank - confirmed])
        assert set(np.abs(differences)) == {0.5} and len(set(differences)) == 2
        for floor, screened, bank, confirmed in (rules.paired(pool, rng), rules.unpaired(pool, rng)):
            assert max(floor.max(), screened.max()) < 100 <= min(bank.min(), confirmed.min())
        assert set(np.concatenate(rules.unpaired(pool, rng)) % 1) == {0.0}


def test_rules_tell_a_gulf_from_nothing(rng: np.random.Generator) -> None:
    """A gain of 20 sigma wins by every rule, at the cost that each has; a loss of 20 by none."""
    noise = rng.standard_normal((4, 16))
    session = rules.Session(noise[0, : rules.FLOOR], noise[1, : rules.FLOOR], noise[2], noise[3])
    for name, rule in rules.RULES.items():
        assert rule(rules.better(session, 20.0)).claimed, name
        assert not rule(rules.better(session, -20.0)).claimed, name
    assert rules.RULES["Circle's rule"](rules.better(session, -20.0)).runs == 2
    first = rules.BOUNDARIES["standard"][0].n
    assert rules.RULES["Circle's rule"](rules.better(session, 20.0)).runs == rules.SCREENED + 2 * first


def test_the_page_prints_what_the_command_prints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every row of the page is the command's, but for those that hang on the number of sessions; so is the figure."""
    figure = tmp_path / "noise.svg"
    command.main(["--sessions", "20", "--figure", str(figure)])
    printed = capsys.readouterr().out.splitlines()
    told = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| cpu", "| smoke"))]
    assert len(told) > 30 and not [line for line in told if line not in printed and " / " not in line]
    assert figure.read_text() == (PAGE.parent / "noise.svg").read_text()
