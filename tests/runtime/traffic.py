"""What the tests of divided traffic share: versions of one model, and a server to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from tests.runtime.bundles import AGE_WEIGHT, HOURS_WEIGHT, JOBS, store_bundle

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
