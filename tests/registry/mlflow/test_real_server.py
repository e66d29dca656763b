"""A real MLflow server: what it registers is read, and what is sent there it loads.

``AFTERFIT_MLFLOW`` names the Python of an environment with mlflow, onnxruntime and scikit-learn;
``AFTERFIT_MLFLOW_STORE`` the URI of its database (default: a new file of SQLite).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterfit import Workspace
from afterfit.config import load_config
from afterfit.errors import IntegrityError, ModelError
from afterfit.registry.mlflow.address import server_of
from afterfit.registry.mlflow.client import Client
from afterfit.workspace.mlflow import bring, exported

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
START_S = 120
NAME = f"churn{os.getpid()}"
TRAIN = """
import sys, numpy as np, pandas as pd, mlflow, mlflow.sklearn
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.integers(18, 80, 200), "spend": rng.normal(0, 1, 200).round(3)})
y = (X.spend > 0).astype(int)
X.assign(left=y).to_csv(sys.argv[2], index=False)
with mlflow.start_run():
    mlflow.sklearn.log_model(LogisticRegression().fit(X, y), name="model",
                             registered_model_name=sys.argv[3])
mlflow.MlflowClient().set_registered_model_alias(sys.argv[3], "champion", "1")
"""
LOAD = """
import sys, json, pandas as pd, mlflow.onnx, onnxruntime
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.onnx.load_model(f"models:/{sys.argv[2]}@challenger")
print(json.dumps([i.name for i in model.graph.input]))
"""


OWN = """
def decide(table):
    return (table["spend"] > 0).to_numpy(dtype=int)
"""
PYFUNC = """
import sys, mlflow, mlflow.pyfunc
mlflow.set_tracking_uri(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from mypkg.model import decide
class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return decide(model_input)
with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Own(), code_paths=[sys.argv[2] + "/mypkg"],
                            registered_model_name=sys.argv[3])
mlflow.MlflowClient().set_registered_model_alias(sys.argv[3], "champion", "1")
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The Python that has mlflow."""
    found = os.environ.get("AFTERFIT_MLFLOW", "")
    if not found:
        pytest.skip("NOT RUN: AFTERFIT_MLFLOW names no Python with mlflow")
    return found


@pytest.fixture(scope="module")
def url(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on loopback, ended with the module."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = os.environ.get("AFTERFIT_MLFLOW_STORE") or f"sqlite:///{folder}/mlflow.db"
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "files")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | settings, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            client, until = Client(server_of(address, {})), time.monotonic() + START_S
            while not client.version():
                assert time.monotonic() < until, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _run(python: str, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [python, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_comes_and_goes(
    python: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shipped from its alias, sent back once, loaded by MLflow; then its bytes are changed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    _run(python, TRAIN, url, str(tmp_path / "test.csv"), NAME)
    config = load_config(overrides={"line.effort": "quick"})
    space = Workspace(tmp_path / ".afterfit", config=config)
    asked = f"mlflow:models:/{NAME}@champion"
    release = space.ship(asked, str(tmp_path / "test.csv"), "left")
    assert release.record.origin is not None
    assert release.record.origin.identity == f"models:/{NAME}/1"
    space.registry.promote(NAME, 1, "challenger", who="ana")
    (first,) = exported(space)
    (again,) = exported(space)
    assert (first.new, first.number, first.aliases) == (True, "2", ("challenger",))
    assert (again.new, again.number, again.files, again.metrics) == (False, "2", 0, 0)
    assert _run(python, LOAD, url, NAME).strip().startswith("[")

    client = Client(server_of(url, {}))
    place = client.get("model-versions/get-download-uri", name=NAME, version="1")["artifact_uri"]
    path = tmp_path / "other"
    path.write_bytes(b"other bytes")
    with path.open("rb") as stream:
        client.upload(place.partition(":/")[2] + "/model.skops", stream, 11)
    with pytest.raises(IntegrityError, match="not what was imported before"):
        bring(space, asked)


def test_a_pyfunc_ships_by_its_function_and_is_refused_when_its_code_changes(
    python: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it runs until the code that came is named; other code under its number is seen."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / "mypkg").mkdir(parents=True)
    (tmp_path / "src" / "mypkg" / "__init__.py").touch()
    (tmp_path / "src" / "mypkg" / "model.py").write_text(OWN, "utf-8")
    name = f"{NAME}own"
    _run(python, PYFUNC, url, str(tmp_path / "src"), name)
    space = Workspace(
        tmp_path / ".afterfit", config=load_config(overrides={"line.effort": "quick"})
    )
    rows = "age,spend,left\n" + "".join(f"{20 + i},{(-1) ** i * i / 9},{1 - i % 2}\n"
                                        for i in range(1, 121))  # fmt: skip
    (tmp_path / "test.csv").write_text(rows, "utf-8")
    asked = f"mlflow:models:/{name}@champion"
    with pytest.raises(ModelError, match="runs only where you say so") as caught:
        space.ship(asked, "test.csv", "left")
    code = Path(caught.value.fix.rpartition("--code ")[2])
    assert (code / "mypkg" / "model.py").read_text("utf-8") == OWN
    release = space.ship("mypkg.model:decide", "test.csv", "left", name="own", code=code)
    assert release.version.number == 1
    with space.load("own@1", events=False) as model:
        answers = model.predict([{"age": 30, "spend": 0.5}, {"age": 30, "spend": -0.5}])
    assert [each["label"] for each in answers] == [1, 0]

    client = Client(server_of(url, {}))
    place = client.get("model-versions/get-download-uri", name=name, version="1")["artifact_uri"]
    changed = tmp_path / "changed"
    changed.write_text(OWN.replace("> 0", "< 0"), "utf-8")
    with changed.open("rb") as stream:
        target = place.partition(":/")[2] + "/code/mypkg/model.py"
        client.upload(target, stream, changed.stat().st_size)
    with pytest.raises(IntegrityError, match="not what was imported before"):
        bring(space, asked)
