"""Sends news without anybody waiting for it: a bounded queue and a thread for each channel."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from afterfit.errors import AfterfitError
from afterfit.monitor.channels.base import DryRun, Message, Refused
from afterfit.monitor.channels.opening import Opened
from afterfit.monitor.evidence import Event
from afterfit.records.signals import Delivery

__all__ = ["Outbox", "Patience", "Sent"]


@dataclass(frozen=True)
class Patience:
    """How often a channel is tried, and how long is waited between (s, doubling)."""

    tries: int = 8
    first_s: float = 1.0
    longest_s: float = 60.0

    def after(self, attempt: int) -> float:
        """Return how long to wait after the attempt, which counts from 1, in s."""
        return float(min(self.longest_s, self.first_s * 2 ** (attempt - 1)))


@dataclass(frozen=True)
class Sent:
    """What became of one attempt to tell of an alarm; ``last`` says that it was the last one."""

    alarm: str
    model: str
    event: Event
    delivery: Delivery

    @property
    def last(self) -> bool:
        """Whether it is over, well or not."""
        return self.delivery.state != "failed"


class Outbox:
    """News on their way. No method waits for a channel, but `close`, and that for a bounded time.

    A queue holds ``most`` news; what comes beyond is ``dropped``, which is seen as such. ``clock``
    is seconds since 1970.
    """

    def __init__(
        self,
        channels: Mapping[str, Opened],
        *,
        patience: Patience | None = None,
        most: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._results: deque[Sent] = deque()
        self._lines = {
            name: _Line(opened, patience or Patience(), most, self._note)
            for name, opened in channels.items()
        }

    def offer(self, name: str, message: Message) -> None:
        """Send news by a channel, sometime soon."""
        if not self._lines[name].put(message):
            self._note(name, message, "dropped", 1, "too much waits for the channel")

    def drain(self) -> list[Sent]:
        """Return what became of attempts since the last time."""
        found = []
        while self._results:
            found.append(self._results.popleft())
        return found

    def close(self, timeout_s: float = 5.0) -> None:
        """Try once what still waits, for so long, and stop; the rest is told another time."""
        for line in self._lines.values():
            line.hurry()
        ends = time.monotonic() + timeout_s
        for line in self._lines.values():
            line.stop(max(0.0, ends - time.monotonic()))

    def _note(self, name: str, message: Message, state: str, attempt: int, why: str) -> None:
        words = f"{message.event}: {why}" if why else message.event
        delivery = Delivery(
            channel=name,
            at=round(self._clock() * 1e6),
            state=state,  # type: ignore[arg-type] # one of its words
            attempt=attempt,
            message=words[:500],
        )
        self._results.append(
            Sent(message.alarm.id, message.alarm.scope.model, message.event, delivery)
        )


class _Line:
    """The queue and the thread of one channel; the thread starts with the first news."""

    def __init__(
        self, opened: Opened, patience: Patience, most: int, note: Callable[..., None]
    ) -> None:
        self._opened, self._patience, self._most, self._note = opened, patience, most, note
        self._waiting: deque[Message] = deque()
        self._condition = threading.Condition()
        self._hurried = False
        self._thread: threading.Thread | None = None

    def put(self, message: Message) -> bool:
        with self._condition:
            if self._hurried or len(self._waiting) >= self._most:
                return False
            self._waiting.append(message)
            if self._thread is None:
                name = f"alarms-{self._opened.name}"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()
            self._condition.notify()
        return True

    def hurry(self) -> None:
        """Take no more, and try nothing twice."""
        with self._condition:
            self._hurried = True
            self._condition.notify()

    def stop(self, timeout_s: float) -> None:
        """Wait for so long, and then begin nothing new."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._condition:
            self._waiting.clear()

    def _work(self) -> None:
        while (message := self._next()) is not None:
            attempt = 1
            while not self._attempt(message, attempt):
                if self._interrupted(self._patience.after(attempt)):
                    break
                attempt += 1

    def _next(self) -> Message | None:
        with self._condition:
            self._condition.wait_for(lambda: self._hurried or self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def _interrupted(self, seconds: float) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._hurried, seconds)

    def _attempt(self, message: Message, attempt: int) -> bool:
        """Return whether the news are done with, well or not."""
        name, why = self._opened.name, ""
        try:
            why = self._opened.channel.send(message)
        except DryRun as would:
            state, why = "dry_run", str(would)
        except Refused as error:
            state, why = "dropped", str(error)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and must stop nothing
            state = "dropped" if attempt >= self._patience.tries else "failed"
            why = _in_words(error)
        else:
            state = "sent"
        self._note(name, message, state, attempt, self._opened.scrubbed(why))
        return state != "failed"


def _in_words(error: Exception) -> str:
    if isinstance(error, AfterfitError):
        return "; ".join(part for part in (error.message, error.why) if part)
    return f"{type(error).__name__}: {error}"
