"""The bank and the loops that are played on it: draws with known moments, loops with known mistakes, real runs."""

from __future__ import annotations

import importlib
import json
import math
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bank.__main__ import keep
from benchmarks.bank.arms import DEAD_FLAG, Arm, arms
from benchmarks.bank.player import Player, play
from benchmarks.bank.runs import Nursery, Task, tasks
from benchmarks.bank.truth import SPLITS, Change, Idea, Truth, read_truth
from benchmarks.lines import read_runs
from benchmarks.loops import LOOPS
from benchmarks.sessions import School, Trained, queue

study = importlib.import_module("benchmarks.yield")
SEEDS, SIGMA = 16, 0.01


def change(name: str, gain: float, *, noise: float = 0.3, kind: str = "idea", **about: object) -> Change:
    """A change that gains so many sigmas on every split, with paired noise."""
    rng = np.random.default_rng(len(name))
    rows = rng.standard_normal((SEEDS, len(SPLITS)))
    exact = (rows - rows.mean(0)) / rows.std(0, ddof=1)
    return Change(name, kind, SIGMA * (gain + noise * exact), **about)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def truth() -> Truth:
    """A small world: one useful idea, one that is saved by its second version, harm, nothing, and a cheat."""
    rng = np.random.default_rng(0)
    base = 3.5 + SIGMA * np.repeat(rng.standard_normal((SEEDS, 1)), len(SPLITS), axis=1)
    cheat = change("cheat", 0, stopped_by="evaluation", kind="cheat")
    cheat.gains[:, SPLITS.index("reported")] += 20 * SIGMA
    ideas = (
        Idea("good", (change("good", 3),)),
        Idea("slow", (change("slow/first", 2, slowdown=1.5), change("slow/fast", 2, answers=("system",)))),
        Idea("harm", (change("harm", -2),)),
        Idea("nothing", (change("nothing", 0, kind="null"),)),
        Idea("cheat", (cheat,)),
    )
    return Truth(base, kappa=0.2, stretched=change("stretched", 4).gains, ideas=ideas)


def claims(truth: Truth, loop: str, name: str, budget: float = 300) -> list[str]:
    """What a loop keeps that is given one idea over and over, each as new."""
    idea = next(idea for idea in truth.ideas if idea.name == name)
    player = Endless(truth, repeat(idea), np.random.default_rng(1), budget)
    kept = play(LOOPS[loop], player)
    assert all(claim.spent <= budget for claim in kept) and budget - 60 < player.spent <= budget
    return [part.name for claim in kept for part in claim.change.parts]


class Endless(Player):
    """A player whose ideas gain again each time that they are proposed."""

    def keep(self, change: Change) -> None:
        """Nothing is in."""


def test_draws_have_the_moments_of_the_bank() -> None:
    """Means, deviations and correlations survive the smoothing; a null arm's mean does not."""
    gains = change("any", 2, noise=0.5).gains
    gains[:, 2] = 0.6 * gains[:, 1] + 0.4 * gains[:, 2]
    drawn = Change("any", "idea", gains).draw(np.random.default_rng(2), 200_000)
    assert drawn.mean(0) == pytest.approx(gains.mean(0), abs=2e-4)
    assert drawn.std(0) == pytest.approx(gains.std(0, ddof=1), rel=0.03)
    assert np.corrcoef(drawn.T) == pytest.approx(np.corrcoef(gains.T), abs=0.02)
    assert Change("any", "null", gains).draw(np.random.default_rng(2), 200_000).mean(0) == pytest.approx(0, abs=2e-4)


def test_what_is_useful_is_so_at_equal_time_too(truth: Truth) -> None:
    assert {idea.name for idea in truth.useful_ideas} == {"good", "slow"}
    slow, fast = next(idea for idea in truth.ideas if idea.name == "slow").changes
    assert truth.gain_at_equal_time(slow) == pytest.approx(2 * SIGMA - 0.2 * math.log(1.5), abs=SIGMA / 4)
    assert truth.useful(fast) and not truth.useful(slow)


def test_a_loop_that_keeps_what_is_lower_keeps_noise_and_cheats(truth: Truth) -> None:
    """Every second change that does nothing, every fourth where it is run twice, and every lie about a loss."""
    assert 0.4 < len(claims(truth, "keep if lower", "nothing")) / 299 < 0.6
    again = len(claims(truth, "keep if lower twice (the fair rival)", "nothing"))
    assert 0.2 < again / (299 / 2) < 0.3  # every second idea costs three runs
    assert len(claims(truth, "keep if lower", "cheat")) == 299


def test_circle_keeps_neither_noise_nor_cheats_nor_harm(truth: Truth) -> None:
    for loop in ("Circle", "Circle's campaign"):
        for name in ("nothing", "cheat", "harm"):
            assert not claims(truth, loop, name)
    assert set(claims(truth, "Circle", "good")) == {"good"}


def test_revision_answers_a_failure_by_system(truth: Truth) -> None:
    """The second version is what wins; without revision nothing does."""
    assert set(claims(truth, "Circle", "slow")) == {"slow/fast"}
    somewhat = Idea("good", (change("good", 6, slowdown=1.04),))
    kept = play(LOOPS["Circle"], Endless(truth, repeat(somewhat), np.random.default_rng(1), 300))
    assert len(kept) > 4, "what is slower and worth it wins against a base that trains as long"
    assert not claims(truth, "Circle without revision", "slow")


def test_sessions_are_scored_at_every_budget(truth: Truth) -> None:
    """An idea is kept once, an oracle's claims are all true, and void claims never replicate."""
    for loop in LOOPS:
        scores = [study.session(truth, 0.3, loop, budget, seed=3) for budget in study.BUDGETS]
        assert all(score.replicated <= score.claims and score.true <= 2 for score in scores), loop
        assert all(score.said > 0 for score in scores if score.claims)
    assert study.session(truth, 0.3, "an oracle", 500, seed=3).claims == 2
    cheat = next(idea for idea in truth.ideas if idea.name == "cheat")
    lies = play(LOOPS["keep if lower"], Endless(truth, repeat(cheat), np.random.default_rng(1), 50))
    assert not any(study.replicates(claim, np.random.default_rng(2)) for claim in lies) and len(lies) == 49


def test_a_night_judges_together_what_it_holds(truth: Truth) -> None:
    """At four, or where few runs are left; what is held is not proposed again, and no claim has an idea twice."""
    gains = (("a", 3), ("b", 2.5), ("c", 3), ("d", 3.5), ("e", 4))
    ideas = [Idea(name, (change(f"{name}/only", gain),)) for name, gain in gains]
    harm = next(idea for idea in truth.ideas if idea.name == "harm")

    def night(budget: float) -> list[list[str]]:
        player = Player(truth, chain(ideas, ideas, repeat(harm)), np.random.default_rng(1), budget)
        return [[part.idea for part in claim.change.parts] for claim in play(LOOPS["Circle's campaign"], player)]

    few, many = night(130), night(600)
    assert sorted(few[0]) == ["a", "b"]
    assert [sorted(names) for names in many] == [["a", "b", "c", "d"], ["e"]]


@pytest.mark.long
def test_the_bank_trains_each_arm_in_its_own_tree(tmp_path: Path) -> None:
    """A dead flag's run is the base's to the last bit; another rate's is not."""
    nursery, few = Nursery(tmp_path, "smoke"), {"stretch": 0.1}
    dead = Arm("dead flag", "null", DEAD_FLAG.read_text(), (("fast_path", True),), **few)
    moved = Arm("moved", "idea", flags=(("muon_lr", 0.02),), **few)
    base, same, other = (list(nursery.perform(Task(arm, (1, 2)))) for arm in (Arm("base", "base", **few), dead, moved))
    losses = [[(run["seed"], run["reported"], run["hidden"]) for run in runs] for runs in (base, same, other)]
    assert losses[0] == losses[1] != losses[2] and [run["seed"] for run in base] == [1, 2]
    assert base[0]["reported"] == pytest.approx(base[0]["visible"], abs=1e-5)


@pytest.mark.long
def test_real_sessions_stack_diffs_and_train_nothing_twice(tmp_path: Path) -> None:
    """Two ideas are one tree with both flags on; what is in is not put in twice, and what is on file is not trained."""
    school = School(tmp_path, "smoke")
    school.arms["base"] = Arm("base", "base", stretch=0.1)
    both = ("local-mixing/smear", "logit-cap/fifteen")
    player = Trained(truth_of_nothing(), iter(queue()), np.random.default_rng(0), 10, school=school)
    smear, cap = (next(c for idea in queue() for c in idea.changes if c.name == name) for name in both)
    alone = player.pairs(smear, 2)
    player.keep(smear)
    assert player.champion == both[:1]
    stacked = player.pairs(cap, 2)
    together = player.together([cap, smear])
    assert [part.name for part in together.parts] == [cap.name], "smear is in already"
    assert np.abs(alone).min() > 0 < np.abs(stacked).min()
    arm = school.arm(both)
    assert arm and {name for name, _ in arm.flags} == {name for one in both for name, _ in school.arms[one].flags}
    lines = school.file.read_text().splitlines()
    assert len(lines) == 6 and player.slowdown(cap) > 0
    again = Trained(player.truth, iter(()), np.random.default_rng(0), 10, school=School(tmp_path, "smoke"))
    again.school.arms["base"] = school.arms["base"]
    assert (again.pairs(smear, 2) == alone).all() and school.file.read_text().splitlines() == lines


def truth_of_nothing() -> Truth:
    """What a loop knows that is played on real training."""
    return Truth(np.zeros((1, 3)), math.nan, np.zeros((1, 3)))


def test_a_killed_training_of_the_bank_knows_what_is_missing(tmp_path: Path) -> None:
    """A line that was cut short is taken off, and its run is asked for again; a seed that is there is not."""
    file = tmp_path / "smoke.jsonl"
    done = [{"arm": arm.name, "seed": seed} for arm in arms("smoke") for seed in (1, 2)]
    file.write_text("".join(json.dumps(run) + "\n" for run in done) + '{"arm": "ba')
    assert read_runs(file) == done
    missing = list(tasks("smoke", 2, {(run["arm"], run["seed"]) for run in done[1:]}))
    assert [(task.arm.name, task.seeds) for task in missing] == [("base", (1,))]
    assert not list(tasks("smoke", 2, {(run["arm"], run["seed"]) for run in read_runs(file)}))


def test_what_was_kept_is_what_loops_are_played_on(tmp_path: Path) -> None:
    """Arms with all seeds and a time are in; a failed run, a missing seed or a missing time keeps one out."""
    rng = np.random.default_rng(4)

    def lines(arm: str, kind: str, seeds: range, gain: float = 0.0) -> list[dict[str, object]]:
        losses = 3.5 - gain + SIGMA * rng.standard_normal((len(seeds), len(SPLITS)))
        return [
            {"arm": arm, "kind": kind, "seed": seed, "status": "done", "peak_memory_bytes": 1, "commit": "c"}
            | dict(zip(SPLITS, row, strict=True))
            for seed, row in zip(seeds, losses.tolist(), strict=True)
        ]

    everything = range(1, SEEDS + 1)
    smear = lines("local-mixing/smear", "idea", everything, gain=0.1)
    smear[3] = {"arm": "local-mixing/smear", "kind": "idea", "seed": 4, "status": "failed", "error": "not finite"}
    runs = lines("base", "base", everything) + lines("stretched", "base", everything, gain=0.05) + smear
    runs += lines("local-mixing/canon", "idea", everything, gain=0.1) + lines("twin", "null", everything)
    runs += lines("rope-base/thousand", "idea", everything) + lines("dropout/early", "idea", range(1, 5))
    (tmp_path / "cpu.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    times = {"local-mixing/canon": 15.0, "local-mixing/smear": 10.0, "dropout/early": 10.0}
    timed = [
        {"arm": arm, "seconds": seconds * machine, "beside": 10 * machine}
        for arm, seconds in times.items()
        for machine in (1, 2)
    ]
    (tmp_path / "cpu-times.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in timed))
    keep(tmp_path, "cpu", tmp_path / "bank.json")
    first = (tmp_path / "bank.json").read_bytes()
    keep(tmp_path, "cpu", tmp_path / "bank.json")
    assert (tmp_path / "bank.json").read_bytes() == first
    truth = read_truth(tmp_path / "bank.json")
    assert [[change.name for change in idea.changes] for idea in truth.ideas] == [["local-mixing/canon"], ["twin"]]
    (canon,) = truth.ideas[0].changes
    assert canon.slowdown == pytest.approx(1.5) and canon.gain == pytest.approx(0.1, abs=SIGMA)
    assert truth.kappa == pytest.approx(0.05 / math.log(1.25), abs=0.1)
