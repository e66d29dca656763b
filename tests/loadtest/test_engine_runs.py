"""The runs of the load engine, with a pool that sends nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from afterfit.loadtest.engine import runs
from afterfit.loadtest.engine.runs import Users


class Quick:
    """A pool whose requests end at once; ``start`` is at first that of the run before."""

    def __init__(self) -> None:
        self.start = 0.0
        self.sent = 0
        self.ended: Any = None
        self.over: Any = None

    def send(self, *_: float) -> None:
        """Count a request."""
        self.sent += 1
        asyncio.get_running_loop().call_soon(self.ended, False)

    def look(self) -> None:
        """Nothing is late."""

    def flush(self) -> None:
        """Nothing is kept."""


def test_users_who_were_ready_long_before_they_begin_still_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parent may take long to say go: the time until then is none of the run's."""
    monkeypatch.setattr(runs, "LOOK_S", 0.005)

    async def run() -> int:
        pool = Quick()
        users: Any = Users(pool, 1, seconds=0.05, requests=20, think_s=0.0, seed=0)  # type: ignore[arg-type]
        await asyncio.sleep(0.03)
        pool.start = time.monotonic() + 0.01
        users.go()
        await users.wait()
        return pool.sent

    assert asyncio.run(run()) > 0
