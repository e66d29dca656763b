"""A booster by itself: the model that it is, without the scikit-learn class around it.

The class checks and copies each call's table before it asks the booster; on one row that takes
longer than the answer. The booster's own file gives the same answers.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame, Predictions, is_missing
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert import Converted, brief
from afterfit.models.native import (
    Hints,
    NativeModel,
    Source,
    adapter_for_format,
    adapter_for_object,
    family,
)
from afterfit.models.proposal import Proposal

__all__ = ["DIRECT", "Bare", "answer", "direct", "load", "opened", "proposals"]

DIRECT = "booster-direct"
_AS_IS = "nothing is needed: the estimator ships as it is"
_LIBRARIES = ("lightgbm", "xgboost")


class Bare(msgspec.Struct, frozen=True):
    """A booster's own file, its format, and what the file does not tell."""

    data: bytes
    format: str
    hints: Hints


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return one proposal for an estimator of a boosting library, none for other models."""
    del labelled, rows
    if signature.own_labels is True or wrapped(native.estimator) is None:
        return []
    make = "afterfit.models.booster_direct:direct"
    told = "the booster's own file, without the class around it"
    return [
        Proposal(name=DIRECT, technique="convert", make=make, exact=True, seconds=1.0, told=told)
    ]


def direct(
    native: NativeModel,
    *,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    target: np.ndarray | None,
    graph: Converted | None,
    seed: int,
    seconds: float,
) -> Converted:
    """Return the booster's own file up to its best round, or why there is none."""
    del signature, options, rows, target, graph, seed, seconds
    try:
        booster = _booster(wrapped(native.estimator))
        with tempfile.TemporaryDirectory() as folder:
            adapter: Any = adapter_for_object(booster)
            path, form = adapter.save_object(booster, Path(folder))
            return Converted(data=path.read_bytes(), format=form)
    except Exception as error:  # noqa: BLE001 - libraries raise anything, and none of it is fatal
        return Converted(error=brief(error))


def wrapped(estimator: Any) -> Any:
    """Return the estimator around a booster, alone or after steps that do nothing; else None."""
    steps = getattr(estimator, "steps", None)
    if steps:
        idle = all(step is None or isinstance(step, str) for _, step in steps[:-1])
        return wrapped(steps[-1][1]) if idle else None
    if not any(family(estimator, library) for library in _LIBRARIES):
        return None
    around = hasattr(estimator, "get_booster") or hasattr(estimator, "booster_")
    return estimator if around else None


def _booster(estimator: Any) -> Any:
    """Return the booster that the estimator asks, cut to the rounds that it uses.

    Raises ModelError for an estimator that does more than to ask it.
    """
    if estimator is None:
        raise ModelError("the model is no estimator around a booster", fix=_AS_IS)
    if hasattr(estimator, "booster_"):
        # Its file ends at the best round.
        return estimator.booster_
    hole = estimator.missing
    if not is_missing(hole):
        raise ModelError(
            f"the estimator reads {hole!r} as missing, and its booster does not", fix=_AS_IS
        )
    booster = estimator.get_booster()
    best = booster.attr("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


@functools.lru_cache(maxsize=1)
def opened(bare: Bare) -> NativeModel:
    """Return the model of a file that was made here; raises ModelError."""
    return load(bare)


def load(bare: Bare) -> NativeModel:
    """Return the model of a file that was made here, loaded anew; raises ModelError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(bare.data)
        source = Source(format=bare.format, path=str(path), hints=bare.hints)
        return adapter_for_format(bare.format).load(source)


def answer(native: NativeModel, *, bare: Bare, frame: Frame) -> Predictions:
    """Return what a booster by itself answers to the rows."""
    del native
    return opened(bare).predict(frame)
