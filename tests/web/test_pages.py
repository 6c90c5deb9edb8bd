"""What the pages show and do, over HTTP: recorded sessions, hostile words, decisions, forks."""

from __future__ import annotations

import http.client
import io
import re
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents.session import Home
from agents.show import document
from agents.waiting import newest_diff
from agents.web.launch import LOG
from tests.commands import analysis, change, circle, plan, review, revision, session_id
from tests.test_approval import CONSTANT, LOWER, constant, long, waiting
from tests.web.visitor import Visitor, served

Script = Callable[..., str]
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script> [link](javascript:alert(3)) \u202e'


@pytest.fixture
def guest(plain: Path) -> Iterator[Visitor]:
    """Return who has entered the page of the plain target."""
    with served(plain) as address:
        yield Visitor(address).enter()


def test_every_page_of_every_recorded_session_is_there(recorded: Path, visitor: Visitor) -> None:
    for opened in Home(recorded).sessions():
        base = f"/sessions/{opened.session.id}"
        for path in ("", "/diff", "/steps", "/steps/2", "/report", "/report.md", "/report.html"):
            answer = visitor.get(base + path)
            assert answer.status == 200, (path, answer.text)
        figures = re.findall(rf'src="({base}/figures/[\w-]+\.svg)"', visitor.get(f"{base}/report").text)
        assert figures
        assert all(visitor.get(path).headers["Content-Type"].startswith("image/svg") for path in figures)


def test_the_list_says_how_each_session_stands_and_what_it_gained(visitor: Visitor) -> None:
    page = visitor.get("/?status=victory&order=-effect").text
    assert page.count('<td class="idea">') == 4 and "ended without a victory</span>" not in page
    gains = [float(text) for text in re.findall(r'"best effect">([+-][\d.]+)', page)]
    assert len(gains) == 4 and gains == sorted(gains, reverse=True)
    assert "No session matches" in visitor.get("/?words=nothing+of+the+kind").text
    assert "not ordered by" in visitor.get("/?order=luck").text
    assert visitor.get("/?page=999").text.count('<td class="idea">') == 5


def test_what_was_used_is_what_the_session_says(recorded: Path, visitor: Visitor) -> None:
    for opened in Home(recorded).sessions():
        shown, view = document(opened)["spend"], visitor.get(f"/sessions/{opened.session.id}/view").json["spend"]
        assert {name: view[name] for name in ("runs", "wall_seconds")} == {
            name: shown[name] for name in ("runs", "wall_seconds")
        }


def test_the_steps_say_what_was_asked_said_and_run(recorded: Path, visitor: Visitor) -> None:
    opened = next(one for one in Home(recorded).sessions() if len(one.session.idea.text) and one.status() == "victory")
    page = visitor.get(f"/sessions/{opened.session.id}/steps/2").text
    assert "experiment-planner was asked" in page and "It said" in page and "New in the state" in page
    assert "no step 4000" in visitor.get(f"/sessions/{opened.session.id}/steps/4000").text


def test_what_is_not_there_is_told_with_what_to_do(visitor: Visitor) -> None:
    for path in ("/sessions/none", "/sessions/none/diff", "/campaigns/none", "/nowhere", "/sessions/none/report.exe"):
        answer = visitor.get(path)
        assert answer.status == 404 and "All sessions" in answer.text


def test_a_replay_from_the_page_is_the_commands(recorded: Path, visitor: Visitor) -> None:
    name = Home(recorded).sessions()[0].session.id
    replayed = visitor.post(f"/sessions/{name}/replay", {}).json
    assert replayed["identical"] is True and replayed["runs"] == 0


def test_hostile_words_are_text_on_every_page(plain: Path, script: Script, guest: Visitor) -> None:
    title, flags = HOSTILE, ("rate", 0.01, 0.003)
    issue = {"severity": "WARNING", "file": HOSTILE, "line": 1, "issue": HOSTILE, "fix": HOSTILE}
    researcher = script(
        plan(title, flags), change(), review(issue), analysis(HOSTILE, HOSTILE), revision(HOSTILE, exhausted=True)
    )
    ended = circle(plain, "start", "--turbo", "--researcher", researcher, "--", HOSTILE)
    assert ended.returncode == 3, ended.stderr
    base = f"/sessions/{session_id(ended.stderr)}"
    for path in (
        "/",
        base,
        f"{base}/diff",
        f"{base}/report",
        f"{base}/report.html",
        f"{base}/steps/2",
        f"{base}/steps/4",
    ):
        page = guest.get(path).text
        assert "alert(1)" in page, path
        assert "<img src=x" not in page and "<script>alert" not in page, path
        assert 'href="javascript' not in page, path


def test_a_session_is_started_from_the_form_and_outlives_the_page(plain: Path, script: Script) -> None:
    researcher, home = script(LOWER, change(), review(), analysis()), Home(plain)
    with served(plain) as address:
        guest = Visitor(address).enter()
        refused = guest.post("/start", {"idea": "x", "researcher": "nobody at all"})
        assert refused.status == 409 and "nobody at all" in refused.json["error"]
        wrong = guest.post("/start", {"idea": "x", "max_runs": -3})
        assert wrong.status == 422 and "max_runs" in wrong.json["error"]
        started = guest.post("/start", {"idea": "--turbo", "researcher": researcher, "max_runs": 12})
        assert started.status == 200, started.text
    with served(plain) as address:
        view = Visitor(address).enter().until(started.json["session"], "awaiting_approval")
    assert (view["idea"], view["versions"][0]["title"]) == ("--turbo", "A lower rate")
    assert [file.name for file in home.folder.glob("page-*.log")] == []


def test_what_is_approved_is_the_bytes_that_were_shown(plain: Path, script: Script, guest: Visitor) -> None:
    name, sha = waiting(plain, script(CONSTANT, change(constant(plain)), review(), analysis()))
    page = guest.get(f"/sessions/{name}/diff").text
    assert sha in page and 'id="approve"' in page
    form = {"decision": "approved", "sha256": sha, "version": 1, "comment": "Looks right."}
    decide = f"/sessions/{name}/decide"
    assert "look at it again" in guest.post(decide, form | {"sha256": "0" * 64}).json["error"]
    assert "Version 1 waits now" in guest.post(decide, form | {"version": 2}).json["error"]
    assert guest.post(decide, form).status == 200
    assert "does not wait" in guest.post(decide, form).json["error"]
    guest.until(name, "concluded", "victory")
    approval = document(Home(plain).find(name))["versions"][0]["approval"]
    assert (approval["decision"], approval["sha256"], approval["comment"]) == ("approved", sha, "Looks right.")
    assert "Nothing waits for a decision" in guest.get(f"/sessions/{name}/diff").text


def test_a_rejection_needs_words_and_the_next_version_waits(plain: Path, script: Script, guest: Visitor) -> None:
    replies = (LOWER, change(), review(), CONSTANT, change(constant(plain)), review())
    name, sha = waiting(plain, script(*replies))
    form = {"decision": "rejected", "sha256": sha, "version": 1}
    assert "needs words" in guest.post(f"/sessions/{name}/decide", form).json["error"]
    assert guest.post(f"/sessions/{name}/decide", form | {"comment": "Try a constant."}).status == 200
    guest.until(name, "running")
    view = guest.until(name, "awaiting_approval")
    assert [version["decision"] for version in view["versions"]] == ["rejected", None]
    assert document(Home(plain).find(name))["versions"][0]["approval"]["comment"] == "Try a constant."


def test_a_diff_too_long_for_the_view_is_approved_after_all_of_it_was_given(
    plain: Path, script: Script, guest: Visitor
) -> None:
    name, sha = waiting(plain, script(CONSTANT, change(long(plain)), review(), analysis()))
    form = {"decision": "approved", "sha256": sha, "version": 1}
    assert sha not in re.sub("<input[^>]*>|data-now=[^>]*", "", guest.get(f"/sessions/{name}/diff").text)
    assert guest.send("HEAD", f"/sessions/{name}/diff.raw", {"Cookie": guest.cookie}).status == 200
    assert "too long" in guest.post(f"/sessions/{name}/decide", form).json["error"], "no byte was given"
    raw = guest.get(f"/sessions/{name}/diff.raw")
    assert raw.body == newest_diff(Home(plain).find(name))[0]
    assert guest.post(f"/sessions/{name}/decide", form).status == 200
    assert guest.until(name, "concluded")["versions"][0]["decision"] == "approved"


def test_while_nodes_are_at_work_runs_are_counted_and_a_log_is_told(
    plain: Path, script: Script, guest: Visitor
) -> None:
    researcher = script(LOWER, change(), review(), analysis(), revision(exhausted=True))
    started = guest.post("/start", {"idea": "Rate", "researcher": researcher, "turbo": True}).json["session"]
    views = list(guest.watch(started, "concluded"))
    assert views[0]["status"] == "running", "it drives before the page that shows it is opened"
    baseline = [view["spend"]["runs"] for view in views if view["node"] == "baseline"]
    assert max(baseline) > 0, "each run counts when it ends, not with its node"
    assert [view for view in views if view["tail"]], "what a run says is told while it runs"
    used = {one["name"]: one["said"] for one in views[-1]["budget"]}
    assert used["runs"] == str(views[-1]["spend"]["runs"]) and used["versions"] == "1 of 4" and "second" in used["time"]


def test_the_logs_tail_is_a_runs_own_and_comes_while_it_runs(plain: Path, script: Script, guest: Visitor) -> None:
    """An evaluation writes beside it what the hidden split says."""
    researcher = script(CONSTANT, change(constant(plain)), review(), analysis())
    command = ("--turbo", "--secret", "5eed", "--researcher", researcher)
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "start", *command, "A"], cwd=plain, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        opened = Home(plain).find(session_id(process.stderr.readline()))
        tails = []
        while process.poll() is None:
            tails.append(guest.get(f"/sessions/{opened.session.id}/view").json["tail"])
            (opened.folder / "runs").mkdir(exist_ok=True)
            (opened.folder / "runs" / "0000.hidden.log").write_text('{"value": 0.1}')
        process.stderr.read()
    assert any("step" in line for tail in tails for line in tail)
    assert not [line for tail in tails for line in tail if "value" in line]


def test_nothing_in_a_plan_or_a_review_acts_or_hides(plain: Path, script: Script, guest: Visitor) -> None:
    words = "\u202eevil\u202c z\u200bw \x1b[31m"
    issue = {"severity": "WARNING", "file": "model.py", "line": 1, "issue": f"`{words}`", "fix": words}
    name, _ = waiting(plain, script(plan(words, ("rate", 0.01, 0.003)), change(), review(issue)))
    for path in ("", "/diff", "/steps/2", "/view"):
        text = guest.get(f"/sessions/{name}{path}").text
        assert not set(words) & set(text) - set(map(chr, range(32, 127))), path
        assert "u200bw" in text, path


def test_a_report_is_taken_away_with_its_figures(recorded: Path, visitor: Visitor) -> None:
    won = next(one for one in Home(recorded).sessions() if one.status() == "victory")
    base = f"/sessions/{won.session.id}/report"
    with zipfile.ZipFile(io.BytesIO(visitor.get(f"{base}.zip").body)) as archive:
        text = archive.read(f"{won.session.idea.name}.md").decode()
        places = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
        assert places and set(places) < set(archive.namelist())
        assert all(archive.read(place).startswith(b"<?xml") for place in places)
    assert visitor.get(f"{base}.html").text.count("data:image/svg+xml;base64") == len(places)
    assert text == visitor.get(f"{base}.md").text
    assert visitor.get("/log.md").text.startswith("# Idea log") and visitor.get("/log.html").status == 200


def test_a_session_from_elsewhere_is_not_forked_and_leaves_nothing(recorded: Path, visitor: Visitor) -> None:
    before = Home(recorded).sessions()
    refused = visitor.post(f"/sessions/{before[0].session.id}/fork", {"at": 2, "researcher": "catalogue"})
    assert refused.status == 409 and "comes from elsewhere" in refused.json["error"]
    assert [one.session.id for one in Home(recorded).sessions()] == [one.session.id for one in before]
    assert 'class="badge unreadable"' not in visitor.get("/").text


def test_a_fork_goes_on_from_a_step_and_the_old_session_stays(plain: Path, script: Script, guest: Visitor) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review(), analysis()))
    before = document(Home(plain).find(name))
    again = script(CONSTANT, change(constant(plain)), review())
    forked = guest.post(f"/sessions/{name}/fork", {"at": 1, "idea": "A constant", "researcher": again})
    assert forked.status == 200, forked.text
    assert guest.until(forked.json["session"], "awaiting_approval")["idea"] == "A constant"
    assert document(Home(plain).find(name)) == before
    assert forked.json["session"] in guest.get(f"/sessions/{name}").text
    missing = guest.post(f"/sessions/{name}/fork", {"at": 99})
    assert missing.status == 409 and "no step 99" in missing.json["error"]


def test_a_stopped_session_goes_on_from_the_page(plain: Path, script: Script, guest: Visitor) -> None:
    researcher = script(LOWER, change(), review(), analysis(), revision(exhausted=True))
    command = [sys.executable, "-m", "agents.cli", "start", "--turbo", "--researcher", researcher, "Rate"]
    with subprocess.Popen(command, cwd=plain, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        name = session_id(started.stderr.readline())
        next(line for line in started.stderr if line.startswith("baseline"))
        running = guest.post(f"/sessions/{name}/resume", {})
        started.send_signal(signal.SIGTERM)
        started.stderr.read()
    assert started.returncode == 5
    assert running.status == 409 and "has not stopped" in running.json["error"]
    guest.until(name, "stopped")
    assert guest.post(f"/sessions/{name}/resume", {}).status == 200
    ended = guest.until(name, "concluded")
    assert ended["versions"][0]["cause"] == "theory" and len(ended["curves"]["baseline"]["seeds"]) == 8
    assert [point["stage"] for point in ended["pairs"]["points"]] == ["screen", "screen"]


def test_no_hidden_number_is_on_any_page_before_the_end(plain: Path, script: Script, guest: Visitor) -> None:
    researcher = script(CONSTANT, change(constant(plain)), review(), analysis())
    command = ("start", "--turbo", "--secret", "5eed", "--researcher", researcher, "A")
    killed = circle(plain, *command, CIRCLE_CRASH_AT="reply effect #4")
    opened = Home(plain).find(session_id(killed.stderr))
    base, state = f"/sessions/{opened.session.id}", opened.state()
    experiment = state["versions"][0]["experiment"]
    pairs = [pair for pair in experiment["pairs"] if pair["stage"] == "confirm"]
    secrets = [pair[arm] for pair in pairs for arm in ("baseline", "experiment")] + [
        experiment["effect"],
        experiment["t"],
    ]
    assert len(secrets) >= 14
    paths = ["/", base, f"{base}/diff", *(f"{base}/steps/{number}" for number in range(1, state["step"] + 1))]
    texts = {path: guest.get(path).text for path in paths} | {"events": str(guest.until(opened.session.id, "stopped"))}
    screened = guest.get(f"{base}/figures/v1-pairs.svg").text
    assert "screen" in screened and "confirm" not in screened
    texts["replay --step"] = circle(plain, "replay", opened.session.id, "--step").stdout
    for path, text in texts.items():
        assert [secret for secret in secrets if f"{secret:.7f}"[:7] in text] == [], path


def test_what_is_no_session_does_not_stand_in_the_lists_way(plain: Path, guest: Visitor) -> None:
    sessions = plain / ".circle" / "sessions"
    (sessions / "damaged").mkdir(parents=True)
    (sessions / "damaged" / "session.json").write_text("{")
    (sessions / "stray.txt").touch()
    campaign = plain / ".circle" / "campaigns" / "broken" / "campaign.json"
    campaign.parent.mkdir(parents=True)
    campaign.write_text("{")
    for _ in range(2):
        page = guest.get("/").text
        assert page.count('<td class="idea">') == 2 and page.count("is damaged") == 2


def test_a_damaged_journal_is_told_with_what_still_stands(plain: Path, script: Script, guest: Visitor) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review()))
    with sqlite3.connect(Home(plain).find(name).folder / "journal.sqlite") as database:
        database.execute("UPDATE entries SET body = '{}' WHERE kind = 'step' AND key = '1'")
    page = guest.get(f"/sessions/{name}/steps/1")
    assert page.status == 404 and f"circle resume {name} says which step still stands" in page.text
    assert "goes on from" in circle(plain, "resume", name).stderr


def test_a_researcher_that_has_no_such_idea_says_what_it_has(guest: Visitor) -> None:
    refused = guest.post("/start", {"idea": "something entirely of my own", "researcher": "catalogue"})
    assert refused.json["error"].startswith("The catalogue has no idea like") and "z-loss" in refused.json["error"]


@pytest.mark.parametrize("path", ["/campaigns/%00", "/sessions/%00", "/log", f"/sessions/x/steps/{'9' * 5000}"])
def test_whatever_is_asked_for_is_answered_with_a_sentence(plain: Path, guest: Visitor, path: str) -> None:
    log = plain / "docs" / "research" / "idea_log.md"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"# Idea log\xff")
    answer = guest.get(path)
    assert answer.status in (200, 404) and "<h1" in answer.text


@pytest.mark.parametrize("body", [b"[" * 30_000, b"nothing", b"[]", b'{"at": "x"}'])
def test_a_form_that_is_none_is_told(guest: Visitor, body: bytes) -> None:
    headers = {"Cookie": guest.cookie, "Origin": f"http://{guest.host}", "X-Circle-Word": guest.word}
    answer = guest.send("POST", "/sessions/x/fork", headers | {"Content-Type": "application/json"}, body)
    assert answer.status in (400, 422) and answer.json["error"]


def test_one_of_two_decisions_at_once_stands_and_one_process_goes_on(
    plain: Path, script: Script, guest: Visitor
) -> None:
    name, sha = waiting(plain, script(LOWER, change(), review(), analysis(), revision(exhausted=True)))
    form = {"decision": "approved", "sha256": sha, "version": 1}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: guest.post(f"/sessions/{name}/decide", form).status, range(4)))
    assert sorted(answers) == [200, 409, 409, 409]
    guest.until(name, "concluded")
    assert "another process" not in (Home(plain).find(name).folder / LOG).read_text()


def test_a_signal_ends_the_page_with_a_stream_open_and_says_nothing_else(plain: Path, script: Script) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review()))
    command = [sys.executable, "-m", "agents.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=plain, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        guest = Visitor(next(line.strip() for line in page.stdout if line.startswith("http"))).enter()
        stream = http.client.HTTPConnection("127.0.0.1", guest.port, timeout=30)
        stream.request("GET", f"/sessions/{name}/events", headers={"Host": guest.host, "Cookie": guest.cookie})
        assert stream.getresponse().readline() == b"event: view\n"
        page.send_signal(signal.SIGTERM)
        said = page.communicate(timeout=30)
    assert page.returncode == 0 and said == ("The page has ended; sessions go on.\n", "")
