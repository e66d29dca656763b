"""Operators that return to float: where 8 bits lose, how little it takes to win it back."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.optimize.quantize_graphs import answers, dense, kinds, made, network, normal, signed

from afterfit.core.frame import Predictions
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert import Converted
from afterfit.optimize.quantize_return import Budget, loss_of, within_budget

Layers = list[tuple[np.ndarray, np.ndarray]]


TINY = 2000.0


def outlying() -> Layers:
    """Three layers whose first column is weighed 2,000 times as much as the others.

    In `rows` it is as much smaller, so it counts like them; but 8 bits with one scale hold its
    weights and none of the others.
    """
    layers = dense(64, 96, 96, 8)
    layers[0][0][0] *= TINY
    return layers


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    """Normal numbers, whose first column is in a larger unit."""
    found = normal(count, seed)
    return found | {"c0": found["c0"] / TINY}


def wide() -> Layers:
    """A regression that adds numbers up to 10⁵ and tells their small differences."""
    layers = dense(64, 64, 1, seed=4)
    weights, bias = layers[0]
    weights[:, 32:] = weights[:, :32]
    bias[:32] += 1e5
    bias[32:] = bias[:32] - 1.0
    last, _ = layers[1]
    last[32:] = -last[:32]
    last[0] += 0.5
    return layers


def losses(base: Converted, signature: Signature, **options: Any) -> tuple[Converted, Any]:
    """What is made, and what it changes on rows that it has not seen."""
    found = made(base, signature, rows(500, 1), **options)
    fresh = rows(3000, 2)
    exact = answers(base, signature, fresh)
    if found.error:
        return found, None
    return found, loss_of(signature, answers(found, signature, fresh), exact)


def test_one_outlying_layer_returns_and_the_rest_stays() -> None:
    """All in 8 bits far more labels flip than is allowed; with one layer back, within it."""
    base = network(outlying(), softmax=True)
    signature = signed(rows(500, 1), "multiclass", 8)
    whole, lost = losses(base, signature, returning=False)
    assert whole.error == ""
    assert lost.flips > 0.05
    found, kept = losses(base, signature)
    assert kept.flips < 0.02
    told = next(note for note in found.notes if "in float again" in note)
    assert told.startswith("1 of 3 operators")
    running = kinds(found.data, loaded=True)
    assert sum(kind in {"QGemm", "MatMulIntegerToFloat"} for kind in running) == 2


def test_a_regression_of_a_wide_range_is_refused_without_return_and_repaired_with_it() -> None:
    """8 bits of numbers up to 10⁵ hold no differences of one."""
    base = network(wide(), softmax=False)
    signature = signed(rows(500, 1), "regression")
    _, lost = losses(base, signature, returning=False)
    assert lost.difference > 0.5
    found, kept = losses(base, signature, difference=0.05)
    assert kept.difference < 0.08
    assert any("1 of 2 operators in float again" in note for note in found.notes)


def test_where_no_operator_can_stay_the_budget_is_told() -> None:
    """A budget that 8 bits cannot keep ends in an error with what was measured, not in a graph."""
    base = network(dense(64, 96, 96, 8), softmax=True)
    signature = signed(rows(500, 1), "multiclass", 8)
    found = made(base, signature, rows(500, 1), difference=1e-9)
    assert found.data == b""
    assert "even with one operator of 3 left" in found.error
    assert "allowed are" in found.error


def test_time_that_is_over_is_told() -> None:
    """Returning ends at the deadline, with the fix."""
    base = network(outlying(), softmax=True)
    signature = signed(rows(500, 1), "multiclass", 8)
    found = made(base, signature, rows(500, 1), seconds=0.0)
    assert "the time was over" in found.error
    assert "--budget" in found.error


def test_the_worst_return_first() -> None:
    """The order is that of what each changes alone."""
    harm = {"a": 0.0, "b": 0.3, "c": 0.1, "d": 0.0}
    tried: list[tuple[str, ...]] = []

    def make(eight: Any) -> bytes:
        tried.append(tuple(eight))
        return ",".join(eight).encode()

    def ask(data: bytes) -> Predictions:
        total = sum(harm[name] for name in data.decode().split(",") if name)
        return Predictions(values=np.array([0.0, 1.0]) + total)

    signature = signed(normal(5), "regression")
    found = within_budget(
        list(harm),
        make,
        ask,
        Predictions(values=np.array([0.0, 1.0])),
        signature,
        Budget(difference=0.05),
        deadline=time.monotonic() + 60,
    )
    assert found.returned == ("b", "c")
    assert tried[-1] == ("a", "d")


def test_answers_that_are_no_numbers_are_beyond_any_budget() -> None:
    """A NaN is not a small difference."""
    signature = signed(normal(5), "regression")
    exact = Predictions(values=np.array([0.0, 1.0]))
    loss = loss_of(signature, Predictions(values=np.array([np.nan, 1.0])), exact)
    assert not loss.within(Budget(difference=1e9))


def test_no_operator_left_raises() -> None:
    """Where all but the best return and it is still too much, there is no variant."""
    with pytest.raises(ModelError, match="even with one operator of 2 left"):
        within_budget(
            ["a", "b"],
            lambda _: b"",
            lambda _: Predictions(values=np.array([9.0, 9.0])),
            Predictions(values=np.array([0.0, 1.0])),
            signed(normal(5), "regression"),
            Budget(),
            deadline=time.monotonic() + 60,
        )
