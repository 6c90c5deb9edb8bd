"""A person at the page: they start, watch, approve, reject, replay, fork, come back, and have it open twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.session import Home
from agents.show import document
from tests.commands import analysis, change, circle, plan, review, revision
from tests.test_approval import CONSTANT, LOWER, constant, waiting
from tests.web.test_pages import HOSTILE
from tests.web.visitor import served

pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright: pip install 'circle-research[dev]'"
)

from playwright.sync_api import Browser, Page, expect

from tests.web.browser import chromium, program

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not program(), reason="the browser tests need a Chromium: apt-get install chromium"),
]
Script = Callable[..., str]
SOON = 60_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, plain: Path) -> Iterator[Page]:
    """Give the plain target's page, opened by its address; nothing of it may come from elsewhere, or go wrong."""
    with served(plain) as address:
        yield from _opened(browser, address)


def _opened(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    yield page
    home = address.partition("/?")[0]
    assert [url for url in asked if not url.startswith((home, "data:", "blob:"))] == []
    assert wrong == []
    context.close()


def _go(page: Page, path: str) -> None:
    scheme, _, host = page.url.split("/")[:3]
    page.goto(f"{scheme}//{host}{path}")


def test_a_session_is_started_watched_and_approved_with_the_keyboard(page: Page, plain: Path, script: Script) -> None:
    replies = (CONSTANT, change(constant(plain)), review(), analysis(), revision(exhausted=True))
    page.get_by_label("Idea", exact=True).fill("A constant")
    page.get_by_label("Researcher").fill(script(*replies))
    page.get_by_label("Runs at most").fill("12")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="A constant")).to_be_visible(timeout=SOON)
    expect(page.locator("#status")).to_have_text("waits for you", timeout=SOON)
    expect(page.locator("#graph .on")).to_have_text("approval")
    page.get_by_role("link", name="Look at the diff that waits").click()
    page.wait_for_url("**/diff")
    page.keyboard.press("j")
    expect(page.locator(".hunk:focus")).to_have_count(1)
    page.keyboard.press("r")
    expect(page.get_by_label("Words for the record")).to_be_focused()
    page.keyboard.type("As planned.")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Approve these bytes")).to_be_focused()
    sha = page.locator("#sha").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("ended without a victory", timeout=SOON)
    approval = document(Home(plain).sessions()[0])["versions"][0]["approval"]
    assert (approval["decision"], approval["sha256"], approval["comment"]) == ("approved", sha, "As planned.")
    expect(page.locator("#curves .main-svg").first).to_be_visible()


def test_a_rejection_goes_back_with_its_words(page: Page, plain: Path, script: Script) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review(), CONSTANT, change(constant(plain)), review()))
    _go(page, f"/sessions/{name}/diff")
    page.get_by_role("button", name="Reject with these words").click()
    expect(page.locator("#notice")).to_contain_text("needs words")
    page.get_by_label("Words for the record").fill("Try a constant.")
    page.get_by_role("button", name="Reject with these words").click()
    expect(page.locator("#versions")).to_contain_text("V2 A constant", timeout=SOON)
    expect(page.locator("#status")).to_have_text("waits for you", timeout=SOON)


def test_a_session_is_scrubbed_through_replayed_and_forked(page: Page, plain: Path, script: Script) -> None:
    broken = review({"severity": "CRITICAL", "file": "model.py", "line": 1, "issue": "Wrong.", "fix": "Mend it."})
    replies = (CONSTANT, change(constant(plain)), broken, change(constant(plain, "# mended\n")), review())
    name, _ = waiting(plain, script(*replies))
    _go(page, f"/sessions/{name}/steps")
    page.get_by_role("link", name="Next failure").click()
    page.wait_for_url("**/steps/*")
    expect(page.get_by_role("heading", name=re.compile("reviewer"))).to_be_visible()
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name=re.compile("implementer"))).to_be_visible()
    expect(page.locator(".added .word, .added")).not_to_have_count(0)
    page.get_by_role("button", name="Run today's graph").click()
    expect(page.locator("#replayed")).to_contain_text("Identical", timeout=SOON)
    page.locator("#scrubber").fill("1")
    expect(page.get_by_role("heading", name=re.compile("1. baseline"))).to_be_visible()
    page.get_by_text("Fork from here").click()
    page.get_by_label("Another idea").fill("Another rate")
    page.locator("#fork").get_by_label("Researcher").fill(script(LOWER, change(), review()))
    page.get_by_role("button", name="Fork at step 1").click()
    expect(page.get_by_role("heading", name="Another rate")).to_be_visible(timeout=SOON)
    expect(page.locator(".family")).to_contain_text(name)
    expect(page.locator("#status")).to_have_text("waits for you", timeout=SOON)


def test_two_tabs_decide_at_once_and_one_decision_stands(page: Page, plain: Path, script: Script) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review(), analysis(), revision(exhausted=True)))
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(page.url.partition("/sessions")[0].rstrip("/") + f"/sessions/{name}/diff")
    page.get_by_label("Words for the record").fill("One.")
    other.get_by_label("Words for the record").fill("Two.")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#status")).to_be_visible(timeout=SOON)
    other.get_by_role("button", name="Approve").click()
    expect(other.locator("#notice")).to_contain_text(re.compile("does not wait|already"), timeout=SOON)
    expect(page.locator("#status")).to_have_text("ended without a victory", timeout=SOON)
    assert document(Home(plain).find(name))["versions"][0]["approval"]["comment"] == "One."


def test_the_server_goes_and_comes_back_and_the_session_knows_nothing_of_it(
    browser: Browser, plain: Path, script: Script
) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review()))
    context = browser.new_context()
    page = context.new_page()
    with served(plain) as address:
        page.goto(address)
        _go(page, f"/sessions/{name}")
        expect(page.locator("#status")).to_have_text("waits for you")
        typing = context.new_page()
        typing.goto(address.partition("?")[0])
        typing.get_by_text("Start a session").click()
        typing.get_by_label("Idea", exact=True).fill("Typed before")
    for tab in (page, typing):
        expect(tab.locator("#notice")).to_contain_text("does not answer", timeout=SOON)
    port = int(re.findall(r":(\d+)/", address)[0])
    with served(plain, port) as again:
        context.new_page().goto(again)
        for tab in (page, typing):
            expect(tab.locator("#notice")).to_be_hidden(timeout=SOON)
        expect(typing.get_by_label("Idea", exact=True)).to_have_value("Typed before")
        typing.get_by_label("Researcher").fill(script(LOWER, change(), review()))
        typing.get_by_role("button", name="Start").click()
        expect(typing.get_by_role("heading", name="Typed before")).to_be_visible(timeout=SOON)
        expect(page.locator("#status")).to_have_text("waits for you")
        page.get_by_role("link", name="Look at the diff that waits").click()
        page.get_by_label("Words for the record").fill("It is back.")
        page.get_by_role("button", name="Reject").click()
        expect(page.locator("#told")).to_contain_text(re.compile("running|stopped"), timeout=SOON)
    context.close()


def test_a_decision_made_elsewhere_takes_the_buttons_away(page: Page, plain: Path, script: Script) -> None:
    name, sha = waiting(plain, script(LOWER, change(), review(), analysis(), revision(exhausted=True)))
    _go(page, f"/sessions/{name}/diff")
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()
    circle(plain, "reject", name, "--sha", sha, "--comment", "Another one.")
    expect(page.locator("#notice")).to_contain_text("has changed meanwhile", timeout=SOON)
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    page.get_by_role("button", name="Close").click()
    with page.expect_response(lambda answer: answer.url.endswith("/diff")):
        expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#notice")).to_be_hidden()


def test_on_a_phone_every_changed_line_and_the_running_node_can_be_seen(
    page: Page, plain: Path, script: Script
) -> None:
    name, _ = waiting(plain, script(CONSTANT, change(constant(plain)), review()))
    page.set_viewport_size({"width": 390, "height": 800})
    _go(page, f"/sessions/{name}/diff")
    for line in page.locator("td.added:not(.no), td.removed:not(.no)").all():
        box = line.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    _go(page, f"/sessions/{name}")
    expect(page.locator("#graph .on")).to_be_in_viewport(ratio=1)


def test_a_long_word_widens_no_page(page: Page, plain: Path, script: Script) -> None:
    word = "w" * 180
    issue = {"severity": "WARNING", "file": word, "line": 1, "issue": word, "fix": word}
    name, _ = waiting(plain, script(plan(word, ("rate", 0.01, 0.003)), change(), review(issue)))
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for path in ("/", f"/sessions/{name}", f"/sessions/{name}/diff", f"/sessions/{name}/steps/2"):
            _go(page, path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


def test_the_scrubber_is_moved_by_keys(page: Page, plain: Path, script: Script) -> None:
    name, _ = waiting(plain, script(LOWER, change(), review()))
    _go(page, f"/sessions/{name}/steps/1")
    page.locator("#scrubber").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**/steps/3#scrubber")
    expect(page.locator("#scrubber")).to_be_focused()


def test_hostile_words_do_nothing_in_a_real_browser(page: Page, plain: Path, script: Script) -> None:
    alerts: list[Any] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    issue = {"severity": "WARNING", "file": HOSTILE, "line": 1, "issue": HOSTILE, "fix": HOSTILE}
    name, _ = waiting(plain, script(plan(HOSTILE, ("rate", 0.01, 0.003)), change(), review(issue)))
    for path in ("/", f"/sessions/{name}", f"/sessions/{name}/diff", f"/sessions/{name}/steps/2"):
        _go(page, path)
        expect(page.locator("h1")).to_be_visible()
        assert page.locator("main img[src=x], main script:not([type])").count() == 0
    assert alerts == []


def test_the_list_is_filtered_and_renews_itself(page: Page, plain: Path, script: Script) -> None:
    waiting(plain, script(LOWER, change(), review()))
    expect(page.get_by_role("link", name="Rate")).to_be_visible(timeout=SOON)
    page.locator("select[name=status]").select_option("victory")
    expect(page.get_by_text("No session matches")).to_be_visible()
    page.locator("input[name=words]").fill("rate")
    page.locator("select[name=status]").select_option("")
    expect(page).to_have_url(re.compile("words=rate"))
    expect(page.get_by_role("link", name="Rate")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing_serious_and_nothing_overflows(
    browser: Browser, recorded: Path, scheme: Any, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    name = next(one.session.id for one in Home(recorded).sessions() if one.status() == "victory")
    base = f"/sessions/{name}"
    with served(recorded) as address:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto(address)
        for path in ("/", base, f"{base}/diff", f"{base}/steps/4", f"{base}/report", "/log", "/nowhere"):
            _go(page, path)
            found = Axe().run(page).response["violations"]
            serious = [
                (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        context.close()
