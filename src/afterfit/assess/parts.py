"""The parts of ``assess`` beyond its metrics, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.assess.by_class import by_class
from afterfit.assess.calibration import calibration
from afterfit.assess.compare import beside_others
from afterfit.assess.cost import costs_of_thresholds
from afterfit.assess.data.alone import derived_from_target, predicts_alone
from afterfit.assess.data.clock import stands_for_time
from afterfit.assess.data.drift import held_out_moved
from afterfit.assess.data.duplicates import rows_in_training, rows_twice
from afterfit.assess.data.identity import uninformative
from afterfit.assess.data.noise import wrong_labels
from afterfit.assess.data.overlap import earlier_than_training, shared_groups
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.explain import explain
from afterfit.assess.fairness import fairness
from afterfit.assess.learning import learning_curve
from afterfit.assess.nested import nested_search
from afterfit.assess.slices import weak_slices

Parts = tuple[Callable[[Evidence], Part], ...]

DATA: Parts = (
    rows_in_training,
    rows_twice,
    shared_groups,
    earlier_than_training,
    stands_for_time,
    predicts_alone,
    derived_from_target,
    uninformative,
    wrong_labels,
    held_out_moved,
)
"""What looks at the tables, and not at the model alone."""

PARTS: Parts = (
    by_class,
    *DATA,
    beside_others,
    nested_search,
    calibration,
    costs_of_thresholds,
    explain,
    weak_slices,
    fairness,
    learning_curve,
)
"""Each answers for itself: one that lacks rows, training data or time says so in a finding."""

AFTER_FOLDS = frozenset({nested_search, learning_curve})
"""What tells of the folds, or fits like them and so takes all the time that is left.

The others come before the cross-validation: they take little, and a leak that they find makes its
number worthless.
"""
