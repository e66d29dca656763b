"""A run that says something of the generator instead of the server says so."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from afterfit.loadtest.arrivals import Constant
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.target import target_of_bodies
from afterfit.loadtest.validity import Generated, reasons, slowed

if TYPE_CHECKING:
    from collections.abc import Callable

DUE = np.arange(0.0, 10.0, 0.01)


def run(**changed: Any) -> Generated:
    """Return a run of 1000 requests with nothing wrong, but for what is changed."""
    usual: dict[str, Any] = {
        "due": DUE,
        "lag": np.full(1000, 1e-4),
        "seconds": 10.0,
        "scheduled": True,
        "cpu": 0.5,
        "spins": False,
        "steal": 0.01,
        "own_errors": 0,
        "own_error": "",
    }
    return Generated(**usual | changed)


def test_a_run_with_nothing_wrong_has_no_reason() -> None:
    """Nor has a cut one, or one whose last moments are late by less than a tenth of a second."""
    assert reasons(run(), cut=False) == ()
    assert slowed(run(), None) == ()
    assert reasons(run(lag=np.full(1000, 0.09)), cut=False) == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"own_errors": 3, "own_error": "Too many open files"}, "could not open 3 connections"),
        ({"ended": (-9,)}, "a process of the generator ended with code -9"),
        ({"lag": np.linspace(0, 10, 1000)}, "of the requests were sent in time, 98% have to be"),
        ({"lag": np.full(1000, np.nan)}, "0.0% of the requests were sent in time"),
    ],
)
def test_what_makes_a_run_invalid(changed: dict[str, Any], told: str) -> None:
    """Another rate than was asked, or failures of the generator's own."""
    (reason,) = reasons(run(**changed), cut=False)
    assert told in reason


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"steal": 0.051}, "took 5.1% of the CPU, 5% may"),
        ({"cpu": 0.95}, "used 95% of a core, 90% may"),
        ({"lag": np.full(1000, 0.0011)}, "late: 99th percentile 1.1 ms, 1 ms may be"),
        ({"lag": np.full(1000, np.nan)}, "not sent at all"),
    ],
)
def test_what_may_make_latencies_worse(changed: dict[str, Any], told: str) -> None:
    """The machine's other guests, a busy core, and lateness."""
    (reason,) = slowed(run(**changed), None)
    assert told in reason


def test_bounds_know_the_objective_the_alarm_and_the_users() -> None:
    """A tenth of the limit may be late; turning round takes the core; users cannot be late."""
    late = run(lag=np.full(1000, 0.004))
    assert slowed(late, 50.0) == ()
    assert len(slowed(late, 30.0)) == 1
    assert slowed(run(cpu=1.0, spins=True), None) == ()
    assert slowed(run(lag=np.full(1000, 9.0), scheduled=False), None) == ()
    assert reasons(run(lag=np.full(1000, 9.0), scheduled=False), cut=False) == ()
    assert reasons(run(lag=np.full(1000, 9.0)), cut=True) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_a_generator_without_files_blames_itself(server: Callable[..., Any]) -> None:
    """It may open five connections more, and a slow server needs some thirty."""
    import resource

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"{}"):
            await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with server(slow) as url:
        target = target_of_bodies(url, "/", [b"{}"])
        with Generator(target, Means(ahead=1, timeout_s=1.0)) as generator:
            assert generator.fire(Constant(20), 0.1, 0).invalid == ()
            pid = generator._processes[0].pid
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (24, 24))
            shot = generator.fire(Constant(100), 0.5, 0)
    assert len(shot) == 50
    assert any("Too many open files" in reason for reason in shot.invalid), shot
