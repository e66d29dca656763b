"""A model that may be asked for so long, and not a call longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from afterfit.models.loaded import LoadedModel
from afterfit.models.timebox import Timed, ended_after

__all__ = ["within"]


@contextmanager
def within(model: LoadedModel, seconds: float) -> Iterator[Timed]:
    """Yield the model, whose process is ended when the time is over; it starts anew when asked."""
    timed = Timed(model, time.monotonic() + seconds)
    # Without any time nothing is asked, so nothing has to be ended.
    with ended_after(seconds, [model] if seconds > 0 else []):
        yield timed
