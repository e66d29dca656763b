"""The thread that starts processes: its priority, its errors, and a fork."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from afterfit.runtime import quiet
from afterfit.runtime.quiet import LOWEST, NICENESS, gently
from afterfit.runtime.starter import Starter

linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority on Linux only")


def priority() -> int:
    """The niceness of the thread that asks."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@linux
def test_it_has_the_priority_of_who_waits_for_work_that_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where nothing was started before: the work itself would hand on its own."""
    fresh = Starter()
    monkeypatch.setattr(quiet, "starter", fresh)
    work, started = asyncio.run(gently(lambda: (priority(), fresh.call(priority))))
    assert (work, started) == (min(LOWEST, priority() + NICENESS), priority())


def test_it_is_one_thread_and_raises_where_it_was_asked() -> None:
    """An error is the caller's, and the next one is served."""
    fresh = Starter()
    with pytest.raises(ZeroDivisionError):
        fresh.call(lambda: 1 // 0)
    assert fresh.call(threading.get_native_id) == fresh.ready() != threading.get_native_id()


def test_a_process_that_was_forked_gets_its_own() -> None:
    """None of the parent's threads runs there."""
    fresh = Starter()
    fresh.ready()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(fresh.call(os.getpid)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == str(child)
