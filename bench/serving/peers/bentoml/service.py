"""A model behind BentoML, one worker, without its adaptive batching.

MODEL=model.joblib bentoml serve service:Classifier
"""

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    """One model and one route."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, row: list[float]) -> list[float]:
        """The probability of each class."""
        return self.model.predict_proba(np.array([row]))[0].tolist()
