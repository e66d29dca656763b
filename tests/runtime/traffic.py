"""What the tests of divided traffic share: versions of one model, and a server to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from tests.runtime.bundles import AGE_WEIGHT, HOURS_WEIGHT, JOBS, people, store_bundle

from afterfit.core.bundle import Golden, Variant, write_manifest
from afterfit.core.fingerprint import build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.serve.run import ServedBundle, ServerHandle, link_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = {"age": 39.5, "hours": 40, "job": "nurse"}
BIASES = (-3.0, -1.0, -2.9, -3.3)


def versions(folder: Path, biases: Sequence[float] = BIASES) -> list[ServedBundle]:
    """Versions 1 to 4 of one model, each with another bias."""
    made = [store_bundle(folder, bias=bias) for bias in biases]
    return [ServedBundle(n, digest, path) for n, (digest, path) in enumerate(made, start=1)]


def divide(server: ServerHandle, bundles: list[ServedBundle], **parts: Any) -> Endpoint:
    """The document after version 1 of churn got a canary, shadows or a stand-in."""
    for bundle in bundles:
        link_bundle(server.bundles, bundle.digest, bundle.folder)
    numbers = {bundle.digest: bundle.version for bundle in bundles}
    route = ModelRoute(primary=bundles[0].digest, versions=numbers, **parts)
    now = server.admin.get()
    return server.admin.put(msgspec.structs.replace(now, models={**now.models, "churn": route}))


MOODY = """
import os
import time

import numpy as np


def predict(table):
    ages = table["age"].to_numpy(dtype=float)
    if (ages >= 9000).any():
        time.sleep(3600)
    if (ages >= 8000).any():
        os._exit(3)
    if (ages >= 7000).any():
        time.sleep(float(ages.max() - 7000))
    second = 1 / (1 + np.exp(-({weight} * ages + {hours} * table["hours"].to_numpy(dtype=float))))
    return np.column_stack([1 - second, second])
"""
HANGS, DIES, SLEEPS = 9000.0, 8000.0, 7000.0
"""Ages by which a moody model is told what to do; it sleeps for as many seconds as are above."""


def moody_bundle(folder: Path) -> ServedBundle:
    """Version 1 of a model in a process of its own that hangs, dies or sleeps when it is told."""
    (folder / "code").mkdir(parents=True)
    text = MOODY.format(weight=AGE_WEIGHT, hours=HOURS_WEIGHT)
    (folder / "code" / "moody.py").write_text(text)
    frame = {name: values for name, values in people(200).items() if name != "job"}
    frame["age"] = np.nan_to_num(frame["age"], nan=40.0)
    second = 1 / (1 + np.exp(-(AGE_WEIGHT * frame["age"] + HOURS_WEIGHT * frame["hours"])))
    answers = Predictions(probabilities=np.column_stack([1 - second, second]))
    signature = Signature(
        task="binary",
        columns=(Column(name="age", kind="number"), Column(name="hours", kind="integer")),
        classes=("no", "yes"),
        positive="yes",
    )
    variant = Variant(
        name="native",
        runtime="native",
        framework="function",
        file="",
        format="function",
        code=True,
        function="moody:predict",
    )
    assert answers.probabilities is not None
    parts = {
        "signature.json": signature,
        "fingerprint.json": build(frame, signature, answers),
        "golden.json": Golden(
            columns={name: values[:4].tolist() for name, values in frame.items()},
            probabilities=answers.probabilities[:4].tolist(),
        ),
        "variant.json": variant,
    }
    for name, part in parts.items():
        (folder / name).write_bytes(msgspec.json.encode(part))
    (folder / "requirements.lock").write_text("pandas\n")
    return ServedBundle(1, write_manifest(folder).digest, folder)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of people without missing values, as clients send them."""
    rng = np.random.default_rng(seed)
    return [
        {
            "age": round(float(rng.uniform(18, 80)), 1),
            "hours": int(rng.integers(10, 60)),
            "job": JOBS[int(rng.integers(0, 3))],
        }
        for _ in range(count)
    ]


def chance(row: dict[str, Any], bias: float) -> float:
    """What a version says of a row: the probability of yes."""
    logit = AGE_WEIGHT * row["age"] + HOURS_WEIGHT * row["hours"] + JOBS.index(row["job"]) / 2
    return float(1 / (1 + np.exp(-(logit + bias))))


def infer_body(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a request of the Open Inference Protocol."""
    kinds = {"age": "FP64", "hours": "INT64", "job": "BYTES"}
    return {
        "inputs": [
            {"name": name, "datatype": kinds[name], "shape": [1], "data": [value]}
            for name, value in row.items()
        ]
    }
