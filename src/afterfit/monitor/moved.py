"""How much of a column moved, and where to: what a person is told of a drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import ColumnCounts
from afterfit.core.metric import in_percent

__all__ = ["Moved", "moved"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moved:
    """``share`` of the present values lies elsewhere; ``where`` says in which bins, in words.

    At least so many must have changed: for numbers it is the greatest difference of the shares in
    any range of values (Kuiper's distance on bins), for categories in any set of them (total
    variation). ``before`` and ``after`` are the shares in that range, or of that category.
    """

    share: float
    where: str
    before: float
    after: float

    def told(self) -> str:
        """Return the change as part of a sentence."""
        return f"{in_percent(self.after, 1)} are {self.where}, usually {in_percent(self.before, 1)}"


def moved(
    reference: ColumnCounts, before: FloatArray, after: FloatArray, place: int | None = None
) -> Moved:
    """Return what moved between counts in the same bins; ``place`` is the bin that changed most.

    Without it that is the one whose share grew most.
    """
    if not before.sum() or not after.sum():
        return Moved(0.0, "", 0.0, 0.0)
    first, second = before / before.sum(), after / after.sum()
    if reference.kind in ("category", "text"):
        place = int((second - first).argmax()) if place is None else place
        share = float(np.abs(second - first).sum() / 2)
        return Moved(share, _category(reference, place), float(first[place]), float(second[place]))
    risen = np.concatenate([[0.0], np.cumsum(second - first)])
    risen[-1] = 0.0
    ends = sorted((int(risen.argmin()), int(risen.argmax())))
    low, high = ends
    if low == 0 and high < len(first) and second[:high].sum() < first[:high].sum():
        # What grew says more than what is left.
        low, high = high, len(first)
    inside = slice(low, high)
    return Moved(
        float(np.ptp(risen)),
        _range(reference.edges, low, high),
        float(first[inside].sum()),
        float(second[inside].sum()),
    )


def _category(reference: ColumnCounts, place: int) -> str:
    names = list(reference.categories)
    return repr(names[place]) if place < len(names) else "rare or new"


def _range(edges: list[float], low: int, high: int) -> str:
    """Return the values of the bins from ``low`` to before ``high``."""
    if low == 0 and high > len(edges):
        return "any value"
    if low == 0 and _is_one(edges, high - 1):
        return f"{edges[high - 2]:.6g} or less"
    if low == 0:
        return f"below {edges[high - 1]:.6g}"
    first = f"{edges[low - 1]:.6g}"
    if high > len(edges):
        return f"above {edges[low - 2]:.6g}" if _is_one(edges, low - 1) else f"{first} or more"
    if low == high - 1 and _is_one(edges, high - 1):
        return first
    return f"in [{first}, {edges[high - 1]:.6g}" + ("]" if _is_one(edges, high - 1) else ")")


def _is_one(edges: list[float], place: int) -> bool:
    """Return whether the bin before an edge is of one value: see `core.disclosure`."""
    if place < 1:
        return False
    low, high = edges[place - 1], edges[place]
    return high - low <= 2e-6 * (abs(low) or 1.0)
