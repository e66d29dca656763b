"""What ``assess`` found about parts of the rows: weak slices, and groups beside one another."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.metric import Metric

SliceVerdict = Literal["weak", "hard", "slight", "chance", "few"]
GroupOutcome = Literal["beyond", "perhaps", "unsure", "within"]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate, found on one half of the rows and measured on the other.

    ``inside`` and ``outside`` are the mean loss of its rows and of all others, ``gap`` their
    difference. ``foreseen`` is the share of errors that the model's own probabilities foretold
    inside, ``beyond`` how much more errors than foreseen there are inside than outside; both are
    None without probabilities. ``adjusted`` p-values are Benjamini and Hochberg's over all
    candidates; None where a test did not run. ``verdict``: ``weak`` (surely and markedly worse,
    and not foreseen), ``hard`` (so, and foreseen), ``slight`` (surely worse by little),
    ``chance`` (not surely worse) or ``few`` (too few rows to test).
    """

    name: str
    verdict: SliceVerdict
    n: int
    share: float
    inside: Metric
    outside: Metric
    gap: Metric
    adjusted: float | None = None
    foreseen: float | None = None
    beyond: Metric | None = None
    beyond_adjusted: float | None = None


class SliceSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The search: on how many rows it looked and tested, and the fewest rows of a slice.

    ``clipped`` is the absolute error from which on errors count as it (regressions).
    """

    loss: str
    n_discovery: int
    n_confirmation: int
    least: int
    columns: int
    slices: tuple[Slice, ...]
    whole: bool = True
    clipped: float | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one group, with what was measured of them alone."""

    name: str
    n: int
    metrics: tuple[Metric, ...]


class Disparity(msgspec.Struct, frozen=True, kw_only=True):
    """A group beside the ``reference``, the group that fares best by that measure.

    ``metric`` is the ratio or difference, its interval at a level that holds for all pairs of
    groups at once; ``limit`` is what it may be. ``outcome``: ``beyond`` it with the whole interval,
    ``perhaps`` with the value alone, ``within`` it with the whole interval, ``unsure`` with the
    value alone. ``needed_n`` is about how many rows would decide what is ``perhaps``.
    """

    measure: str
    group: str
    reference: str
    metric: Metric
    limit: float
    outcome: GroupOutcome
    needed_n: int | None = None


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """One column that the user named: its groups, and how far apart they are."""

    column: str
    groups: tuple[Group, ...]
    disparities: tuple[Disparity, ...]
    left_out: int = 0
