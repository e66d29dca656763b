"""An end to what a model's process does: a call cannot be interrupted, its process can."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from afterfit.core.frame import Frame, Predictions
from afterfit.errors import ModelError

__all__ = ["Asked", "Ended", "TimeOverError", "Timed", "ended_after"]


class Asked(Protocol):
    """What can be asked of a model in a process of its own."""

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows."""
        ...

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return ``function(native, **arguments)``, run in the process."""
        ...


class Ended(Protocol):
    """What can be ended: a process that starts anew when it is next asked."""

    @property
    def pid(self) -> int | None:
        """The process; None where none runs."""
        ...

    def close(self) -> None:
        """Collect the process."""
        ...


class TimeOverError(Exception):
    """The time of a `Timed` model is over. It reaches no person: who set the time catches it."""


class Timed:
    """A model that may be asked until ``deadline`` (of ``time.monotonic``), and then raises.

    Used inside of `ended_after` it tells a process that was ended from one that died.
    """

    def __init__(self, model: Asked, deadline: float) -> None:
        self._model = model
        self._deadline = deadline

    def predict(self, frame: Frame) -> Predictions:
        """Return the model's predictions; raises TimeOverError."""
        found: Predictions = self._within(lambda: self._model.predict(frame))
        return found

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return what the model's process returns; raises TimeOverError."""
        return self._within(lambda: self._model.call(target, **arguments))

    def _within(self, ask: Any) -> Any:
        self._check()
        try:
            return ask()
        except ModelError:
            self._check()
            raise

    def _check(self) -> None:
        if time.monotonic() >= self._deadline:
            raise TimeOverError


@contextmanager
def ended_after(seconds: float, pool: Sequence[Ended]) -> Iterator[None]:
    """End the processes of the pool when the time is over; each starts anew when next asked."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        for host in pool:
            if host.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(host.pid, signal.SIGTERM)

    if seconds > threading.TIMEOUT_MAX:
        yield
        return
    timer = threading.Timer(max(0.0, seconds), end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if ended.is_set():
            # A process that is still dying would look alive to the next request.
            for host in pool:
                host.close()
