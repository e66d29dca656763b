"""Two forms of one model: one for few rows a call, one for many."""

from __future__ import annotations

from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import Model

__all__ = ["BySize"]


class BySize:
    """A Model that asks ``large`` from ``rows`` rows a call on, and ``small`` below.

    Both were shown to answer alike; only their speed differs.
    """

    def __init__(self, small: Model, large: Model, rows: int) -> None:
        self.small = small
        self.large = large
        self.rows = rows

    @property
    def forms(self) -> tuple[Model, Model]:
        """Both, the one for few rows first."""
        return self.small, self.large

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows it cannot take."""
        chosen = self.large if row_count(frame) >= self.rows else self.small
        return chosen.predict(frame)

    def close(self) -> None:
        """End the processes that either has; a second close does nothing."""
        for form in self.forms:
            close = getattr(form, "close", None)
            if close is not None:
                close()
