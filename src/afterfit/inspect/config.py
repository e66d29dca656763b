"""What may be asked of ``inspect``."""

from __future__ import annotations

import msgspec

from afterfit.core.signature import Label, Task


class InspectConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the model's file does not tell and the data may not show.

    ``classes`` are the labels in the order of the model's outputs; ``positive`` is one of them and
    ``threshold`` a probability of it in (0, 1), both for binary tasks.
    """

    task: Task | None = None
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None
