"""The pictures of `circle show` and `circle log`, on recorded sessions: in a pipe, on a terminal, narrow and wide."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from itertools import takewhile
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from agents.carry import bring
from agents.recovery import make_again
from agents.session import Home
from agents.terminal_plots import effects, pictures
from agents.text_plot import Terminal
from tests.commands import circle, rewrite_journal, shown
from tests.record_sessions import PLACE
from tests.terminal import terminal

LOSSES, GAINS, EFFECTS = "training loss of V2", "each pair's gain in loss, V2", "each version's effect on loss"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a recorded session is: V1 lost at its screen, V2 won after 6 pairs."""
    place = tmp_path_factory.mktemp("recorded") / "place"
    place.mkdir()
    bring(Home(place), PLACE / "victory_after_failure.circle")
    return place


@pytest.fixture(scope="module")
def name(folder: Path) -> str:
    (session,) = Home(folder).sessions()
    return session.session.id


@pytest.fixture(scope="module")
def kept(folder: Path, name: str) -> dict[str, Any]:
    return shown(folder, name)


@pytest.fixture
def document(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what `circle show --json` gives of it, to be changed at will."""
    return deepcopy(kept)


def cut(place: Path, last: int) -> str:
    """Bring the recorded session as if it had been killed after this step; return its id."""
    place.mkdir()
    opened = bring(Home(place), PLACE / "victory_after_failure.circle")
    ended: list[str] = []

    def before_its_end(kind: str, body: Any) -> bool:
        going_on = len(ended) < last
        ended.extend([body["node"]] if kind == "step" else [])
        return going_on

    rewrite_journal(opened.folder / "journal.sqlite", before_its_end)
    with opened.journal() as journal:
        make_again(opened, journal)
    return opened.session.id


def picture(said: str, title: str) -> list[str]:
    """Return the lines of the picture with this title."""
    lines = said.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    return list(takewhile(bool, lines[start:]))


def test_in_a_pipe_all_is_plain_and_as_wide_as_it_may_be(folder: Path, name: str) -> None:
    said = circle(folder, "show", name, COLUMNS="80").stdout
    drawn = said[said.index(LOSSES) :]
    assert drawn.isascii() and all(character.isprintable() or character == "\n" for character in drawn)
    gains = picture(said, GAINS)
    assert gains[1] == "s screen  c confirm  r report"
    assert {letter: "".join(gains[2:]).count(letter) for letter in "scr"} == {"s": 4, "c": 6, "r": 4}
    lost, won = (next(line for line in picture(said, EFFECTS) if label in line) for label in ("V1 loss", "V2 win"))
    assert lost.endswith("-2.9 [-10, +4.22]") and "<" in lost and ">" in lost, "it is too far off to be drawn whole"
    assert won.endswith("+0.155 [+0.149, +0.161]") and won.index("|") < won.index("o")
    assert len(picture(said, LOSSES)) <= 13


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_pictures_are_as_wide_as_the_terminal(folder: Path, name: str, columns: int) -> None:
    said = circle(folder, "show", name, COLUMNS=str(columns)).stdout
    for title in (LOSSES, GAINS[:20], EFFECTS[:20]):
        widest = max(map(len, picture(said, title)))
        assert 0.85 * columns < widest <= columns, title


def test_on_a_terminal_there_are_colours_and_nothing_else_that_acts(folder: Path, name: str) -> None:
    with terminal(folder, "show", name, COLUMNS="80") as screen:
        assert screen.end() == 0
    drawn = screen.shown[screen.shown.index(LOSSES) :]
    words = COLOUR.sub("", drawn)
    assert COLOUR.search(drawn) and any("\u2800" < character <= "\u28ff" for character in words), "dots"
    assert all(character.isprintable() or character == "\n" for character in words)
    assert max(map(len, words.splitlines())) <= 80


@pytest.mark.parametrize("wish", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_terminal_without_colours_shows_what_a_pipe_gets(folder: Path, name: str, wish: dict[str, str]) -> None:
    with terminal(folder, "show", name, **{"COLUMNS": "80", **wish}) as screen:
        assert screen.end() == 0
    assert screen.shown == circle(folder, "show", name, COLUMNS="80").stdout


def test_a_hidden_number_is_not_drawn_before_the_session_has_ended(tmp_path: Path) -> None:
    """Killed after V2's confirmation, before its verdict: its screen may be seen, and what V1's screen gave."""
    name = cut(tmp_path / "place", 15)
    said = circle(tmp_path / "place", "show", name, COLUMNS="80").stdout
    gains = picture(said, GAINS)
    assert gains[1] == "s screen" and {letter for letter in "scr" if letter in "".join(gains[2:])} == {"s"}
    for told in (said, circle(tmp_path / "place", "log", name, COLUMNS="80").stdout):
        (last,) = (line for line in picture(told, EFFECTS) if line.strip().startswith("V2"))
        assert last.endswith("hidden until the session ends") and "o" not in last.split("hidden")[0]
        assert any(line.startswith("V1 loss") for line in picture(told, EFFECTS))


@pytest.mark.parametrize("step", [1, 6])
def test_where_nothing_is_measured_nothing_is_drawn(tmp_path: Path, step: int) -> None:
    name = cut(tmp_path / "place", step)
    for command in ("show", "log"):
        told = circle(tmp_path / "place", command, name)
        assert told.returncode == 0 and told.stdout and "\n\n" not in told.stdout, told.stderr


def test_the_log_ends_with_what_came_of_each_version(folder: Path, name: str) -> None:
    steps, drawn = circle(folder, "log", name, COLUMNS="80").stdout.split("\n\n")
    assert steps.splitlines()[-1].endswith("the end")
    assert drawn.startswith(EFFECTS) and "V2 win" in drawn
    assert "steps" in json.loads(circle(folder, "log", name, "--json").stdout)


def test_the_log_of_a_session_whose_state_is_lost_still_has_its_steps(tmp_path: Path) -> None:
    name = cut(tmp_path / "place", 15)
    for file in (tmp_path / "place" / ".circle" / "sessions" / name).glob("checkpoints.sqlite*"):
        file.unlink()
    told = circle(tmp_path / "place", "log", name)
    assert told.returncode == 0 and told.stdout.splitlines()[-1].split()[:2] == ["15", "experiment"], told.stderr


def test_a_targets_words_cannot_act(document: dict[str, Any]) -> None:
    document["baseline"]["metric"] = "loss\x1b[2J\r\t\u202e" + "x" * 200
    drawn = "\n".join(pictures(document, Terminal(80, coloured=False)))
    assert "loss\\x1b[2J\\r" in drawn and "more characters" in drawn
    assert all(character.isprintable() or character == "\n" for character in drawn)


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("value", [nan, inf, -inf, 1e300, -1e300, 1e16, 5e-324, 0.0])
def test_numbers_of_any_size_are_drawn_or_left_out(document: dict[str, Any], value: float, coloured: bool) -> None:
    """The library ends the process where it is given what it cannot place."""
    first, second = (version["experiment"] for version in document["versions"])
    first["ci"] = [-inf, inf]
    second["effect"], second["ci"] = value, [value, value]
    second["pairs"][0]["experiment"] = value
    for run in second["screened"]:
        run["losses"][3] = run["losses"][20] = value
    for columns in (30, 81):
        drawn = pictures(document, Terminal(columns, coloured))
        assert len(drawn) == 3 and all("V2" in text for text in drawn)
        assert max(len(COLOUR.sub("", line)) for text in drawn for line in text.splitlines()) <= columns


def test_a_terminal_that_is_too_narrow_gets_no_picture(document: dict[str, Any]) -> None:
    assert pictures(document, Terminal(29, coloured=True)) == [] and effects(document, Terminal(29, False)) == ""


def test_losses_off_the_scale_are_told(document: dict[str, Any]) -> None:
    """The first losses are many times the later ones; a level curve has none to leave out."""
    left_out = "early losses are off the scale"
    assert left_out in pictures(document, Terminal(100, coloured=False))[0]
    for run in document["baseline"]["runs"] + document["versions"][1]["experiment"]["screened"]:
        run["losses"] = [1.0] * len(run["losses"])
    assert left_out not in pictures(document, Terminal(100, coloured=False))[0]


def test_an_effect_far_off_does_not_hide_the_others(document: dict[str, Any]) -> None:
    """V1's -2.9 would leave V2's +0.155 on the line of 0."""
    row = next(line for line in effects(document, Terminal(60, coloured=False)).splitlines() if "V2" in line)
    assert row.index("o") - row.index("|") >= 4
