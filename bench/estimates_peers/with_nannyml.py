"""Prints NannyML's estimates by chunk as JSON: for ``bench/estimates.py``, in its own environment.

Arguments: a file of JSON that says where the rows are and how many are in a chunk. Prints, by
metric, one estimate a chunk with its bounds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nannyml
import pandas as pd


def main() -> None:
    """Estimate what the file asks for."""
    # Its error model cannot take the words of today's pandas.
    pd.set_option("future.infer_string", False)
    asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    reference, analysis = (pd.read_parquet(asked[name]) for name in ("reference", "analysis"))
    begun = time.process_time()
    if asked["task"] == "regression":
        estimator = nannyml.DLE(
            feature_column_names=asked["features"],
            y_pred="y_pred",
            y_true="y_true",
            metrics=asked["metrics"],
            chunk_size=asked["chunk"],
        )
    else:
        estimator = nannyml.CBPE(
            y_pred_proba="score",
            y_pred="y_pred",
            y_true="y_true",
            problem_type="classification_binary",
            metrics=asked["metrics"],
            chunk_size=asked["chunk"],
        )
    found = estimator.fit(reference).estimate(analysis).filter(period="analysis").to_df()
    result = {
        metric: found[metric][["value", "lower_confidence_boundary", "upper_confidence_boundary"]]
        .to_numpy()
        .tolist()
        for metric in asked["metrics"]
    }
    print(json.dumps({"estimates": result, "cpu_s": time.process_time() - begun}))


if __name__ == "__main__":
    main()
