"""A real Chromium for the page's tests and its screenshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update")


def program() -> str:
    """Return the path of a Chromium on this machine, or "" if there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), "")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give the browser; as root it has no sandbox of its own."""
    flags = [*FLAGS, *["--no-sandbox"] * (os.geteuid() == 0)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=flags)
        try:
            yield browser
        finally:
            browser.close()
