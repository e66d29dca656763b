"""One way to spoil rows at rising severity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from afterfit.core.frame import Frame

__all__ = ["SHARES", "Corruption", "Make"]

Make = Callable[[Frame, float, np.random.Generator], dict[str, np.ndarray]]
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Of cells or words, at severities 1 to 5."""


@dataclass(frozen=True)
class Corruption:
    """What spoils rows, at five rising ``levels`` in ``unit``; ``gate`` is its metric's name.

    ``make`` returns the columns that it changes, from all columns, a level, and a generator of
    which it draws the same at every level; None where the model takes nothing of the kind.
    """

    name: str
    gate: str
    unit: str
    levels: tuple[float, float, float, float, float]
    make: Make | None

    def spoiled(self, rows: Frame, level: float, random: np.random.Generator) -> Frame:
        """Return the rows at one level; raises ValueError where there is nothing to spoil."""
        if self.make is None:
            raise ValueError(f"{self.name}: nothing to spoil")
        return {**rows, **self.make(rows, level, random)}
