"""What the numbers that a network answers mean: probabilities, scores, or values.

A layer that makes probabilities gives rows of a distribution whatever goes in, and one that does
not soon leaves it. So a few made-up rows decide, and the same rows decide alike in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.scores import sigmoid, softmax
from afterfit.core.signature import Task
from afterfit.errors import ModelError

__all__ = ["TOLD", "Activation", "activated", "activation_of", "first_output", "probe_rows"]

Activation = Literal["none", "softmax", "sigmoid"]
TOLD: dict[Activation, str] = {
    "none": "",
    "softmax": "softmax added: the network answers scores",
    "sigmoid": "sigmoid added: the network answers a score",
}
_SIZES = (0.0, 1.0, 10.0, 100.0)
_ROWS_EACH = 8
_SUM = 1e-3


def probe_rows(inputs: Sequence[TensorInput]) -> list[np.ndarray]:
    """Return one array an input: 32 made-up rows, always the same."""
    random = np.random.default_rng(0)
    n = _ROWS_EACH * len(_SIZES)
    found = []
    for tensor in inputs:
        shape = (n, *tensor.shape) if tensor.shape else (n, len(tensor.columns))
        if tensor.rank == 1:
            shape = (n,)
        if tensor.dtype.startswith("float"):
            size = np.repeat(_SIZES, _ROWS_EACH).reshape(-1, *[1] * (len(shape) - 1))
            found.append((random.standard_normal(shape) * size).astype(tensor.dtype))
        else:
            # Tokens: the first two are in every vocabulary.
            found.append(random.integers(0, 2, shape).astype(tensor.dtype))
    return found


def activation_of(
    ask: Callable[[list[np.ndarray]], np.ndarray],
    inputs: Sequence[TensorInput],
    task: Task | None,
) -> Activation:
    """Return what makes probabilities of the network's answers; ``none`` for a regression.

    ``ask`` answers [n], [n, 1] or [n, classes] for one array an input.
    """
    if task in {None, "regression"}:
        return "none"
    answer = ask(probe_rows(inputs))
    if answer.ndim == 1 or answer.shape[1] == 1:
        inside = bool(((answer >= 0) & (answer <= 1)).all())
        return "none" if inside else "sigmoid"
    sums = answer.sum(axis=1)
    spread = bool((answer >= 0).all() and np.abs(sums - 1.0).max() <= _SUM)
    return "none" if spread else "softmax"


def activated(answer: np.ndarray, activation: Activation) -> np.ndarray:
    """Return the answers as probabilities."""
    if activation == "none":
        return answer
    return sigmoid(answer) if activation == "sigmoid" else softmax(answer)


def first_output(answer: Any) -> Any:
    """Return the tensor that is read of what a network gives; raises ModelError for none."""
    if isinstance(answer, dict):
        answer = answer.get("logits", next(iter(answer.values()), None))
    if isinstance(answer, list | tuple) and answer:
        answer = answer[0]
    if not hasattr(answer, "detach") or answer.ndim not in {1, 2}:
        shape = list(getattr(answer, "shape", ())) or type(answer).__name__
        raise ModelError(
            "the network does not answer one row of numbers for each row",
            why=f"its first output is {shape}; [n], [n, 1] and [n, classes] can be read",
            fix="export a module whose forward returns that tensor",
        )
    return answer
