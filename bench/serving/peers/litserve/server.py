"""A model behind LitServe, one worker, as its first example is written.

MODEL=model.joblib python server.py PORT
"""

import os
import sys

import joblib
import litserve
import numpy as np


class Classifier(litserve.LitAPI):
    """Decode, predict and encode one request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the name that LitServe calls it by
        """Load the model in the worker."""
        self.model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict) -> np.ndarray:
        """The row of one request."""
        return np.array([request["input"]])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The probability of each class."""
        return self.model.predict_proba(x)[0]

    def encode_response(self, output: np.ndarray) -> dict:
        """The body of the answer."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
