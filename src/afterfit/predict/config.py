"""What may be asked of ``predict``."""

from __future__ import annotations

import msgspec

__all__ = ["PredictConfig"]


class PredictConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``keep`` names the input columns that the output has too, None being all of them.

    ``only_scores`` keeps none. ``batch_rows`` is how many rows are scored at once.
    """

    keep: tuple[str, ...] | None = None
    only_scores: bool = False
    batch_rows: int = 16_384
