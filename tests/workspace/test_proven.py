"""A version carries what its variant was proven on, from its record to whoever serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space

from afterfit.core.proof import Surroundings, read_proven
from afterfit.package.config import PackageConfig
from afterfit.records.optimize import OptimizeRecord
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import start_server
from afterfit.store.environment import current_environment
from afterfit.workspace.proven import proven_of

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
TARGET = np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no")


def test_a_shipped_version_says_what_it_was_proven_on(tmp_path: Path) -> None:
    """As the record of optimize tells, to a server and to an image; a lost record stops nobody."""
    space = quick_space(tmp_path)
    version = space.ship(LogisticRegression().fit(ROWS, TARGET), ROWS, TARGET, name="m").version
    env = current_environment()
    served = space.version("m@1")
    assert served.proven is not None
    assert served.proven.digest == served.digest == version.digest
    assert served.proven.by == "comparison"
    assert served.proven.on.libraries == {"onnxruntime": env.packages["onnxruntime"]}
    assert served.proven.on.cpu_features == env.cpu_features
    assert served.proven.on.machine in env.system
    with (
        start_server({"m": served}, ServeConfig(port=0), tmp_path / "state") as server,
        server.client() as client,
    ):
        proof = client.get("/version").json()["models"]["m"]["proof"]
    assert proof["proven_on"] == proof["running_on"]
    assert msgspec.convert(proof["proven_on"], Surroundings) == served.proven.on
    assert (proof["by"], proof["reverified"]) == ("comparison", False)
    space.package("m@1", "dockerfile", tmp_path / "image", PackageConfig())
    assert read_proven(tmp_path / "image" / "bundle", version.digest) == served.proven
    lost = msgspec.structs.replace(version, evidence={"optimize": "0" * 64})
    assert proven_of(space.folder, lost) is None


def test_a_record_says_how_its_variant_was_proven(tmp_path: Path) -> None:
    """An exact one by comparison, the model as it is by itself."""
    space = quick_space(tmp_path)
    record = space.optimize(LogisticRegression().fit(ROWS, TARGET), ROWS, TARGET).body
    assert isinstance(record, OptimizeRecord)
    assert record.proven("1" * 64).by == "comparison"
    alone = msgspec.structs.replace(record.variant, name="native", runtime="native")
    as_it_is = msgspec.structs.replace(record, chosen="native", variant=alone)
    proven = as_it_is.proven("1" * 64)
    assert proven.by == "itself"
    assert set(proven.on.libraries) == {"scikit-learn"}
