"""What is told of runs made by hand: only what is beyond the spread between the seeds, and what a session writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.diagnosis import parts_to_show, sentences
from agents.records import Arm, Baseline, Diagnosis, Experiment, Run, Stage
from agents.report.panels import diagnosis
from tests.commands import analysis, change, circle, git, plan, review, revision, scratch_repository, session_id, shown
from tests.test_session import journal_of

STEPS = tuple(range(10, 210, 10))
SEEDS = (0, 1, 2, 3)
NOISE = (0.01, -0.01, 0.02, -0.02)
"""What a seed alone does to a run's numbers, as a share."""
JITTER = (0.03, -0.02, 0.01, -0.02)
"""What the two arms of a pair differ by, each way, although the experiment does nothing."""


def a_run(arm: Arm, seed: int, stage: Stage = "screen", **changes: Any) -> Run:
    """A run of 200 steps, of which every tenth is told; the learning rate falls after step 100."""
    scale = 1 + NOISE[seed] + (JITTER[seed] if arm == "experiment" else 0)
    told = Diagnosis(
        steps=STEPS,
        multipliers=tuple(min(1.0, (210 - step) / 100) for step in STEPS),
        gradient_norms={name: tuple(scale for _ in STEPS) for name in ("embedding", "feed-forward 2")},
        update_norms={name: tuple(0.1 * scale for _ in STEPS) for name in ("embedding", "feed-forward 2")},
        phase_seconds={"forward": 10 * scale, "backward": 20 * scale, "optimizer": 5 * scale, "evaluation": 9},
    )
    run = Run(
        key=f"{arm}{stage}{seed}",
        arm=arm,
        stage=stage,
        seed=seed,
        commit="c" * 40,
        flags=(),
        train_tokens=1000,
        status="done",
        losses=tuple(5 - step / 100 + NOISE[seed] for step in STEPS),
        loss_steps=STEPS,
        peak_memory_bytes=round(2**28 * scale),
        diagnosis=told,
    )
    return run.model_copy(update=changes)


def told(change: Callable[[Run], Run] = lambda run: run, seeds: Sequence[int] = SEEDS, stage: Stage = "screen") -> Any:
    """The floor and the experiment whose runs `change` has changed."""
    runs = tuple(a_run("baseline", seed, "floor") for seed in SEEDS)
    floor = Baseline(metric="val_loss", direction="min", n=4, mean=3, std=0.02, key="k", reused=False, runs=runs)
    return floor, Experiment(pairs=(), ended="screen", screened=tuple(change(a_run("experiment", s)) for s in seeds))


def losses(run: Run, lead: Callable[[int], float]) -> Run:
    """The run with its curve lower by a lead that depends on the step, and a little on the seed."""
    curve = tuple(
        5 - step / 100 + NOISE[run.seed] - lead(step) * (1 + JITTER[run.seed]) + JITTER[run.seed] / 100
        for step in STEPS
    )
    return run.model_copy(update={"losses": curve})


def telling(run: Run, **changes: Any) -> Run:
    assert run.diagnosis is not None
    return run.model_copy(update={"diagnosis": run.diagnosis.model_copy(update=changes)})


def test_nothing_is_told_of_what_differs_as_the_seeds_do() -> None:
    """Nor of one pair, whose difference could be anything."""
    assert sentences(*told()) == ()
    assert sentences(*told(lambda run: losses(run, lambda step: 0.5), seeds=(0,))) == ()


def test_a_norm_is_told_from_the_step_on_that_it_stays_away() -> None:
    """With its part of the model, and as a ratio; one that comes back is not told."""

    def larger(run: Run) -> Run:
        assert run.diagnosis is not None
        norms = run.diagnosis.gradient_norms
        grown = tuple(norm * (3.1 if step >= 120 else 1) for step, norm in zip(STEPS, norms["embedding"], strict=True))
        gone = tuple(norm * (5 if step < 100 else 1) for step, norm in zip(STEPS, norms["embedding"], strict=True))
        return telling(run, gradient_norms={"embedding": gone, "feed-forward 2": grown})

    assert sentences(*told(larger)) == (
        "Panel 'gradient norm, feed-forward 2': it is 3.1 times the baseline's from step 120 on.",
    )


def test_the_phase_that_has_most_of_the_extra_time_is_told() -> None:
    """Evaluations are no part of a step."""

    def slower(run: Run) -> Run:
        assert run.diagnosis is not None
        seconds = run.diagnosis.phase_seconds
        more = {"forward": seconds["forward"] + 2, "optimizer": seconds["optimizer"] + 8, "evaluation": 90.0}
        return telling(run, phase_seconds=seconds | more)

    (sentence,) = sentences(*told(slower))
    assert sentence == "Panel 'time': 80% of the extra step time (+29%) is in the phase 'optimizer'."


def test_runs_that_were_alone_go_before_the_screens_for_time_and_memory() -> None:
    """The screen's shared the machine."""
    floor, experiment = told(lambda run: run.model_copy(update={"peak_memory_bytes": 2**30}))
    assert sentences(floor, experiment) == ("Panel 'peak memory': it is 4 times the baseline's.",)
    timed = [a_run(arm, seed, "timing") for arm in ("baseline", "experiment") for seed in SEEDS]
    assert sentences(floor, experiment.model_copy(update={"timed": tuple(timed)})) == ()


@pytest.mark.parametrize(
    ("lead", "story"),
    [
        (lambda step: 0.1, "ahead from the start, by 0.100 over the last eighth"),
        (lambda step: 0.1 if step <= 100 else 0.0, "ahead until step 100 and loses it in the cool-down"),
        (lambda step: 0.1 if step <= 50 else 0.0, "ahead until step 50 and loses it after it"),
        (lambda step: -0.1 if step <= 100 else 0.0, "behind until step 100 and catches up in the cool-down"),
        (
            lambda step: -0.1 if step <= 70 else 0.2,
            "behind until step 70 and ahead from step 80 on, by 0.200 over the last eighth",
        ),
        (lambda step: -0.3 if step > 150 else 0.0, "behind from step 160 on, by 0.300 over the last eighth"),
    ],
)
def test_the_curve_is_told_as_a_story(lead: Callable[[int], float], story: str) -> None:
    """Of stretches of the curve in which the pairs agree."""
    assert sentences(*told(lambda run: losses(run, lead))) == (
        f"Panel 'training loss': the experiment's curve is {story}.",
    )


def test_at_most_three_sentences_and_the_curve_first() -> None:
    """However much has changed; that a diagnosis was ignored is one of them."""

    def all_of_it(run: Run) -> Run:
        other = telling(losses(run, lambda step: 0.5), phase_seconds={"forward": 90.0 + run.seed})
        norms = {name: tuple(9.0 + run.seed for _ in STEPS) for name in ("embedding", "feed-forward 2")}
        return telling(other, gradient_norms=norms).model_copy(update={"peak_memory_bytes": 2**31})

    floor, experiment = told(all_of_it)
    assert [sentence.split("'")[1] for sentence in sentences(floor, experiment)] == [
        "training loss",
        "gradient norm, feed-forward 2",
        "time",
    ]
    lost = a_run("experiment", 0).model_copy(update={"diagnosis": Diagnosis(ignored="it has no steps")})
    found = sentences(floor, experiment.model_copy(update={"screened": (*experiment.screened[:3], lost)}))
    assert len(found) == 3 and found[-1] == "The diagnosis of a run was ignored: it has no steps."


def test_whatever_runs_tell_a_figure_is_drawn() -> None:
    """None, other parts, other steps, numbers that are huge or zero, a run without a curve."""
    huge = {"embedding": tuple(1e39 for _ in STEPS)}
    none = {"embedding": tuple(0.0 for _ in STEPS)}
    drawn = []
    changes: list[Callable[[Run], Run]] = [
        lambda run: run.model_copy(update={"diagnosis": None}),
        lambda run: telling(run, gradient_norms={"mixer": tuple(1.0 for _ in STEPS)}),
        lambda run: telling(run, steps=STEPS[:3]),
        lambda run: telling(run, phase_seconds={}),
        lambda run: telling(run, gradient_norms=huge, update_norms=none, phase_seconds={"forward": 1e39}),
        lambda run: run.model_copy(update={"losses": (), "loss_steps": (), "peak_memory_bytes": None}),
        lambda run: run.model_copy(update={"status": "crashed", "losses": run.losses[:3]}),
    ]
    for change_ in changes:
        floor, experiment = told(change_)
        assert len(sentences(floor, experiment)) <= 3
        drawn.append((floor, experiment))
    for floor, experiment in (drawn[0], *drawn[-3:]):
        assert diagnosis(floor, experiment).endswith("</svg>\n")
    assert diagnosis(*told(changes[3])) == diagnosis(*told(changes[3]))


def test_of_many_parts_those_that_moved_are_shown() -> None:
    """Eight panels, blocks in their order."""
    names = ["embedding", *(f"attention {block}" for block in range(1, 21))]

    def deep(run: Run) -> Run:
        assert run.diagnosis is not None
        norms = dict.fromkeys(names, run.diagnosis.gradient_norms["embedding"])
        moved = {"attention 11": tuple(9.0 + run.seed for _ in STEPS)} if run.arm == "experiment" else {}
        return telling(run, gradient_norms=norms | moved, update_norms=norms)

    floor, experiment = told(deep)
    pairs = [(deep(old), new) for old, new in zip(floor.runs, experiment.screened, strict=True)]
    shown_parts = parts_to_show(pairs, 8)
    assert shown_parts == ["embedding", *(f"attention {block}" for block in (*range(1, 7), 11))]


RECORDS = """
    steps = [1, 50, 100, 200]
    told = {"steps": steps, "multipliers": [1.0] * 4, "phase_seconds": {"forward": 1.0 + configs.rate}}
    for kind in ("gradient_norms", "update_norms"):
        told[kind] = {"head": [abs(sum(weights)) * (1 + 90 * configs.rate)] * 4}
    report["diagnosis"] = told
    (folder / "metrics.json")"""


def session_with(root: Path, script: Callable[..., str], flag: tuple[str, Any, Any], *options: str) -> dict[str, Any]:
    """Follow a session of one harmful version to its end and return what `circle show` says of it."""
    replies = [
        plan("Another rate", flag),
        change(),
        review(),
        analysis("As measured."),
        revision("No.", exhausted=True),
    ]
    ended = circle(root, "start", "--turbo", "--researcher", script(*replies), *options, "Change the rate")
    assert ended.returncode == 3, ended.stderr
    return shown(root, session_id(ended.stderr))


def paper_of(root: Path, session: dict[str, Any]) -> tuple[str, str]:
    """The paper of a session's last version, and its figure."""
    branch = session["versions"][-1]["branch"]
    folder = "docs/research/papers/change-the-rate"
    return git(root, "show", f"{branch}:{folder}.md"), git(root, "show", f"{branch}:{folder}/v1-diagnosis.svg")


@pytest.mark.parametrize("hostile", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_sessions_paper_shows_it(plain: Path, script: Callable[..., str], hostile: bool) -> None:
    """Of a target that records it. One that records nonsense gets its verdict, and a sentence that says so."""
    trains, target = (plain / "train.py").read_text(), (plain / "circle.toml").read_text()
    records = RECORDS.replace("1.0 + configs.rate", "float('nan')") if hostile else RECORDS
    (plain / "train.py").write_text(trains.replace('\n    (folder / "metrics.json")', records))
    (plain / "circle.toml").write_text(
        target.replace('configs = "configs"\n', 'configs = "configs"\ndiagnosis = "diagnosis"\n')
    )
    git(plain, "commit", "-qam", "A diagnosis")
    session = session_with(plain, script, ("rate", 0.01, 0.003))
    verdict = session["versions"][0]["verdict"]
    assert (verdict["outcome"], verdict["cause"]) == ("loss", "theory")
    paper, figure = paper_of(plain, session)
    assert "![v1-diagnosis](change-the-rate/v1-diagnosis.svg)" in paper
    assert verdict["diagnosis"][0].startswith("Panel 'training loss': the experiment's curve is behind")
    assert all(f"- {sentence}" in paper for sentence in verdict["diagnosis"])
    assert ("gradient norm, head" in figure) is not hostile
    questions = [json.loads(body)["question"] for body in journal_of(plain, session["id"], "reply")]
    asked = [question for question in questions if json.dumps(verdict["diagnosis"][0])[1:-1] in question]
    assert len(asked) == 2, "the analyzer and the revisor are told"
    ignored = "The diagnosis of a run was ignored: phase_seconds holds what is no number from 0 to 1e+39."
    assert (ignored in verdict["diagnosis"]) is hostile


@pytest.mark.long
def test_a_session_of_this_repository_shows_it(tmp_path: Path, script: Callable[..., str]) -> None:
    """Real training: norms of every part of the model, the phases, the memory."""
    root = tmp_path / "target"
    root.mkdir()
    scratch_repository(root)
    session = session_with(root, script, ("muon_lr", 0.03, 0.3), "--preset", "smoke")
    paper, figure = paper_of(root, session)
    assert "v1-diagnosis.svg" in paper
    norms = ("Panel 'gradient norm, ", "Panel 'relative update, ")
    assert any(sentence.startswith(norms) for sentence in session["versions"][0]["verdict"]["diagnosis"])
    for panel in ("training loss", "time", "peak memory", "gradient norm, feed-forward 2", "relative update, head"):
        assert f">{panel}<" in figure, panel
