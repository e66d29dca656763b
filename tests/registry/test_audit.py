"""The audit log: what a changed line looks like, and what a crash leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.core.digest import canonical_json
from afterfit.errors import IntegrityError, ResourceError
from afterfit.registry.audit import AuditLog, Entry
from afterfit.registry.registry import Registry

LINES = 6
Edit = Callable[[list[bytes]], list[bytes]]


def edited(lines: list[bytes], number: int, **words: object) -> list[bytes]:
    """The lines with some words of one line changed, its hash made anew."""
    body = {**json.loads(lines[number - 1]), **words}
    entry = msgspec.convert(body, Entry)
    entry = msgspec.structs.replace(entry, hash=entry.computed_hash())
    changed = canonical_json(entry) + b"\n"
    return [*lines[: number - 1], changed, *lines[number:]]


def forged(lines: list[bytes], number: int, old: bytes, new: bytes) -> list[bytes]:
    """The lines with some bytes of one line changed, its hash as it was."""
    assert old in lines[number - 1]
    return [*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]


@pytest.fixture
def noted(registry: Registry) -> Registry:
    """A registry whose log has six lines."""
    for number in range(1, LINES + 1):
        registry.note("trust", who="ana", name="churn", to=f"thing-{number}")
    return registry


def change(registry: Registry, edit: Edit) -> None:
    """Write the log anew after an edit of its lines."""
    path = AuditLog(registry.folder).path
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        pytest.param(lambda lines: forged(lines, 3, b"ana", b"eve"), 3, id="edited"),
        pytest.param(lambda lines: edited(lines, 3, who="eve"), 4, id="edited and hashed anew"),
        pytest.param(lambda lines: [*lines[:2], *lines[3:]], 3, id="removed"),
        pytest.param(lambda lines: lines[1:], 1, id="first removed"),
        pytest.param(lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, id="put in twice"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], 1, id="exchanged"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:20], *lines[3:]], 3, id="cut inside"),
        pytest.param(lambda lines: lines[:4], 5, id="tail cut"),
        pytest.param(lambda _: [], 1, id="emptied"),
        pytest.param(lambda lines: edited(lines, 6, who="eve"), 6, id="last edited, hashed anew"),
        pytest.param(lambda lines: [*lines[:5], lines[5][:-1]], 6, id="last newline gone"),
        pytest.param(
            lambda lines: forged(lines, 2, b'"who":"ana"', b'"who": "ana"'), None, id="a space"
        ),
    ],
)
def test_a_changed_log_is_noticed_at_its_line(
    edit: Edit, line: int | None, noted: Registry
) -> None:
    """verify_log names the line; a change that alters no word (a space) is no change."""
    change(noted, edit)
    if line is None:
        assert noted.verify_log().lines == LINES
        return
    with pytest.raises(IntegrityError) as caught:
        noted.verify_log()
    assert caught.value.where == f"{AuditLog(noted.folder).path}:{line}"


def test_a_deleted_log_is_noticed(noted: Registry) -> None:
    """The head remembers that there were lines."""
    AuditLog(noted.folder).path.unlink()
    with pytest.raises(IntegrityError, match="ends after line 0, but it had 6"):
        noted.verify_log()


def test_nothing_is_added_to_a_log_that_was_cut(noted: Registry) -> None:
    """A new line would hide the cut, so a change is refused; reading goes on."""
    change(noted, lambda lines: lines[:4])
    again = Registry(noted.folder, noted.blobs)
    with pytest.raises(IntegrityError, match="ends after line 4"):
        again.note("trust", who="ana")
    assert again.list() == ()


def test_a_torn_last_line_is_cut_off_with_a_note(noted: Registry) -> None:
    """Half a line at the end is what a crash leaves: it goes, and a line says so."""
    whole = AuditLog(noted.folder).path.read_bytes()
    AuditLog(noted.folder).path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:30])
    again = Registry(noted.folder, noted.blobs)
    assert again.verify_log().lines == LINES + 1
    last = again.log()[-1]
    assert (last.action, last.details) == ("repair", {"removed_bytes": 30})


def test_a_head_one_line_behind_is_brought_up(noted: Registry) -> None:
    """A crash between the line and the head leaves the head behind; opening mends it."""
    head = AuditLog(noted.folder).head_path.read_bytes()
    noted.note("trust", who="ana", to="seventh")
    AuditLog(noted.folder).head_path.write_bytes(head)
    assert noted.verify_log().lines == LINES + 1
    again = Registry(noted.folder, noted.blobs)
    assert AuditLog(again.folder).head().seq == LINES + 1


def test_a_head_two_lines_behind_is_no_crash(noted: Registry) -> None:
    """Lines put at the end without the head are refused."""
    head = AuditLog(noted.folder).head_path.read_bytes()
    noted.note("trust", who="ana")
    noted.note("trust", who="ana")
    AuditLog(noted.folder).head_path.write_bytes(head)
    with pytest.raises(IntegrityError, match=f"line {LINES + 2}"):
        noted.verify_log()


def test_a_full_disk_leaves_no_half_line(noted: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of a line is taken back, so the next one starts a line of its own."""
    real = os.write
    calls = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ResourceError, match="disk is full"):
            noted.note("trust", who="ana")
    assert noted.verify_log().lines == LINES
    assert noted.note("trust", who="ana").seq == LINES + 1


def test_long_lines_are_read_from_the_end(registry: Registry) -> None:
    """A line longer than what is read at once is found whole."""
    registry.note("trust", who="ana", details={"words": "x" * 300_000})
    entry = registry.note("trust", who="ana", details={"words": "y" * 300_000})
    last = AuditLog(registry.folder).last_entry()
    assert last == entry
    assert registry.verify_log().head == entry.hash


@settings(max_examples=20)
@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_words_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    """Line breaks, quotes and signs of any script are kept, a line each."""
    log = AuditLog(
        tmp_path_factory.mktemp("log"), clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    )
    for word in words:
        log.append("trust", who=word, why=word, details={"word": word})
    assert [entry.why for entry in log.entries()] == words
    assert log.verify().lines == len(words)
    assert {entry.time for entry in log.entries()} <= {"2026-01-02T03:04:05.000000+00:00"}
