"""The same as app.py on the event loop: faster for one core, and blocked while the model runs.

MODEL=model.joblib uvicorn app_async:app
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
async def predict(row: Row) -> dict[str, list[float]]:
    """The probability of each class."""
    features = np.array([[getattr(row, name) for name in COLUMNS]])
    return {"probabilities": model.predict_proba(features)[0].tolist()}
