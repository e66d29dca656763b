"""A browser that is missing never reads as passed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.browser.chromium import VARIABLE, real_browser


def program(folder: Path) -> str:
    """A program called chromium in a folder."""
    path = folder / "chromium"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_browser_is_found_on_path_or_by_its_name(tmp_path: Path) -> None:
    """The variable goes before PATH."""
    path = program(tmp_path)
    assert real_browser({"PATH": str(tmp_path)}) == path
    assert real_browser({"PATH": "", VARIABLE: path}) == path


@pytest.mark.parametrize("environ", [{}, {VARIABLE: "/no/such/file"}, {VARIABLE: "", "CI": "true"}])
def test_a_missing_browser_skips_loudly(environ: dict[str, str], tmp_path: Path) -> None:
    """On a developer's machine, and where the variable says that there is none."""
    program(tmp_path)
    folder = str(tmp_path) if environ.get(VARIABLE) == "" else ""
    with pytest.raises(pytest.skip.Exception, match=f"NOT RUN: .*{VARIABLE}"):
        real_browser({"PATH": folder, **environ})


def test_a_missing_browser_fails_in_continuous_integration() -> None:
    """Nothing that should have run is passed over there."""
    with pytest.raises(pytest.fail.Exception, match="NOT RUN"):
        real_browser({"PATH": "", "CI": "true"})
