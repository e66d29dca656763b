"""Silences and maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.monitor.alarms.samples import HOUR, one

from afterfit.errors import ConfigError, NotFoundError, UsageError
from afterfit.monitor.silence import Quiet, Silence, SilenceBook, parse_maintenance


class Lines:
    """An audit log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def note(self, action: str, *, who: str, **words: Any) -> None:
        """Keep a line."""
        self.lines.append((action, who, words["why"]))


def silence(pattern: str = "*", **more: Any) -> Silence:
    """Four hours of it."""
    told: dict[str, Any] = {"since": HOUR, "until": 5 * HOUR, "who": "anna", "why": "known"}
    return Silence(pattern=pattern, **(told | more))


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [("performance", True), ("performance/recall", True), ("perf*/re?all", True), ("*", True),
     ("recall", False), ("drift*", False), (one().id, True)],
)  # fmt: skip
def test_a_pattern_is_an_id_or_a_signal_and_its_subject(pattern: str, *, covers: bool) -> None:
    """From its beginning until its end, and for the model that it names."""
    held = silence(pattern)
    assert held.covers(one(), HOUR) is covers
    assert not held.covers(one(), HOUR - 1)
    assert not held.covers(one(), 5 * HOUR)
    assert not silence(pattern, model="other").covers(one(), HOUR)


def test_silences_are_kept_with_a_line_each(tmp_path: Path) -> None:
    """Who and why are in the audit log; one ends early by its name, which stays."""
    lines = Lines()
    book = SilenceBook(tmp_path / "monitor" / "silences.json", lines)
    assert book.read() == ()
    held = book.add(silence())
    assert SilenceBook(book.path, lines).read() == (held,)
    ended = book.end(held.id, who="ben", now=2 * HOUR)
    assert (ended.id, book.read()[0].until, book.read()[0].id) == (held.id, 2 * HOUR, held.id)
    assert lines.lines == [("monitor_silence", "anna", "known"),
                           ("monitor_silence_end", "ben", "known")]  # fmt: skip
    other = SilenceBook(book.path, lines)
    assert Quiet(other.now).of(one(), HOUR).startswith("silence ")
    assert Quiet(other.now).of(one(), 3 * HOUR) == ""
    with pytest.raises(NotFoundError, match="no silence"):
        book.end(held.id, who="ben", now=3 * HOUR)
    with pytest.raises(UsageError, match="needs a reason"):
        book.add(msgspec.structs.replace(held, why=" "))
    with pytest.raises(UsageError, match="over before"):
        book.add(msgspec.structs.replace(held, until=0))
    book.path.write_text("[{", "utf-8")
    assert len(other.now()) == 1
    with pytest.raises(ConfigError, match="cannot be read"):
        book.read()


def at(text: str) -> int:
    """µs since 1970 of a time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("text", "moment", "holds"),
    [
        ("sun 02:00-04:00", "2026-11-29T02:00", True),
        ("sun 02:00-04:00", "2026-11-29T04:00", False),
        ("sun 02:00-04:00", "2026-11-28T03:00", False),
        ("Mon,Sun 02:00-04:00", "2026-11-30T03:59", True),
        ("daily 23:00-01:00", "2026-11-27T23:30", True),
        ("daily 23:00-01:00", "2026-11-27T00:30", True),
        ("daily 23:00-01:00", "2026-11-27T12:00", False),
        ("sat 23:00-01:00", "2026-11-29T00:30", True),
        ("sat 23:00-01:00", "2026-11-28T00:30", False),
        ("2026-12-01T22:00/2026-12-02T02:00", "2026-12-02T01:59", True),
        ("2026-12-01T22:00+01:00/2026-12-02T02:00", "2026-12-01T21:00", True),
        ("2026-12-01T22:00/2026-12-02T02:00", "2026-12-02T02:00", False),
    ],
)
def test_maintenance_is_weekly_or_once(text: str, moment: str, *, holds: bool) -> None:
    """In UTC, over midnight too; the end is excluded."""
    assert parse_maintenance(text).holds(at(moment)) is holds


@pytest.mark.parametrize(
    "text",
    ["", "sunday", "foo 02:00-04:00", "sun 25:00-26:00", "sun 02:00-02:00",
     "2026-12-02/2026-12-01", "2026-12-01", "a/b/c"],
)  # fmt: skip
def test_what_is_no_maintenance_is_refused(text: str) -> None:
    """With how it is written."""
    with pytest.raises(ConfigError, match="no maintenance window") as caught:
        parse_maintenance(text)
    assert "daily" in caught.value.fix
