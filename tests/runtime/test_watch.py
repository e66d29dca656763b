"""Whether a file that changed is seen, however it was changed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from afterfit.runtime import watch as module
from afterfit.runtime.watch import FileWatch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that was written just now."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    return file


def looked(path: Path) -> FileWatch:
    """A watch that has seen the file, and was asked again."""
    watch = FileWatch([path])
    assert watch.changed()
    assert not watch.changed()
    return watch


def test_a_replaced_file_is_seen_once(path: Path) -> None:
    """As writers that rename do it."""
    watch = looked(path)
    new = path.with_name("new")
    new.write_bytes(b"two")
    new.replace(path)
    assert watch.changed()
    assert not watch.changed()


def test_a_second_change_within_one_tick_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in place, with times, size and inode as they were: a young file is read again."""
    now = time.time_ns()
    monkeypatch.setattr(module, "_mark", lambda _: (now, now, 3, 1, 1))
    watch = looked(path)
    path.write_bytes(b"two")
    assert watch.changed()


def test_a_touched_file_with_the_same_bytes_is_no_change(path: Path) -> None:
    """Nothing is loaded again for it."""
    watch = looked(path)
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert not watch.changed()


def test_another_mode_is_a_change(path: Path) -> None:
    """What was refused for its mode is tried again after the chmod."""
    path.chmod(0o666)
    watch = looked(path)
    path.chmod(0o600)
    assert watch.changed()


def test_a_file_that_goes_and_comes_is_seen_both_times(path: Path) -> None:
    """Absence is a state like another."""
    watch = looked(path)
    path.unlink()
    assert watch.changed()
    assert not watch.changed()
    path.write_bytes(b"one")
    assert watch.changed()


def test_the_target_of_a_link_is_what_counts(path: Path, tmp_path: Path) -> None:
    """Mounted secrets are links that are moved from one folder to the next."""
    link = tmp_path / "link"
    link.symlink_to(path)
    watch = looked(link)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    fresh = tmp_path / "fresh"
    fresh.symlink_to(other)
    fresh.replace(link)
    assert watch.changed()


def test_a_settled_file_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the last change is more than two seconds past, a look is one stat."""
    watch = looked(path)
    late = time.time_ns() + 3_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: late)
    assert not watch.changed()
    monkeypatch.setattr(watch, "_read", lambda: pytest.fail("read again"))
    assert not watch.changed()
