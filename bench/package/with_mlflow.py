"""The Dockerfile that MLflow generates for a logistic regression, into the folder given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Save the model, and generate."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    folder = Path(sys.argv[1])
    rows = np.random.default_rng(0).normal(size=(200, 2))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    mlflow.sklearn.save_model(model, str(folder / "model"), input_example=rows[:2])
    words = ["models", "generate-dockerfile", "-m", str(folder / "model"), "-d"]
    tool = Path(sys.executable).parent / "mlflow"
    subprocess.run([tool, *words, str(folder / "image")], check=True)


if __name__ == "__main__":
    main()
