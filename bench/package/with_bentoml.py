"""The Dockerfile that BentoML generates for a logistic regression, into the folder given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SERVICE = """\
import bentoml
import numpy as np


@bentoml.service
class Churn:
    model = bentoml.models.BentoModel("churn:latest")

    def __init__(self):
        self.loaded = bentoml.sklearn.load_model(self.model)

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.loaded.predict_proba(rows)
"""
FILE = 'service: "service:Churn"\ninclude: ["service.py"]\npython:\n  packages: [scikit-learn]\n'


def main() -> None:
    """Save the model, and build what BentoML calls a bento; its Dockerfile is beside it."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    import bentoml
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).normal(size=(200, 2))
    bentoml.sklearn.save_model("churn", LogisticRegression().fit(rows, rows[:, 0] > 0))
    (folder / "service.py").write_text(SERVICE)
    (folder / "bentofile.yaml").write_text(FILE)
    tool = Path(sys.executable).parent / "bentoml"
    subprocess.run([tool, "build"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
