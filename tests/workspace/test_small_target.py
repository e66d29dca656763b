"""A regression whose target is far below one: rates, concentrations, shares of a market."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from tests.e2e.helpers import quick_space

from afterfit.core.bundle import Bundle
from afterfit.runtime.predict import load_bundle
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources


@pytest.mark.slow
def test_a_target_of_a_millionth_keeps_its_shape_in_the_bundle(tmp_path: Path) -> None:
    """Golden rows and the fingerprint of the answers hold digits, and no constant passes them."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"dose": random.normal(size=400), "age": random.normal(size=400)})
    target = 1e-6 * (3 + rows["dose"] - 0.5 * rows["age"]).to_numpy()
    model = LinearRegression().fit(rows, target)
    space = quick_space(tmp_path)
    sources = Sources(model=model, data=rows, target=target)
    with opened_line(space, sources, "small", fresh=False) as line:
        line.walk(("inspect", "assess", "optimize", "package"))
        bundle: Bundle = line.bundle
    output = bundle.fingerprint.output
    assert output is not None
    assert len(output.edges) > 20
    golden = msgspec.to_builtins(bundle.golden)
    assert len(set(golden["values"])) > 50
    expected = model.predict(pd.DataFrame(golden["columns"])[list(rows.columns)])
    assert np.abs(np.array(golden["values"]) - expected).max() < 1e-11
    predictor = load_bundle(bundle.folder)
    assert predictor.golden.outcome == "passed"
