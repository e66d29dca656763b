"""What the end-to-end tests share: a pipeline, a quick workspace, and a served version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from afterfit.config import load_config
from afterfit.runtime.client import Client
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServerHandle, start_server
from afterfit.workspace import Workspace

QUICK = {"line.effort": "quick", "line.folds": 0, "serve.workers": 1}
"""One worker serves in a line's load test: each takes as long to start as the load lasts."""


def preprocess(table: pd.DataFrame, target: str) -> Any:
    """Return imputation, scaling and one-hot over all columns but the target."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = table.drop(columns=target)
    numbers = list(rows.select_dtypes("number").columns)
    words = [name for name in rows.columns if name not in numbers]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot), words),
        ]
    )


def quick_space(folder: Path, **settings: Any) -> Workspace:
    """Return a workspace that does little work, in ``folder``."""
    config = load_config(folder, overrides={**QUICK, **settings}, environ={})
    return Workspace(folder / ".afterfit", config=config)


@contextmanager
def serving(space: Workspace, ref: str, folder: Path) -> Iterator[ServerHandle]:
    """Yield a real server of a version on a free loopback port."""
    version = space.registry.resolve(ref)
    bundle = space.version(ref)
    state = folder / "state"
    state.mkdir(exist_ok=True)
    config = ServeConfig(port=0, events=str(space.events.resolve()))
    with (
        (folder / "server.log").open("wb") as log,
        start_server({version.name: bundle}, config, state, log=log) as server,
    ):
        yield server


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as JSON rows, missing values as None."""
    return [
        {
            str(name): None
            if pd.isna(value)
            else value.item()
            if isinstance(value, np.generic)
            else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def ask(client: Client, table: pd.DataFrame, size: int = 4000) -> list[dict[str, Any]]:
    """Return the predictions of every row over HTTP, in batches."""
    answers: list[dict[str, Any]] = []
    rows = plain_rows(table)
    for start in range(0, len(rows), size):
        reply = client.post("/predict", {"rows": rows[start : start + size]})
        assert reply.status == 200, reply.body[:500]
        answers += reply.json()["predictions"]
    return answers
