"""Ctrl-C and SIGTERM of a command that runs until it is told to end."""

from __future__ import annotations

import signal
import threading

__all__ = ["stopping"]


class stopping:  # noqa: N801 - a context manager that reads as a word
    """Yields an event that ctrl-C and SIGTERM set, in place of an exception anywhere."""

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self._before = {
            number: signal.signal(number, lambda *_: self.event.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self.event

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
