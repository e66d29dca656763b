"""Times on the command line: what is written, in seconds."""

from __future__ import annotations

import pytest

from afterfit.cli.durations import seconds_of
from afterfit.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("200ms", 0.2),
        ("10m", 600.0),
        (" 5 min ", 300.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
    ],
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    """Without a unit they are seconds."""
    assert seconds_of(text, "--soak") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "0s", "-5m", "1w", "10mm", "nan", "1e3"])
def test_what_is_no_time_names_its_option(text: str) -> None:
    """Nothing takes no time, so 0 is an error too."""
    with pytest.raises(UsageError, match="not a time") as caught:
        seconds_of(text, "--soak")
    assert caught.value.where == "--soak"
    assert caught.value.fix.startswith("--soak ")
