"""A form with recalibrated probabilities, shipped from the command line and asked in-process."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

import afterfit
from afterfit.cli.app import run
from afterfit.core.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SETTINGS = '[line]\neffort = "quick"\nfolds = 0\n[optimize]\nallow = ["recalibrate"]\n'


def table(n: int, seed: int) -> pd.DataFrame:
    """Return n rows that say the same thing twice, so that a naive Bayes is too sure."""
    rng = np.random.default_rng(seed)
    paid = rng.random(n) < 0.3
    rows = {"a": paid + rng.normal(scale=1.2, size=n)}
    rows |= {name: rows["a"] + rng.normal(scale=0.05, size=n) for name in "bc"}
    return pd.DataFrame({**rows, "paid": np.where(paid, "yes", "no")})


def test_a_map_ships_and_the_threshold_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signature, golden rows, labels and probabilities of what is served, and what pages say."""
    from sklearn.naive_bayes import GaussianNB

    monkeypatch.chdir(tmp_path)
    (tmp_path / "afterfit.toml").write_text(SETTINGS)
    train, held_out, fresh = table(1500, 1), table(3000, 2), table(2000, 3)
    model = GaussianNB().fit(train.drop(columns="paid"), train["paid"])
    joblib.dump(model, "bayes.joblib")
    train.to_csv("train.csv", index=False)
    held_out.to_csv("data.csv", index=False)
    arguments = ("--data", "data.csv", "--train", "train.csv", "--target", "paid", "--json")
    assert run(("ship", "bayes.joblib", *arguments, "--positive", "yes")) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    bundle = Bundle(next(Path(".afterfit/bundles").glob(f"{result['digest']}*/")))
    assert bundle.variant.name.startswith("onnx-float64+")
    threshold = bundle.signature.threshold
    assert threshold is not None
    assert 0.2 < threshold < 0.49
    golden = np.array(bundle.golden.probabilities)
    own = model.predict_proba(pd.DataFrame(bundle.golden.columns))
    assert np.abs(golden - own).max() > 0.05
    rows = fresh.drop(columns="paid")
    with afterfit.load("bayes@1", events=False) as served:
        answers = served.predict(rows)
    assert [answer["label"] for answer in answers] == model.predict(rows).tolist()
    p = np.array([answer["probabilities"]["yes"] for answer in answers])
    truth = (fresh["paid"] == "yes").to_numpy()
    before = model.predict_proba(rows)[:, 1]
    assert np.square(p - truth).mean() < np.square(before - truth).mean() - 0.01
    for command in (("report", "bayes@1", "--format", "text"), ("version", "card", "bayes@1")):
        assert run(command) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"0.500 of the model is {threshold:#.3g} behind the map: same labels" in text
        assert "the labels stay" in text
