"""The browser of the tests: Debian's Chromium, driven by Playwright, which downloads none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

VARIABLE = "AFTERFIT_TEST_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def real_browser(environ: Mapping[str, str]) -> str:
    """The path of Chromium; skips or fails the test where it is not there.

    It is what ``AFTERFIT_TEST_BROWSER`` names, or the first that is on PATH. A missing one skips
    the test and says so; it fails the test in continuous integration (``CI=true``) unless the
    variable is empty, which says that there is none.
    """
    named = environ.get(VARIABLE)
    if named != "":
        wanted = (named,) if named else NAMES
        found = next(
            filter(None, (shutil.which(name, path=environ.get("PATH")) for name in wanted)), ""
        )
        if found:
            return found
    return absent(environ, "no Chromium is there")


def absent(environ: Mapping[str, str], why: str) -> str:
    """Skip, or fail where continuous integration was not told that there is no browser."""
    message = f"NOT RUN: {why} ({VARIABLE}, CONTRIBUTING.md)"
    if environ.get("CI") == "true" and environ.get(VARIABLE) != "":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser for as long as it is needed; its event loop ends with it."""
    path = real_browser(os.environ)
    if importlib.util.find_spec("playwright") is None:
        absent(os.environ, "Playwright is not installed: make setup")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox of Chromium refuses to run as root, as in most containers.
        args = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=args)
        try:
            yield browser
        finally:
            browser.close()
