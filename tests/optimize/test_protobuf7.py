"""With protobuf 7, which common converters do not run with yet, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROTOBUF = "protobuf==7.36.2"
PROGRAM = """
import sys

import google.protobuf
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from tests.optimize.conftest import fit
from tests.optimize.traps import outcome_of

assert google.protobuf.__version__.startswith("7."), google.protobuf.__version__
rng = np.random.default_rng(0)
frame = {f"x{index}": rng.normal(size=600) for index in range(4)}
frame["kind"] = rng.integers(0, 9, 600).astype(float)
truth = (np.isin(frame["kind"], [1, 3, 6]) ^ (frame["x0"] > 0)).astype(int)
for estimator in (
    HistGradientBoostingClassifier(max_iter=10),
    HistGradientBoostingClassifier(max_iter=10, categorical_features=[4]),
    RandomForestClassifier(10, random_state=0),
):
    model, signature = fit(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    print(type(estimator).__name__, outcome.ships, "|", outcome.library.why.splitlines()[:2])
"""


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with protobuf 7 alone, which comes before this environment's own."""
    folder = tmp_path_factory.mktemp("protobuf7")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(folder), PROTOBUF], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no words"])[-1]
        told = f"NOT RUN: {PROTOBUF} cannot be installed here: {words[:200]}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(told)
    return folder


@pytest.mark.slow
def test_histogram_boosting_still_converts(seven: Path, project_root: Path) -> None:
    """Ours writes trees without the common converter, whose error names the pin in a line."""
    paths = [str(seven), str(project_root / "src"), str(project_root)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        cwd=project_root,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plain, categories, forest = done.stdout.splitlines()
    assert plain.startswith("HistGradientBoostingClassifier onnx-float64 |")
    assert categories.startswith("HistGradientBoostingClassifier onnx-float64 |")
    assert forest.startswith("RandomForestClassifier onnx-float64 |")
    for line in (plain, categories):
        assert "skl2onnx cannot write this model with protobuf 7" in line
        assert "pip install 'protobuf<7'" in line
