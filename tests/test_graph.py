"""Whole sessions on the target that trains in a tenth of a second, with effects that are known in advance."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.graph import build_graph, graph
from tests.commands import (
    analysis,
    change,
    circle,
    diff_of,
    git,
    plan,
    review,
    revision,
    session_id,
    shown,
)

Script = Callable[..., str]
HARMFUL = plan("A lower rate", ("rate", 0.01, 0.003))
BETTER = plan("An intercept", ("intercept", False, True))


def run(folder: Path, researcher: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Start a session, follow it, and return its exit code and what `circle show` says of it."""
    ended = circle(folder, "start", "--turbo", "--researcher", researcher, *options, "Change the rate")
    assert ended.returncode in (0, 3), ended.stderr
    return ended.returncode, shown(folder, session_id(ended.stderr))


def test_the_picture_is_the_one_in_the_readme() -> None:
    """The README shows the graph that the code builds."""
    drawing = build_graph().get_graph().draw_mermaid(with_styles=False)
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert drawing.strip() in readme


def test_langgraphs_own_tools_find_a_factory_without_arguments() -> None:
    """langgraph.json names a function that takes nothing and returns the compiled graph."""
    place = json.loads((Path(__file__).parent.parent / "langgraph.json").read_text())["graphs"]["circle"]
    assert place == "./agents/graph.py:graph" and not inspect.signature(graph).parameters
    assert "experiment" in graph().nodes


def test_a_failure_is_revised_into_a_victory(plain: Path, script: Script) -> None:
    """V1 harms, V2 answers the measured harm and wins; branches, paper, log and checkpoint tell of both."""
    code, session = run(
        plain,
        script(
            HARMFUL,
            change(),
            review(),
            analysis("Too slow a descent.", "The rate limits the descent."),
            revision("Go the other way: a higher rate."),
            BETTER,
            change(),
            review(),
            analysis("The descent gets further."),
        ),
    )
    assert (code, session["status"]) == (0, "victory")
    first, second = session["versions"]
    assert (first["verdict"]["outcome"], first["verdict"]["cause"]) == ("loss", "theory")
    assert first["revision"]["answers"]["value"] == first["verdict"]["value"] < 0
    assert (second["parent"], second["verdict"]["outcome"]) == (1, "win")
    assert first["regression"]["passed"] and second["regression"]["max_abs_difference"] == 0
    assert second["experiment"]["ci"][0] > 0

    won = session["victory"]
    paper = git(plain, "show", f"{won['branch']}:{won['paper']}")
    assert "## Final Results" in paper and "## Path to Success" in paper and "Go the other way" in paper
    assert "**Status**: Validated" in git(plain, "show", f"{won['branch']}:{won['idea_log']}")
    assert Path(won["checkpoint"]).stat().st_size > 0
    base = session["target"]["commit"]
    assert git(plain, "rev-parse", f"{second['commit']}^").strip() == base, "one code commit on the base"
    assert git(plain, "rev-parse", first["branch"]).strip(), "failed versions keep their refs"


def test_an_honest_end_without_a_victory(plain: Path, script: Script) -> None:
    """An exhausted idea is concluded with exit code 3, and its log entry says Failed with the numbers."""
    code, session = run(plain, script(HARMFUL, change(), review(), analysis(), revision("Nothing.", exhausted=True)))
    assert (code, session["status"], session["victory"]) == (3, "concluded", None)
    branch = session["versions"][-1]["branch"]
    log = git(plain, "show", f"{branch}:docs/research/idea_log.md")
    assert "**Status**: Failed" in log and "95 % interval" in log
    assert "## Conclusion" in git(plain, "show", f"{branch}:docs/research/papers/change-the-rate.md")


DECLARED = ("    batch: int = 8\n", "    batch: int = 8\n    extra: bool = False\n")
STEP = "    weights = [w - configs.rate * g for w, g in zip(weights, gradient(weights, samples))]\n"


def guarded(body: str) -> tuple[str, str]:
    """Return the replacement that runs `body` in a training step when the flag is on."""
    return STEP, f"    if configs.extra:\n{body}{STEP}"


NUDGE = "    weights = [w * (1 + 1e-9) for w in weights]\n"

CAUSES = {
    "a crash": (
        guarded('        raise RuntimeError("lost")\n'),
        ("loss", "implementation", "lost"),
    ),
    "slow, and better": (
        guarded(
            "        for _ in range(150):\n            gradient(weights, samples)\n"
            "        weights = [w - 0.15 * configs.rate * g for w, g in zip(weights, gradient(weights, samples))]\n"
        ),
        ("loss", "system", "worse at equal time"),
    ),
    "unstable": (
        guarded(
            "        weights = [w - 300 * configs.rate * g for w, g in zip(weights, gradient(weights, samples))]\n"
        ),
        ("loss", "theory", "diverged on 2 seeds"),
    ),
    "harmful": (
        guarded("        weights = [0.998 * w for w in weights]\n"),
        ("loss", "theory", "Harmful"),
    ),
}


@pytest.mark.long
def test_the_words_of_the_verdict_name_every_cause(plain: Path, script: Script) -> None:
    """A flag that crashes, slows down, diverges or harms is told apart by its runs alone."""
    on = ("extra", False, True)
    for name, (replacement, (outcome, cause, words)) in CAUSES.items():
        diff = diff_of(plain, "settings.py", DECLARED) + diff_of(plain, "model.py", replacement)
        again = [change(diff)] if cause == "implementation" else []
        replies = [plan(name, on), change(diff), review(), *again, analysis()]
        _, session = run(plain, script(*replies), "--max-versions", "1", "--no-memory")
        verdict = session["versions"][-1]["verdict"]
        assert (verdict["outcome"], verdict["cause"]) == (outcome, cause), (name, verdict)
        told = verdict["finding"] + str(session["versions"][-1]["regression"]["reason"])
        assert words in told, (name, told)


@pytest.mark.long
def test_work_that_hides_between_the_steps_is_paid_for(plain: Path, script: Script) -> None:
    """What a run computes before its first line of progress shows in no step time, but in the whole run's."""
    body = (
        "        if not _DONE:\n"
        "            _DONE.append(True)\n"
        "            for _ in range(6000):\n"
        "                weights = [w - configs.rate * g for w, g in zip(weights, gradient(weights, samples))]\n"
    )
    diff = diff_of(plain, "settings.py", DECLARED) + diff_of(
        plain, "model.py", guarded(body), ("NOISE = 0.5\n", "NOISE = 0.5\n_DONE = []\n"),
        ("if configs.intercept else", "if configs.intercept or configs.extra else"),
    )  # fmt: skip
    replies = [plan("Early", ("extra", False, True)), change(diff), review(), analysis()]
    _, session = run(plain, script(*replies), "--max-versions", "1", "--no-memory")
    experiment = session["versions"][0]["experiment"]
    assert experiment["speed_ratio"] > 1.3, experiment


@pytest.mark.parametrize(
    ("replacement", "finding"),
    [
        ((STEP, STEP.replace("configs.rate", "(configs.rate if not configs.extra else 0.02)")), None),
        ((STEP, guarded("        weights = [w / 2 for w in weights]\n")[1] + NUDGE), "moved"),
        ((STEP, guarded("        weights = list(weights)\n")[1]), "dead"),
    ],
    ids=["untouched", "moved", "dead"],
)
def test_the_gate_before_the_experiment(
    plain: Path, script: Script, replacement: tuple[str, str], finding: str | None
) -> None:
    """A baseline that moves with the flag off, or a flag that changes nothing, never reaches an experiment."""
    diff = diff_of(plain, "settings.py", DECLARED) + diff_of(plain, "model.py", replacement)
    again = [change(diff)] if finding else []
    replies = [plan("Extra", ("extra", False, True)), change(diff), review(), *again, analysis()]
    _, session = run(plain, script(*replies), "--max-versions", "1")
    version = session["versions"][0]
    if finding is None:
        assert version["regression"]["passed"] and version["experiment"]
    else:
        assert not version["regression"]["passed"] and version["experiment"] is None
        assert finding in version["verdict"]["finding"]
        assert (version["verdict"]["outcome"], version["verdict"]["cause"]) == ("invalid", "implementation")


@pytest.mark.long
def test_a_failed_review_goes_back_with_its_issues(plain: Path, script: Script) -> None:
    """The second attempt is asked for with the first one's issue, and the first commit is kept."""
    issue = {"severity": "CRITICAL", "file": "model.py", "issue": "The sign is wrong.", "fix": "Turn it."}
    wrong = diff_of(plain, "settings.py", DECLARED) + diff_of(plain, "model.py", guarded("        weights = weights\n"))
    right = diff_of(plain, "settings.py", DECLARED) + diff_of(
        plain,
        "model.py",
        ("if configs.intercept else", "if configs.intercept or configs.extra else"),
    )
    code, session = run(
        plain,
        script(
            plan("Extra", ("extra", False, True)), change(wrong), review(issue), change(right), review(), analysis()
        ),
    )
    version = session["versions"][0]
    assert code == 0, version["verdict"]
    assert version["attempts"][0]["failure"] == "model.py: The sign is wrong."
    kept = git(plain, "rev-parse", f"{version['branch']}-attempt1").strip()
    assert kept == version["attempts"][0]["commit"]


@pytest.mark.long
def test_a_version_that_failed_is_never_tried_again(plain: Path, script: Script) -> None:
    """The same diff and flags again are refused by the review, in this session and in later ones."""
    code, session = run(
        plain,
        script(HARMFUL, change(), review(), analysis(), revision(), HARMFUL, change(), change(), analysis()),
        "--max-versions",
        "2",
    )
    second = session["versions"][1]
    assert code == 3
    assert second["verdict"]["outcome"] == "invalid" and "version 1 again" in second["verdict"]["finding"]
    _, later = run(plain, script(HARMFUL, change(), change(), analysis()), "--max-versions", "1")
    assert session["id"] in later["versions"][0]["verdict"]["finding"]


def test_a_diff_that_does_not_apply_is_no_experiment(plain: Path, script: Script) -> None:
    """Nothing is committed or trained for it; the version is invalid, and its reason says where the diff fails."""
    diff = "--- a/model.py\n+++ b/model.py\n@@ -1,1 +1,1 @@\n-no such line\n+another\n"
    code, session = run(plain, script(BETTER, change(diff), analysis()), "--max-versions", "1")
    (version,) = session["versions"]
    assert code == 3
    assert (version["verdict"]["outcome"], version["verdict"]["cause"]) == ("invalid", "implementation")
    assert "does not apply" in version["verdict"]["finding"] and "model.py" in version["verdict"]["finding"]
    assert (version["commit"], version["experiment"]) == (None, None)
    assert session["spend"]["runs"] == 8


def test_a_budget_ends_in_an_honest_conclusion(plain: Path, script: Script) -> None:
    """A promising version whose confirmation cannot be paid for is no victory, and no run is started for it."""
    code, session = run(plain, script(BETTER, change(), review(), analysis()), "--max-runs", "24")
    assert (code, session["status"]) == (3, "concluded")
    assert session["spend"]["runs"] <= 24
    version = session["versions"][0]
    assert (version["verdict"]["outcome"], version["verdict"]["cause"]) == ("inconclusive", "noise")
    assert "budget" in version["verdict"]["finding"] and "budget" in session["conclusion"]


def test_no_room_for_the_floor(plain: Path, script: Script) -> None:
    """A budget below the noise floor's runs trains nothing and says why."""
    code, session = run(plain, script(), "--max-runs", "3")
    assert (code, session["spend"]["runs"], session["versions"]) == (3, 0, [])
    assert "noise floor" in session["conclusion"]


def test_generated_code_sees_its_own_tree_and_no_more(plain: Path, script: Script) -> None:
    """What the experiment's code can list of Circle's folder and of the repository, it says by crashing."""
    look = (
        "        import os\n"
        f"        seen = [os.path.exists(p) for p in {[str(plain / '.git'), str(plain / 'train.py')]!r}]\n"
        f"        names = sorted(os.listdir({str(plain / '.circle')!r}))\n"
        '        raise RuntimeError(f"seen {seen} {names}")\n'
    )
    diff = diff_of(plain, "settings.py", DECLARED) + diff_of(plain, "model.py", guarded(look))
    replies = [plan("Spy", ("extra", False, True)), change(diff), review(), change(diff), analysis()]
    _, session = run(plain, script(*replies), "--max-versions", "1")
    assert "seen [False, False] ['sessions']" in session["versions"][0]["regression"]["reason"]


@pytest.mark.parametrize("trap", ["evaluation-hidden.log", "weights.json"])
def test_a_link_that_a_run_leaves_is_not_followed(plain: Path, script: Script, tmp_path: Path, trap: str) -> None:
    """A run's folder that holds a link is not measured, and what the link points to stays as it was."""
    victim = tmp_path / "victim.json"
    victim.write_text("precious")
    leave = (
        "        import atexit, os, sys\n"
        "        place = os.path.join(sys.argv[sys.argv.index('--output_dir') + 1], "
        f"{trap!r})\n"
        "        atexit.register(lambda: (os.path.exists(place) and os.remove(place), "
        f"os.path.islink(place) or os.symlink({str(victim)!r}, place)))\n"
    )
    diff = diff_of(plain, "settings.py", DECLARED) + diff_of(plain, "model.py", guarded(leave))
    replies = [plan("Trap", ("extra", False, True)), change(diff), review(), change(diff), analysis()]
    _, session = run(plain, script(*replies), "--max-versions", "1")
    version = session["versions"][0]
    assert version["verdict"]["outcome"] != "win" and "left a link" in version["regression"]["reason"]
    assert victim.read_text() == "precious"
