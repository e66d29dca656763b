"""The two ways to send: when a schedule says so, or when the last answer has come."""

from __future__ import annotations

import asyncio
import random
import time
from array import array

from afterfit.loadtest.engine.pace import alarm
from afterfit.loadtest.engine.pool import LOOK_S, Pool

TOGETHER = 16
"""So many requests leave at once before answers are read again."""
GRACE_S = 1.0
"""What a run that is cut short waits for answers."""
RETRY_S = 0.1
"""A user whose connection was refused comes again after so long."""


class Run:
    """What both ways share: it is over when all is sent and has ended, or was given up."""

    spins = False

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.loop = asyncio.get_running_loop()
        self.outstanding = 0
        self.all_sent = False
        self.cut = ""
        self.over = asyncio.Event()
        pool.ended, pool.over = self._ended, self.stop

    async def wait(self) -> None:
        """Return when it is over; nothing is looked at before it has begun."""
        self._looking = self.loop.call_later(LOOK_S, self._look)
        await self.over.wait()
        self._looking.cancel()
        self.pool.flush()

    def stop(self, why: str) -> None:
        """Send nothing more, and wait for what was sent no longer than a second."""
        if self.cut or self.over.is_set():
            return
        self.cut = why
        self.all_sent = True
        self.pool.give_up(waiting_only=True)
        self.loop.call_later(min(GRACE_S, self.pool.plan.timeout_s), self._give_up)
        self._check()

    def _give_up(self) -> None:
        if not self.over.is_set():
            self.pool.give_up(waiting_only=False)

    def _ended(self, refused: bool) -> None:  # noqa: ARG002, FBT001 - a callback
        self.outstanding -= 1
        self._check()

    def _check(self) -> None:
        if self.all_sent and not self.outstanding:
            self.over.set()

    def _look(self) -> None:
        self._looking = self.loop.call_later(LOOK_S, self._look)
        self.pool.look()


class Scheduled(Run):
    """An open loop: requests leave when they are due, whatever became of earlier ones."""

    def __init__(self, pool: Pool, due: array[float]) -> None:
        super().__init__(pool)
        self.due = due
        self.next = 0
        self.alarm = alarm(self.loop, self._tick)
        self.spins = self.alarm.spins

    def go(self) -> None:
        """Begin, at the pool's start."""
        self.alarm.set(self.pool.start)

    async def wait(self) -> None:
        """Return when it is over."""
        await super().wait()
        self.alarm.close()

    def _tick(self) -> None:
        if self.all_sent:
            return
        due, send, start = self.due, self.pool.send, self.pool.start
        index, end = self.next, min(self.next + TOGETHER, len(self.due))
        now = time.monotonic() - start
        while index < end and due[index] <= now:
            moment = due[index]
            self.outstanding += 1
            send(index, moment, now - moment)
            index += 1
            now = time.monotonic() - start
        self.next = index
        if index == len(due):
            self.all_sent = True
            self._check()
        else:
            self.alarm.set(start + due[index])


class Users(Run):
    """A closed loop: each user sends after the answer to the last, and after thinking."""

    def __init__(
        self, pool: Pool, users: int, *, seconds: float, requests: int, think_s: float, seed: int
    ) -> None:
        super().__init__(pool)
        self.users, self.seconds, self.left, self.think_s = users, seconds, requests, think_s
        self.next = 0
        # Not for secrets: how long a user thinks.
        self.random = random.Random(seed)  # noqa: S311

    def go(self) -> None:
        """Let every user send, at the pool's start."""
        self.loop.call_later(max(0.0, self.pool.start - time.monotonic()), self._all)

    def _all(self) -> None:
        for _ in range(self.users):
            self._send(time.monotonic() - self.pool.start)

    def _send(self, due: float) -> None:
        now = time.monotonic() - self.pool.start
        if self.left <= 0 or now >= self.seconds:
            self.all_sent = True
        if self.all_sent:
            self._check()
            return
        self.left -= 1
        self.outstanding += 1
        self.next += 1
        self.pool.send(self.next - 1, due, now - due)

    def _ended(self, refused: bool) -> None:  # noqa: FBT001 - a callback
        self.outstanding -= 1
        pause = RETRY_S if refused else self._thought()
        if self.all_sent:
            self._check()
        elif pause:
            due = time.monotonic() - self.pool.start + pause
            self.loop.call_later(pause, self._send, due)
        else:
            # Not at once: what ended is still being put away.
            self.loop.call_soon(self._send, time.monotonic() - self.pool.start)

    def _look(self) -> None:
        super()._look()
        if time.monotonic() - self.pool.start >= self.seconds:
            self.all_sent = True
            self._check()

    def _thought(self) -> float:
        """Return for how long a user thinks (s), exponential around the mean."""
        return self.random.expovariate(1 / self.think_s) if self.think_s else 0.0
