"""A real bundle scores a file as it scores requests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

from afterfit.predict.config import PredictConfig
from afterfit.predict.run import predict_file
from afterfit.runtime.decode import Decoder
from afterfit.runtime.predict import load_bundle


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_gets_the_scores_and_flags_of_requests(tmp_path: Path, ending: str) -> None:
    """The same rows as JSON and as a file: equal probabilities, labels and counts of flags."""
    people_bundle(tmp_path / "bundle")
    predictor = load_bundle(tmp_path / "bundle")
    table = pd.DataFrame(people(300, seed=1))
    table.loc[5, "hours"] = 99
    table.loc[6, "job"] = "astronaut"
    source, output = tmp_path / f"rows.{ending}", tmp_path / "scores.parquet"
    if ending == "csv":
        table.to_csv(source, index=False)
    else:
        table.to_parquet(source)
    record = predict_file(predictor, source, output, PredictConfig(batch_rows=64))
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    decoder = Decoder(predictor.signature)
    frame = decoder.decode(json.dumps({"rows": rows}).encode()).frame
    expected = predictor.predict(frame)
    found = pd.read_parquet(output)
    assert expected.probabilities is not None
    assert np.array_equal(found["probability_yes"], expected.probabilities[:, 1])
    codes = predictor.signature.codes(expected)
    assert found["label"].tolist() == [predictor.signature.classes[code] for code in codes]
    assert record.flagged == {k: n for k, n in decoder.flags(frame).counts().items() if n}
    assert record.flagged["range"] == record.flagged["new_category"] == 1
    assert record.subject == predictor.digest
