"""Waking at a moment, more exactly than the timers of an event loop, which round to 1 ms.

Linux has timers that are files (timerfd): the loop sleeps in its usual wait and is woken within
some tens of microseconds, and the core is free for the server meanwhile. Elsewhere the last
milliseconds are spent turning round and round.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

SOON_S = 30e-6
"""Less is not worth a timer: setting one and being woken by it takes as long."""
SPIN_S = 2e-3
"""Timers of the loop may be late by 1 ms and come early by as much."""
_PR_SET_TIMERSLACK = 29
_MONOTONIC, _ABSOLUTE = 1, 1


class Alarm(Protocol):
    """Calls a function once at each moment that it is set to."""

    spins: bool
    """Whether waiting takes the whole core."""

    def set(self, moment: float) -> None:
        """Call the function at a moment of the monotonic clock (s), or at once if it is over."""
        ...

    def close(self) -> None:
        """Wait for nothing any more."""
        ...


def alarm(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Alarm:
    """Return the most exact alarm that there is here."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            return TimerFile(loop, call)
    return Turning(loop, call)


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "s", "ns")]


class TimerFile:
    """An alarm that is a file; raises OSError or AttributeError where there are none."""

    spins = False

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        self._settime = libc.timerfd_settime
        self._spec = _Spec()
        self._place = ctypes.byref(self._spec)
        self._file = libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "no timerfd")
        loop.add_reader(self._file, self._rung)

    def set(self, moment: float) -> None:
        """Call the function at a moment of the monotonic clock (s), or at once if it is over."""
        if moment - time.monotonic() < SOON_S:
            self._loop.call_soon(self._call)
            return
        whole = int(moment)
        self._spec.s, self._spec.ns = whole, int((moment - whole) * 1e9)
        self._settime(self._file, _ABSOLUTE, self._place, None)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _rung(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._file, 8)
            self._call()


class Turning:
    """An alarm that sleeps until 2 ms before and looks at the clock from then on."""

    spins = True

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._closed = False

    def set(self, moment: float) -> None:
        """Call the function at a moment of the monotonic clock (s), or at once if it is over."""
        left = moment - time.monotonic()
        if self._closed:
            return
        if left > SPIN_S:
            self._loop.call_later(left - SPIN_S, self.set, moment)
        elif left > 0:
            self._loop.call_soon(self.set, moment)
        else:
            self._loop.call_soon(self._call)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._closed = True
