"""Labels as the metrics take them: class codes or values."""

from __future__ import annotations

from afterfit.core.quality import encode_truth, labelled_rows

__all__ = ["encode_truth", "labelled_rows"]
