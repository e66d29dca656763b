"""The trace of a recording: its rates, one a step of the simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from afterfit.core.trace import Trace, on_steps, step_for
from afterfit.errors import InputError
from afterfit.loadtest.recording import Recording

__all__ = ["recorded"]

MOST_DAYS = 62
LEAST_S = 10.0


def recorded(recording: Recording) -> Trace:
    """Return the trace of recorded rates, or of requests counted in each step.

    Raises InputError for one that is too long, or too short to count requests in.
    """
    name, start, moments = Path(recording.source).stem, recording.start, recording.moments
    days = recording.seconds / 86400
    if days > MOST_DAYS:
        raise InputError(
            "the trace is too long",
            where=recording.source,
            why=f"it covers {days:.0f} days; at most {MOST_DAYS} are simulated",
            fix="give the weeks with the highest peak",
        )
    step = step_for(recording.seconds)
    if recording.rates is not None:
        rates = on_steps(moments, recording.rates, recording.seconds, step)
        return Trace(name, rates, step, start, spacing_s=recording.spacing_s)
    if recording.seconds < LEAST_S:
        raise InputError(
            "the trace is too short",
            where=recording.source,
            why=f"{len(moments)} requests in {recording.seconds:.3g} s",
            fix=f"give the requests of at least {LEAST_S:g} s, or times with rates",
        )
    # What is left of a second at the end would be a step of a few requests.
    steps = int(recording.seconds / step)
    counts = np.bincount((moments[moments < steps * step] / step).astype(int), minlength=steps)
    return Trace(name, counts / step, step, start, counted=True)
