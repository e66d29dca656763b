"""What becomes of a model that converters are known to get wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame
from afterfit.core.progress import SILENT
from afterfit.core.signature import Signature
from afterfit.models.convert import Attempt
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.judge import judged
from afterfit.optimize.ladder import (
    CONVERT,
    Trial,
    climb,
    evidence_rows,
    missing_marker,
    try_attempt,
)
from afterfit.optimize.parity import answers_of

QUICK = OptimizeConfig(effort="quick")
LIBRARY = Attempt(name="library", precision="float32", trees="library")


@dataclass(frozen=True)
class Outcome:
    """``library`` is what the common converters' way came to; ``ladder`` what ``optimize`` did."""

    library: Trial
    ladder: list[Trial]
    found: list[Finding]
    model: Any
    signature: Signature

    @property
    def ships(self) -> str:
        """The form that ships: the name of the exact attempt, or ``native``."""
        last = self.ladder[-1]
        return last.attempt.name if last.status == "exact" else "native"

    @property
    def message(self) -> str:
        """What a person is told first."""
        return self.found[0].message

    def told(self, trials: list[Trial]) -> list[Finding]:
        """What would be told of these trials, the last of which is exact unless none is."""
        exact = trials[-1] if trials[-1].status == "exact" else None
        timings: dict[str, Any] = {"native": {}, "onnx": {}}
        return judged(self.model, trials, exact, timings, QUICK, signature=self.signature)

    def texts(self, code: str) -> list[str]:
        """The messages of the findings with a code."""
        return [finding.message for finding in self.found if finding.code == code]


def outcome_of(model: Any, signature: Signature, frame: Frame) -> Outcome:
    """Return what the ladder makes of a model, and what is told where nothing is exact."""
    data = Dataset(frame=dict(frame))
    answers = [answers_of(model, rows) for rows in evidence_rows(model, signature, data, QUICK)]
    library = try_attempt(model, signature, LIBRARY, answers, missing_marker(data), QUICK)
    ladder = climb(model, model.call(f"{CONVERT}:attempts"), signature, data, QUICK, SILENT)
    outcome = Outcome(library, ladder, [], model, signature)
    return replace(outcome, found=outcome.told(ladder))
