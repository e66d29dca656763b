"""A service-level objective: the share of requests that must be answered in time."""

from __future__ import annotations

import re

import msgspec

from afterfit.errors import UsageError

__all__ = ["Slo", "slo_of"]

_SLO = re.compile(r"p(\d{1,2}(?:\.\d+)?)\s*(?:<=|<|≤)\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)?")
_MS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, None: 1.0}


class Slo(msgspec.Struct, frozen=True):
    """``quantile`` (0..1) of all requests must have a good answer within ``limit_ms``.

    A request that fails or is answered wrongly is one that was not in time.
    """

    quantile: float
    limit_ms: float

    @property
    def allowed(self) -> float:
        """Return the share of requests that may miss it."""
        return 1.0 - self.quantile

    def __str__(self) -> str:
        """Return it as people write it: ``p99 <= 50 ms``."""
        return f"p{self.quantile * 100:g} <= {self.limit_ms:g} ms"


def slo_of(text: str, *, where: str = "--slo") -> Slo:
    """Return what a text such as ``p99<50ms`` or ``p99.9 <= 1.5 s`` asks; raises UsageError."""
    found = _SLO.fullmatch(text.strip())
    if found is None or not 0 < float(found[1]) < 100 or not float(found[2]) > 0:
        raise UsageError(
            "no service-level objective",
            where=f"{where} {text!r}",
            why="it names a percentile between 0 and 100 and a time",
            fix=f'{where} "p99<50ms"',
        )
    return Slo(quantile=float(found[1]) / 100, limit_ms=float(found[2]) * _MS[found[3]])
