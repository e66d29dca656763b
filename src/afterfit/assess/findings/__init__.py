"""The findings of ``assess``, a module for each subject."""

from __future__ import annotations

from afterfit.assess.findings.calibration import (
    CheaperThreshold,
    Miscalibrated,
    PredictionsOff,
    RecalibrationHelps,
    SureAndWrong,
)
from afterfit.assess.findings.data import (
    DerivedFromTarget,
    EarlierThanTraining,
    HeldOutMoved,
    PredictsAlone,
    RowsInTraining,
    RowsTwice,
    SharedGroups,
    StandsForTime,
    Uninformative,
    WrongLabels,
)
from afterfit.assess.findings.explain import ColumnsWithoutUse, OneColumnDecides
from afterfit.assess.findings.generalization import (
    BesideChampion,
    LearningCurve,
    NestedSearch,
    RowsTogether,
)
from afterfit.assess.findings.quality import (
    AnotherThreshold,
    CrossValidation,
    FewRowsOfAClass,
    HeldOutDisagrees,
    LinearIsAsGood,
    NeverDecided,
    NoLabels,
    NotBetterThanBaseline,
)
from afterfit.assess.findings.slices import (
    ErrorRates,
    GroupQuality,
    HardSlice,
    SelectionRates,
    WeakSlice,
)

__all__ = [
    "AnotherThreshold",
    "BesideChampion",
    "CheaperThreshold",
    "ColumnsWithoutUse",
    "CrossValidation",
    "DerivedFromTarget",
    "EarlierThanTraining",
    "ErrorRates",
    "FewRowsOfAClass",
    "GroupQuality",
    "HardSlice",
    "HeldOutDisagrees",
    "HeldOutMoved",
    "LearningCurve",
    "LinearIsAsGood",
    "Miscalibrated",
    "NestedSearch",
    "NeverDecided",
    "NoLabels",
    "NotBetterThanBaseline",
    "OneColumnDecides",
    "PredictionsOff",
    "PredictsAlone",
    "RecalibrationHelps",
    "RowsInTraining",
    "RowsTogether",
    "RowsTwice",
    "SelectionRates",
    "SharedGroups",
    "StandsForTime",
    "SureAndWrong",
    "Uninformative",
    "WeakSlice",
    "WrongLabels",
]
