"""Single operators back to float: those first whose 8 bits alone change the answers most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from afterfit.core.frame import Predictions
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.optimize.quantize_graph import OTHERWISE

__all__ = ["Budget", "Loss", "Returned", "loss_of", "within_budget"]

Make = Callable[[Sequence[str]], bytes]
Ask = Callable[[bytes], Predictions]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What 8 bits may change of the answers to the rows that ranges were found with.

    ``flips`` is the share of labels, ``difference`` the mean absolute difference: of
    probabilities, or of values in standard deviations of the float answers.
    """

    flips: float = 0.02
    difference: float = 0.02


@dataclass(frozen=True)
class Loss:
    """What changed: the share of labels, and the mean absolute difference (as in `Budget`)."""

    flips: float
    difference: float

    def within(self, budget: Budget) -> bool:
        """Return whether no more changed than is allowed."""
        return self.flips <= budget.flips and self.difference <= budget.difference

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.flips:.2%} of labels, {self.difference:.2g} of answers"


@dataclass(frozen=True)
class Returned:
    """A graph within the budget, what it changes, and the operators that are float in it again."""

    data: bytes
    loss: Loss
    returned: tuple[str, ...] = ()


def loss_of(signature: Signature, said: Predictions, exact: Predictions) -> Loss:
    """Return what changed between the answers of two forms to the same rows."""
    if exact.values is not None and said.values is not None:
        spread = float(exact.values.std()) or 1.0
        difference = float(np.abs(said.values - exact.values).mean()) / spread
        return Loss(0.0, difference if np.isfinite(difference) else float("inf"))
    flips = float((signature.codes(said) != signature.codes(exact)).mean())
    if exact.probabilities is None or said.probabilities is None:
        return Loss(flips, flips)
    difference = float(np.abs(said.probabilities - exact.probabilities).mean())
    return Loss(flips, difference if np.isfinite(difference) else float("inf"))


def within_budget(
    operators: Sequence[str],
    make: Make,
    ask: Ask,
    exact: Predictions,
    signature: Signature,
    budget: Budget,
    *,
    deadline: float,
) -> Returned:
    """Return the graph with as many 8-bit operators as the budget allows; raises ModelError.

    ``make`` makes a graph with the given operators in 8 bits, and ``ask`` asks it. Operators
    return one after the other, the worst first, as NNCF's quantization with accuracy control has
    it. ``deadline`` is of ``time.monotonic``.
    """

    def tried(eight: Sequence[str]) -> tuple[bytes, Loss]:
        data = make(eight)
        return data, loss_of(signature, ask(data), exact)

    data, loss = tried(operators)
    if loss.within(budget):
        return Returned(data, loss)
    order = _worst_first(operators, lambda name: tried([name])[1], deadline)
    for count in range(1, len(order)):
        if time.monotonic() > deadline:
            raise ModelError(
                f"8 bits change {loss}, and the time was over before enough operators returned",
                fix="give more time: --budget 600s",
            )
        back = set(order[:count])
        data, loss = tried([name for name in operators if name not in back])
        if loss.within(budget):
            return Returned(data, loss, tuple(order[:count]))
    raise ModelError(
        f"8 bits change {loss} even with one operator of {len(operators)} left in them",
        why=f"allowed are {Loss(budget.flips, budget.difference)}",
        fix=OTHERWISE,
    )


def _worst_first(
    operators: Sequence[str], alone: Callable[[str], Loss], deadline: float
) -> list[str]:
    """Return the operators by what each changes alone; those without time come last, in order."""
    found: dict[str, tuple[float, float]] = {}
    begun = time.monotonic()
    for name in operators:
        # Half the time is for returning them.
        if time.monotonic() > begun + 0.5 * max(0.0, deadline - begun):
            break
        loss = alone(name)
        found[name] = (loss.difference, loss.flips)
    return sorted(operators, key=lambda name: found.get(name, (-1.0, -1.0)), reverse=True)
