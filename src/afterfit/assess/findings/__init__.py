"""The findings of ``assess``, a module for each subject."""

from __future__ import annotations

from afterfit.assess.findings.quality import (
    AnotherThreshold,
    CrossValidation,
    FewRowsOfAClass,
    HeldOutDisagrees,
    LinearIsAsGood,
    NoLabels,
    NotBetterThanBaseline,
)

__all__ = [
    "AnotherThreshold",
    "CrossValidation",
    "FewRowsOfAClass",
    "HeldOutDisagrees",
    "LinearIsAsGood",
    "NoLabels",
    "NotBetterThanBaseline",
]
