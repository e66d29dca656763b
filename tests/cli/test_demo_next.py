"""What the demo says to do next, which has to work whether or not its gates passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from afterfit.cli.demo import _next


@pytest.mark.parametrize(
    ("verdict", "ref"), [("promoted", "fraud@champion"), ("stopped", "fraud@1")]
)
def test_the_commands_name_a_version_that_there_is(verdict: str, ref: str) -> None:
    """On a machine too slow for every gate nothing is champion: the version has its number."""
    release: Any = SimpleNamespace(verdict=verdict, record=SimpleNamespace(name="fraud", version=1))
    told = _next(Path("demo"), release, 60.0)
    assert [line.split()[1:] for line in told.splitlines()[2:]] == [
        ["serve", ref, "#", "http://127.0.0.1:8080"],
        ["predict", ref, "new_payments.csv", "-o", "scored.csv"],
        ["monitor", "report", ref, "--log", "scored.csv"],
        ["version", "log", "fraud"],
    ]
