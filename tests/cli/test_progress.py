"""What a person sees while a command works."""

from __future__ import annotations

import re

import pytest

from afterfit.cli.progress import TerminalProgress


def test_lines_stand_in_the_order_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that is reused is told after the one before it, which is done by then."""
    with TerminalProgress() as progress:
        progress.step("training")
        progress.say("  = inspect: nothing changed, its record is reused")
        progress.step("package")
    lines = re.sub(r" \(.*", "", capsys.readouterr().err, flags=re.MULTILINE).splitlines()
    assert lines == [
        "  ✓ training",
        "  = inspect: nothing changed, its record is reused",
        "  ✓ package",
    ]
