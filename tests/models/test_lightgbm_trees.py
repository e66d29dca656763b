"""LightGBM's trees as a graph: what its dump says otherwise than the booster does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.made_variants import answers, signature_of, wrapped

from afterfit.models.convert import attempts, to_onnx


def test_a_split_of_what_is_missing_from_all_numbers_takes_the_largest_too() -> None:
    """The dump writes such a threshold as 1e300, and the booster has infinity there."""
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = np.where(rng.random(1000) < 0.3, np.nan, rng.normal(size=1000))
    other = rng.normal(size=1000)
    truth = (np.isnan(x) ^ (other > 0)).astype(int)
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 0}
    booster = lightgbm.train(options, lightgbm.Dataset(np.column_stack([x, other]), truth), 5)
    assert " inf" in booster.model_to_string() or "=inf" in booster.model_to_string()
    far = np.array([1e299, 1e300, 1e301, 1.7976931348623157e308, np.inf, -np.inf, np.nan, 0.0])
    rows = {"x": np.repeat(far, 2), "other": np.tile([-1.0, 1.0], len(far))}
    signature = signature_of(rows, "binary", (0, 1))
    native = wrapped(booster, signature)
    made = to_onnx(native, signature, attempts(native)[0])
    assert made.error == ""
    said, meant = answers(made, signature, rows), native.predict(rows)
    np.testing.assert_allclose(said.main, meant.main, rtol=0, atol=1e-12)
