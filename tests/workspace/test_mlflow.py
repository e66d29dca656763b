"""Models of an MLflow server in the line: what came is held to what came before."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.registry.mlflow.fake import FakeMlflow, serving

from afterfit import Workspace
from afterfit.config import Config
from afterfit.errors import IntegrityError, ModelError
from afterfit.records.inspect import InspectRecord
from afterfit.workspace.mlflow import bring
from afterfit.workspace.sources import name_of

MLMODEL = b"flavors:\n  sklearn:\n    pickled_model: model.pkl\n"
OWN = b"flavors:\n  python_function:\n    loader_module: own\n    code: code\n"
CHURN = "mlflow:models:/churn@champion"


@pytest.fixture
def table() -> pd.DataFrame:
    """A hundred rows that are easily told apart."""
    rng = np.random.default_rng(0)
    age, spend = rng.integers(18, 80, 100), rng.normal(0, 1, 100).round(3)
    return pd.DataFrame({"age": age, "spend": spend, "left": (spend > 0).astype(int)})


@pytest.fixture
def fake(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMlflow]:
    """A server with one version of churn, its champion."""
    model = LogisticRegression().fit(table[["age", "spend"]], table["left"])
    with serving() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        monkeypatch.delenv("MLFLOW_TRACKING_TOKEN", raising=False)
        server.add_version("churn", {"MLmodel": MLMODEL, "model.pkl": pickle.dumps(model)})
        server.alias("churn", "champion", "1")
        yield server


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A new workspace."""
    return Workspace(tmp_path / ".afterfit", config=Config())


@pytest.mark.usefixtures("fake")
def test_a_model_of_mlflow_is_usable_where_a_file_is(space: Workspace, table: pd.DataFrame) -> None:
    """It is audited and inspected like a file, and named after the registered model."""
    stored = space.inspect(CHURN, table, "left")
    assert isinstance(stored.body, InspectRecord)
    assert stored.body.signature.names == ("age", "spend")
    assert name_of(CHURN) == "churn"
    (line,) = [entry for entry in space.registry.log() if entry.action == "import"]
    assert line.source.startswith("mlflow:models:/churn/1 of 127.0.0.1:")
    assert set(line.details["files"]) == {"MLmodel", "model.pkl"}
    assert any("answers without a password" in each for each in space.warnings)


def test_other_bytes_under_the_same_number_are_refused(fake: FakeMlflow, space: Workspace) -> None:
    """The first digest is in the audit log; a reason takes the new bytes, and is kept there."""
    first = bring(space, CHURN)
    assert bring(space, CHURN) == first
    fake.files["1/churn/1/model.pkl"] += b"."
    with pytest.raises(IntegrityError) as caught:
        bring(space, CHURN)
    assert "model.pkl changed since" in caught.value.why
    assert "afterfit mlflow import mlflow:models:/churn/1 --accept-change" in caught.value.fix
    with pytest.raises(IntegrityError):
        bring(space, "mlflow:models:/churn/1")
    taken = bring(space, CHURN, accept="hotfix, agreed with Ana")
    assert bring(space, CHURN) == taken
    assert first.file.read_bytes() + b"." == taken.file.read_bytes()
    imports = [entry for entry in space.registry.log() if entry.action == "import"]
    assert [entry.why for entry in imports] == ["", "hotfix, agreed with Ana"]
    space.registry.verify_log()


def test_an_alias_may_move_to_another_version(fake: FakeMlflow, space: Workspace) -> None:
    """That is what aliases are for: each number has its own digest."""
    first = bring(space, CHURN)
    fake.add_version("churn", {"MLmodel": MLMODEL, "model.pkl": b"another"})
    fake.alias("churn", "champion", "2")
    second = bring(space, CHURN)
    assert (first.source.identity, second.source.identity) == ("models:/churn/1", "models:/churn/2")


@pytest.mark.usefixtures("fake")
def test_a_copy_that_was_changed_here_is_made_anew(space: Workspace) -> None:
    """The folder is named after its digest, and is held to it."""
    file = bring(space, CHURN).file
    before = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(b"changed")
    assert bring(space, CHURN).file.read_bytes() == before


def test_code_of_its_own_does_not_run_by_itself(fake: FakeMlflow, space: Workspace) -> None:
    """A pyfunc is copied, and the error names the folder whose code somebody must read first."""
    fake.add_version("own", {"MLmodel": OWN, "code/own.py": b"raise SystemExit(3)\n"})
    with pytest.raises(ModelError) as caught:
        bring(space, "mlflow:models:/own/1")
    folder = Path(caught.value.fix.rpartition("--code ")[2])
    assert (folder / "own.py").read_bytes() == b"raise SystemExit(3)\n"
