"""How soon the page of a full store is painted: `python -m benchmarks.page [--sessions 1000] [--starts 8]`.

A store is filled with copies of the recorded sessions, served, and opened in a Chromium: a cold start first, then
again, then in other orders, for which every row is read. Milliseconds of this machine, over loopback.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from agents.carry import bring
from agents.sealed import read_sealed, write_sealed
from agents.session import Home
from tests.commands import ROOT, TARGETS, git
from tests.web.browser import chromium
from tests.web.visitor import served

PAINTED = """new Promise((done) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  if (paint) done([performance.getEntriesByType("navigation")[0].responseStart, paint.startTime]);
}).observe({ type: "paint", buffered: true }))"""
PAGES = {
    "the list again": "/",
    "by effect, every row read": "/?order=-effect",
    "by effect again": "/?order=-effect",
    "victories alone": "/?status=victory",
    "the last page": "/?page=50",
    "one sentence, to compare": "/nowhere",
}


def main() -> None:
    """Fill, serve, open, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=1, help="of the server; of several, medians and ranges")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="circle-page-") as scratch:
        target = Path(scratch) / "plain"
        _fill(target, given.sessions)
        print(f"{given.sessions} sessions; milliseconds to the server's first byte, and to the first paint")
        starts = [list(_painted(target)) for _ in range(given.starts)]
        for rows in zip(*starts, strict=True):
            sent, painted = _told([row[1] for row in rows]), _told([row[2] for row in rows])
            print(f"{rows[0][0]:<28} {sent:>18} {painted:>18}")


def _fill(target: Path, count: int) -> None:
    """Make a target with so many sessions: copies of the recorded ones, each with an id of its own."""
    shutil.copytree(TARGETS / "plain", target)
    git(target, "init", "-q", "-b", "main")
    git(target, "add", "-A")
    git(target, "commit", "-qm", "The training code")
    home = Home(target)
    originals = [bring(home, file) for file in sorted((ROOT / "tests" / "sessions").glob("*.circle"))]
    for original in originals:
        summary = original.summed_up(original.status()).model_dump(mode="json")
        write_sealed(original.folder / "summary.json", summary)
    for number in range(count - len(originals)):
        original = originals[number % len(originals)]
        name = f"20260101-{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-{number:04x}"
        folder = original.folder.with_name(name)
        shutil.copytree(original.folder, folder, copy_function=os.link)
        (folder / "session.json").unlink()
        write_sealed(folder / "session.json", read_sealed(original.folder / "session.json") | {"id": name})


def _told(milliseconds: list[float]) -> str:
    """A number, or the median and the range of several."""
    middle = f"{median(milliseconds):.0f}"
    return middle if len(milliseconds) == 1 else f"{middle} ({min(milliseconds):.0f} to {max(milliseconds):.0f})"


def _painted(target: Path) -> Iterator[tuple[str, float, float]]:
    with served(target) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        yield "the first page of all", *page.evaluate(PAINTED)
        for name, path in PAGES.items():
            page.goto(address.partition("/?")[0] + path)
            yield name, *page.evaluate(PAINTED)


if __name__ == "__main__":
    main()
