"""Bundles whose variant has another one for many rows."""

from __future__ import annotations

import msgspec
import numpy as np

from afterfit.core.bundle import Large, Variant
from afterfit.core.digest import canonical_json
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.runtime.by_size import BySize

PLAIN = Variant(name="onnx-float64", runtime="onnx", framework="sklearn", file="model/model.onnx")
BOOSTER = Variant(
    name="booster-direct",
    runtime="native",
    framework="xgboost",
    file="model/model.ubj",
    format="xgboost-ubj",
)


class Constant:
    """Answers one number, and remembers whether it was closed."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.closed = 0

    def predict(self, frame: Frame) -> Predictions:
        """Return the number for each row."""
        return Predictions(values=np.full(row_count(frame), self.value))

    def close(self) -> None:
        """Count."""
        self.closed += 1


def test_calls_go_to_the_form_of_their_size() -> None:
    """Below the limit the small form answers, from it on the large one; both are closed."""
    small, large = Constant(1.0), Constant(2.0)
    model = BySize(small, large, 4)
    answers = [model.predict({"a": np.zeros(rows)}).main for rows in (1, 3, 4, 100)]
    assert [set(answer.tolist()) for answer in answers] == [{1.0}, {1.0}, {2.0}, {2.0}]
    model.close()
    assert (small.closed, large.closed) == (1, 1)


def test_a_variant_without_a_second_one_is_written_as_before() -> None:
    """No digest of a bundle changes: the field is not written where it is not set."""
    assert b"large" not in canonical_json(PLAIN)
    both = msgspec.structs.replace(PLAIN, large=Large(rows=32, variant=BOOSTER))
    again = msgspec.json.decode(canonical_json(both), type=Variant)
    assert again == both
    assert again.large
    assert again.large.rows == 32


def test_what_a_second_variant_asks_counts() -> None:
    """A bundle is not harmless because the form for few rows is."""
    assert msgspec.structs.replace(PLAIN, large=Large(rows=2, variant=BOOSTER)).asks == ""
    own = msgspec.structs.replace(BOOSTER, format="cloudpickle")
    both = msgspec.structs.replace(PLAIN, large=Large(rows=2, variant=own))
    assert both.own_code
    assert both.asks == "it brings code of its own"
    other = msgspec.structs.replace(BOOSTER, format="unheard-of")
    assert (
        "nothing audits" in msgspec.structs.replace(PLAIN, large=Large(rows=2, variant=other)).asks
    )
