"""A model behind FastAPI as people write it: a pydantic row, joblib, ``predict_proba``.

A plain ``def``, which FastAPI runs in a thread so that the model does not block the loop.

    MODEL=model.joblib uvicorn app:app
"""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import create_model

model = joblib.load(os.environ["MODEL"])
COLUMNS = [f"f{index}" for index in range(model.n_features_in_)]
Row = create_model("Row", **dict.fromkeys(COLUMNS, (float, ...)))
app = FastAPI()


@app.post("/predict")
def predict(row: Row) -> dict[str, list[float]]:
    """The probability of each class."""
    features = np.array([[getattr(row, name) for name in COLUMNS]])
    return {"probabilities": model.predict_proba(features)[0].tolist()}
