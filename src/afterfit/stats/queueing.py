"""Waiting in a queue in front of several servers, by the approximations of queueing theory.

Arrivals are Poisson, service times have any distribution (M/G/c). ``servers`` share one queue.
Sources: Erlang (1917) for the chance of waiting in M/M/c; Allen, "Probability, Statistics and
Queueing Theory" (1990), for the correction of Allen and Cunneen by how service times vary. The wait
of those who wait is taken for exponential, which is exact for M/M/c and close for a busy M/G/c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError

__all__ = ["erlang_c", "greatest", "late_share", "most_rate", "servers_needed", "wait_tail"]

STEPS = 60
"""Halvings of a bisection: beyond it a double has no more digits."""

Load = TypeVar("Load", float, npt.NDArray[np.float64])


def erlang_c(servers: int, load: Load) -> Load:
    """Return the chance that an arrival waits; ``load`` is arrival rate times mean service time.

    Computed by the recursion of Erlang's B, which does not overflow. 1 from the load on at which
    the queue grows without end. An array of loads gives one of chances.
    """
    offered: Any = np.minimum(load, servers)
    blocked: Any = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    waits = blocked / (1.0 - offered / servers * (1.0 - blocked))
    chances: Any = np.where(offered < servers, waits, 1.0)[()]
    return chances  # type: ignore[no-any-return]  # one or many, as the loads are


def wait_tail(
    seconds: npt.NDArray[np.float64], rate: float, service_s: npt.NDArray[np.float64], servers: int
) -> npt.NDArray[np.float64]:
    """Return the share of arrivals at ``rate`` (requests/s) that wait longer than ``seconds``.

    ``service_s`` is a sample of service times in s. 1 everywhere where the servers cannot keep up.
    """
    mean = float(service_s.mean())
    load = rate * mean
    if load >= servers:
        return np.ones_like(seconds)
    waits = erlang_c(servers, load)
    variation = float(service_s.var()) / mean**2 if mean else 0.0
    # Of those who wait, the mean: that of M/M/c times (1 + cv²) / 2.
    among = mean / (servers - load) * (1.0 + variation) / 2.0
    return np.where(seconds < 0, 1.0, waits * np.exp(-np.maximum(seconds, 0.0) / among))


def late_share(
    rate: float, service_s: npt.NDArray[np.float64], servers: int, limit_s: float
) -> float:
    """Return the share of requests whose waiting and service together exceed ``limit_s``."""
    _check(service_s, servers)
    left = limit_s - service_s
    return float(np.where(left < 0, 1.0, wait_tail(left, rate, service_s, servers)).mean())


def most_rate(
    service_s: npt.NDArray[np.float64], servers: int, limit_s: float, allowed: float
) -> float:
    """Return the greatest rate (requests/s) at which at most ``allowed`` (0..1) are late.

    0 where service alone makes more of them late than that.
    """
    _check(service_s, servers)
    if float((service_s > limit_s).mean()) > allowed:
        return 0.0
    return greatest(
        lambda rate: late_share(rate, service_s, servers, limit_s) <= allowed,
        servers / float(service_s.mean()),
    )


def greatest(holds: Callable[[float], bool], top: float) -> float:
    """Return the greatest x in 0..top that holds, for what holds below some x and not above."""
    low, high = 0.0, top
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def servers_needed(rate: float, of_one: float, *, spare: int = 0, zones: int = 1) -> int:
    """Return how many replicas carry ``rate`` (requests/s) when ``spare`` of them are gone.

    ``of_one`` is what one carries within its objective. With several ``zones`` one of them is
    lost with all of its replicas, which are spread evenly, and the others carry the rate.
    Raises InputError where one replica carries nothing.
    """
    if not of_one > 0 or not math.isfinite(of_one):
        raise InputError(
            "one replica carries nothing within the objective",
            why=f"{of_one:g} requests/s",
            fix="allow more time: --slo",
        )
    needed = max(1, math.ceil(rate / of_one - 1e-9))
    if zones > 1:
        each = math.ceil(needed / (zones - 1))
        return max(each * zones, needed + spare)
    return needed + spare


def _check(service_s: npt.NDArray[np.float64], servers: int) -> None:
    if servers < 1 or not len(service_s) or not float(service_s.min()) > 0:
        raise InputError(
            "no queue of this kind",
            why=f"{servers} servers and {len(service_s)} service times",
            fix="give at least one server and service times above 0",
        )
