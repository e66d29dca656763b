"""Parts of the engine: alarms, frames, what is kept of unknown answers, what /proc tells."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from afterfit.loadtest.engine import check
from afterfit.loadtest.engine.check import Checker
from afterfit.loadtest.engine.frames import CHUNK, FIELDS, FORMATS, RECORD, frame, read_frame
from afterfit.loadtest.engine.pace import Alarm, TimerFile, Turning
from afterfit.loadtest.machine import Machine, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and timerfd are Linux's")


@pytest.mark.parametrize("kind", [pytest.param(TimerFile, marks=LINUX), Turning])
def test_an_alarm_never_comes_early_and_rarely_late(kind: Callable[..., Alarm]) -> None:
    """Forty moments 1.3 ms apart, which the loop's own timers would round to whole ones."""

    async def ring() -> list[float]:
        late: list[float] = []
        over = asyncio.Event()
        moments = iter([time.monotonic() + 0.005 + 0.0013 * place for place in range(40)])
        wanted = [next(moments)]

        def rung() -> None:
            late.append(time.monotonic() - wanted[0])
            wanted[0] = next(moments, 0.0)
            if wanted[0]:
                alarm.set(wanted[0])
            else:
                over.set()

        alarm = kind(asyncio.get_running_loop(), rung)
        alarm.set(wanted[0])
        await asyncio.wait_for(over.wait(), 10)
        alarm.close()
        return late

    late = asyncio.run(ring())
    assert len(late) == 40
    assert min(late) >= 0
    # The median: on a busy machine some have to wait for the core.
    assert np.median(late) < 0.001


def test_frames_come_as_they_were_sent_and_half_of_one_is_the_end() -> None:
    """Documents and byte strings, any of them empty."""
    sent = frame(CHUNK, {"a": [1, None]}, [b"", b"x\ny", bytes(1000)]) + frame(b"X")
    stream = io.BytesIO(sent)
    first, second = read_frame(stream), read_frame(stream)
    assert first == (CHUNK, {"a": [1, None]}, [b"", b"x\ny", bytes(1000)])
    assert second == (b"X", {}, [])
    assert read_frame(stream) is None
    for cut in (1, 8, 12, len(sent) // 2):
        assert read_frame(io.BytesIO(frame(CHUNK, {}, [b"abc"])[: cut % 14])) is None


def test_a_record_is_what_numpy_reads() -> None:
    """Both ends agree on the bytes of a request."""
    layout = np.dtype({"names": list(FIELDS), "formats": list(FORMATS)})
    values = (7, 0.5, 0.6, 0.7, 0.25, 200, -1)
    assert layout.itemsize == RECORD.size
    assert np.frombuffer(RECORD.pack(*values), layout)[0].item() == values


def test_unknown_answers_are_kept_once_and_not_without_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server whose every answer is another one must not fill the memory."""
    monkeypatch.setattr(check, "MOST_VARIANTS", 3)
    found: list[tuple[int, int, bytes]] = []
    checker = Checker([b"a", b"b"], None, lambda *told: found.append(told))
    assert [checker.number(0, body) for body in (b"a", b"x", b"y", b"x", b"z", b"w", b"v")] == [
        0, 1, 2, 1, 3, -1, -1,
    ]  # fmt: skip
    # The same bytes may be right for one request and wrong for another.
    assert checker.number(1, b"b") == 0
    assert checker.unchecked == 2
    assert found == [(1, 0, b"x"), (2, 0, b"y"), (3, 0, b"z")]


@LINUX
def test_what_a_servers_processes_use_is_seen() -> None:
    """A child that turns round and round for 0.3 s, below a shell that waits for it."""
    turning = "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end: pass"
    command = [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {turning!r}])"]  # fmt: skip  # noqa: E501
    with subprocess.Popen(command) as process:
        try:
            until = time.monotonic() + 10
            while len(tree_of(process.pid)) < 2 and time.monotonic() < until:
                time.sleep(0.02)
            pids = tree_of(process.pid)
            machine = Machine(process.pid)
            time.sleep(0.4)
            seen = machine.look()
        finally:
            for pid in reversed(tree_of(process.pid)):
                os.kill(pid, 9)
    assert len(pids) == 2
    assert 0.02 < seen["server_cpu"] < 1.5
    assert seen["server_memory_bytes"] > 5 << 20
    assert 0 <= seen["steal"] <= 1
    assert "server_cpu" not in Machine(None).look()
    assert Machine(process.pid).look().get("server_cpu") is None
