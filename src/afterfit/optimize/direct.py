"""The booster by itself: made, and compared with the estimator around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError
from afterfit.models.booster_direct import DIRECT, Bare
from afterfit.models.convert import Attempt, Converted, brief
from afterfit.models.native import Hints
from afterfit.models.timebox import Asked, TimeOverError
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import TIME_OVER, Trial, usual_scale
from afterfit.optimize.parity import Answers, compare, is_exact

__all__ = ["make_direct", "try_direct"]

MODULE = "afterfit.models.booster_direct"


def make_direct(model: Asked, signature: Signature, config: OptimizeConfig) -> Converted | None:
    """Return the booster's file or why it could not be made; None for a model without one."""
    found = model.call(f"{MODULE}:proposals", signature=signature, labelled=False, rows=0)
    if not found:
        return None
    made: Converted = model.call(
        found[0].make,
        signature=signature,
        options=found[0].options,
        rows={},
        target=None,
        graph=None,
        seed=config.seed,
        seconds=config.timing_seconds,
    )
    return made


def try_direct(
    model: Asked,
    signature: Signature,
    made: Converted,
    answers: Sequence[Answers],
    config: OptimizeConfig,
) -> Trial:
    """Return the booster compared on the rows of the ladder; never raises for what it refuses."""
    attempt = Attempt(name=DIRECT)
    if made.error:
        return Trial(attempt, "not_available", made.error)
    form = _Asked(model, Bare(made.data, made.format, Hints.of(signature)))
    try:
        scale = usual_scale(answers)
        judgements = tuple(
            compare(form, known, signature, config.tolerance, scale) for known in answers
        )
    except AfterfitError as error:
        return Trial(attempt, "not_available", f"cannot be loaded: {brief(error)}")
    except TimeOverError:
        return Trial(attempt, "skipped", TIME_OVER)
    if is_exact(judgements):
        return Trial(attempt, "exact", "", made, judgements)
    parts = [f"{j.parity.rows}: {j.parity.message}" for j in judgements if not j.exact]
    return Trial(attempt, "rejected", "; ".join(parts)[:600], made, judgements)


@dataclass(frozen=True)
class _Asked:
    """The booster in the model's process, as a Model."""

    model: Asked
    bare: Bare

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError or ModelError."""
        found: Predictions = self.model.call(f"{MODULE}:answer", bare=self.bare, frame=dict(frame))
        return found
