"""Schedules as people write them: ``poisson:400``, ``ramp:10:400``, ``trace:morning.csv:10``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import (
    Burst,
    Closed,
    Constant,
    Gamma,
    Offline,
    Poisson,
    Ramp,
    Spike,
    Steps,
)
from afterfit.loadtest.recording import read_recording
from afterfit.loadtest.shot import Arrivals
from afterfit.loadtest.trace import trace_of

FORMS = {
    "constant": "constant:RATE",
    "poisson": "poisson:RATE",
    "server": "server:RATE",
    "gamma": "gamma:RATE:VARIATION",
    "burst": "burst:LOW:HIGH:ON_SECONDS:OFF_SECONDS",
    "step": "step:RATE,RATE,…",
    "ramp": "ramp:RATE:RATE",
    "spike": "spike:RATE:PEAK",
    "trace": "trace:FILE or trace:FILE:TIMES",
    "closed": "closed:USERS or closed:USERS:THINK_MS",
    "single-stream": "single-stream",
    "offline": "offline:REQUESTS",
}
"""How each is written; rates are requests/s."""

_NUMBERS: dict[str, tuple[range, Callable[..., Arrivals | Closed]]] = {
    "constant": (range(1, 2), Constant),
    "poisson": (range(1, 2), Poisson),
    "server": (range(1, 2), Poisson),
    "gamma": (range(2, 3), Gamma),
    "burst": (range(4, 5), Burst),
    "ramp": (range(2, 3), Ramp),
    "spike": (range(2, 3), Spike),
    "closed": (range(1, 3), lambda users, think=0.0: Closed(_whole(users), think)),
    "single-stream": (range(1), lambda: Closed(1)),
    "offline": (range(1, 2), lambda count: Offline(_whole(count))),
}


def arrivals_of(text: str, *, where: str = "--schedule") -> Arrivals | Closed:
    """Return the schedule that a text names; raises UsageError, or InputError for a trace."""
    kind, _, rest = text.strip().partition(":")
    if kind not in FORMS:
        known = ", ".join(FORMS)
        raise UsageError(
            "no schedule",
            where=f"{where} {text!r}",
            why=f"the first word is one of {known}",
            fix=f"{where} poisson:400",
        )
    try:
        if kind == "trace":
            return _trace(rest)
        if kind == "step":
            return Steps(tuple(float(part) for part in rest.split(",")))
        counts, make = _NUMBERS[kind]
        values = [float(part) for part in rest.split(":")] if rest else []
        if len(values) in counts:
            return make(*values)
    except ValueError:
        pass
    raise UsageError("no schedule", where=f"{where} {text!r}", fix=f"{where} {FORMS[kind]}")


def _trace(rest: str) -> Arrivals:
    path, colon, last = rest.rpartition(":")
    try:
        factor = float(last) if colon else 1.0
    except ValueError:  # a colon of the path itself
        path, factor = "", 1.0
    if not rest:
        raise ValueError("no file")
    return trace_of(read_recording(Path(path or rest)), factor)


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(value)
    return int(value)
