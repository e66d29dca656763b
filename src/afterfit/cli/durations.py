"""Times as people write them on the command line."""

from __future__ import annotations

import re

from afterfit.errors import UsageError

__all__ = ["seconds_of"]

UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|min|m|h|d|)")


def seconds_of(text: str, option: str) -> float:
    """Return ``90``, ``200ms``, ``90s``, ``1h`` or ``2d`` in s; raises UsageError for 0 too."""
    found = _TIME.fullmatch(text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise UsageError(
            f"not a time above 0: {text!r}", where=option, fix=f"{option} 10m   # or 90s, 1h"
        )
    return seconds
