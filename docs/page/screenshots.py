"""Takes the pictures of this folder: `python docs/page/screenshots.py`, from the repository's root.

Each view is of real sessions: the recorded ones, and one that is started here and waits with its diff.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from agents.carry import bring  # noqa: E402
from agents.session import Home  # noqa: E402
from tests.commands import circle, git, scratch_repository, session_id  # noqa: E402
from tests.web.browser import chromium  # noqa: E402
from tests.web.visitor import served  # noqa: E402

WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 800}
IDEA = "Let every token see its neighbours without attention"


def main() -> None:
    """Make a target with sessions, and photograph its page."""
    with tempfile.TemporaryDirectory(prefix="circle-page-") as scratch:
        target = Path(scratch) / "research"
        target.mkdir()
        scratch_repository(target)
        home = Home(target)
        recorded = [bring(home, file) for file in sorted((ROOT / "tests" / "sessions").glob("*.circle"))]
        won = next(one for one in recorded if one.session.idea.text and len(one.state()["versions"]) > 1)
        command = ("start", "--preset", "smoke", "--researcher", "catalogue", "--max-versions", "1", IDEA)
        waiting = session_id(circle(target, *command).stderr)
        _photograph(target, f"/sessions/{won.session.id}", f"/sessions/{waiting}")
        shutil.rmtree(target / ".circle")
        git(target, "worktree", "prune")


def _photograph(target: Path, won: str, waiting: str) -> None:
    views = {
        "sessions": ("/", WIDE, "light"),
        "live": (won, WIDE, "light"),
        "diff": (f"{waiting}/diff", WIDE, "light"),
        "replay": (f"{won}/steps/8", WIDE, "dark"),
        "report": (f"{won}/report", WIDE, "light"),
        "phone": (won, PHONE, "dark"),
    }
    with served(target) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        for name, (path, size, scheme) in views.items():
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.goto(address.partition("/?")[0] + path)
            if path == won:
                page.locator("#proof .main-svg").first.wait_for()
            if name == "diff":
                page.keyboard.press("j")
            page.screenshot(path=Path(__file__).with_name(f"{name}.png"), full_page=name == "live")


if __name__ == "__main__":
    main()
