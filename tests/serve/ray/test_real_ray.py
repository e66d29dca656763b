"""Real clusters of Ray: one that the command starts, and one of two nodes that it is let onto.

``AFTERFIT_RAY`` names the Python of an environment with Ray and Afterfit: ``make ray`` makes one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit import ship
from afterfit.runtime.client import Client
from afterfit.runtime.predict import load_bundle
from afterfit.serve.config import ServeConfig
from afterfit.serve.ray.environment import variables
from afterfit.serve.ray.leftover import end_marked, marked
from afterfit.serve.ray.settings import Plan, RaySettings
from afterfit.serve.ray.start import start_ray
from afterfit.serve.run import ServedBundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROW = {"age": 39.5, "hours": 40, "job": "nurse"}
Two = tuple[ServedBundle, ServedBundle]
ON_EVERY_ADDRESS = ("00000000", "0" * 32)


@pytest.fixture(scope="module", autouse=True)
def python() -> Iterator[str]:
    """The Python that has Ray, and a short folder for temporary files."""
    found = os.environ.get("AFTERFIT_RAY", "")
    if not found:
        pytest.skip("NOT RUN: AFTERFIT_RAY names no Python with Ray (make ray)")
    before = tempfile.tempdir
    tempfile.tempdir = "/tmp"  # noqa: S108 - pytest's own is too long for Ray's sockets
    yield found
    tempfile.tempdir = before


def listening(mark: str) -> set[tuple[str, int]]:
    """(address as the kernel writes it, port) of what marked processes listen on."""
    held = set()
    for pid in marked(mark):
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                held.add(str(link.readlink()))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == "0A" and f"socket:[{words[9]}]" in held:
                found.add((address, int(port, 16)))
    return found


def predicts(port: int) -> bool:
    """Whether a port is one of ours; Ray's own have metrics, or gRPC that wants a token."""
    try:
        with Client(f"http://127.0.0.1:{port}", timeout=5) as client:
            return b'"ready"' in client.get("/v2/health/ready").body
    except Exception:  # noqa: BLE001 - it speaks something else
        return False


def test_a_cluster_of_its_own_answers_changes_and_leaves_nothing(
    bundles: Two, tmp_path: Path
) -> None:
    """The server's answers and errors, on loopback; no request fails during a change of version."""
    one, two = bundles
    config = ServeConfig(port=0, workers=2, events=str(tmp_path / "events"))
    with start_ray({"churn": one}, config, tmp_path / "state") as server:
        assert (server.nodes, server.fast) == (1, True)
        client = server.client()
        told = client.post("/predict", {"rows": [ROW]})
        expected = load_bundle(one.folder)
        frame = {
            "age": np.array([39.5]),
            "hours": np.array([40]),
            "job": np.array(["nurse"], object),
        }
        chances = expected.predict(frame).probabilities
        assert chances is not None
        (answer,) = told.json()["predictions"]
        assert list(answer["probabilities"].values()) == chances[0].tolist()
        wrong = client.post("/predict", {"rows": [{**ROW, "age": "old"}]})
        assert (wrong.status, wrong.json()["fields"][0]["path"]) == (422, "$.rows[0].age")
        assert client.request("POST", "/predict", b"{").status == 400
        assert client.get("/health").json() == {"ready": True}
        assert client.get("/nothing").status == 404
        assert predicts(int(server.url.rsplit(":", 1)[1]))
        everywhere = [p for a, p in listening(server.mark) if a in ON_EVERY_ADDRESS]
        assert [port for port in everywhere if predicts(port)] == []
        assert changed_under_load(server.url, lambda: server.replace("churn", two)) == []
        with server.client() as later:
            assert later.get("/version").json()["version"] == 2
        kept = client.get("/version")  # on a connection from before, which was idle
        assert (kept.status, kept.json()["version"]) == (200, 2)
        client.close()
    assert marked(server.mark) == []
    assert list((tmp_path / "events").glob("events-ray-*"))


def changed_under_load(url: str, change: Any) -> list[str]:
    """What went wrong for two clients that asked all the time while something was changed."""
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with Client(url, timeout=30) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/predict", {"rows": [ROW]})
                except Exception as error:  # noqa: BLE001 - told by the test
                    wrong.append(repr(error))
                else:
                    if answer.status != 200:
                        wrong.append(f"{answer.status} {answer.body[:100]!r}")

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for each in askers:
        each.start()
    try:
        change()
        time.sleep(1)
    finally:
        stop.set()
        for each in askers:
            each.join()
    return wrong


@pytest.fixture
def cluster(python: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A cluster of two nodes, by somebody else; its token is in the environment."""
    mark = f"cluster-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="afterfit-two-", ignore_cleanup_errors=True) as folder:
        settings = RaySettings(name="two", plan=Plan(models={}), scratch=folder)
        environ = variables(os.environ, settings, mark) | {"RAY_TMPDIR": folder}
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            monkeypatch.setenv(name, environ[name])
        command = [python, str(Path(__file__).with_name("cluster.py"))]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        ) as process:
            yield process
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            finally:
                process.kill()
                end_marked(mark)


def told(process: subprocess.Popen[str], question: str = "") -> str:
    """The next line of a process, asked for it."""
    assert process.stdin is not None
    assert process.stdout is not None
    if question:
        process.stdin.write(question)
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_two_nodes_answer_as_the_native_model(
    cluster: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command: a replica on each node, and SIGTERM takes its own and leaves the cluster."""
    monkeypatch.chdir(tmp_path)
    X, expected = shipped()
    address = told(cluster)
    assert json.loads(told(cluster, "\n")) == [1.0, 1.0]
    command = [sys.executable, "-m", "afterfit", "serve", "churn@champion", "--engine", "ray"]
    command += [
        "--ray-address",
        address,
        "--workers",
        "2",
        "--threads",
        "1",
        "--port",
        "0",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ray"] == {"address": address, "nodes": 2, "fast": True}
            assert json.loads(told(cluster, "\n")) == [0.0, 0.0], "a replica on each node"
            answered = answers(ready["url"], X)
            np.testing.assert_allclose(answered, expected, rtol=0, atol=1e-6)
            # HAProxy hears of each replica for itself, so that one may come a moment later.
            until, asked = time.monotonic() + 30, len(X)
            while max(rows_of(ready["url"]) for _ in range(6)) == asked:
                assert time.monotonic() < until, "one replica has answered everything"
                time.sleep(0.5)
                answers(ready["url"], X)
                asked += len(X)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(90) == 0
    until = time.monotonic() + 30
    while (free := json.loads(told(cluster, "\n"))) != [1.0, 1.0]:
        assert time.monotonic() < until, free
        time.sleep(0.5)
    assert cluster.poll() is None, "the cluster is somebody else's, and goes on"


def shipped() -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows and what scikit-learn itself says of them, after its model was shipped."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.integers(18, 80, 200), "spend": rng.normal(0, 1, 200).round(3)})
    y = (X.spend + rng.normal(0, 0.5, 200) > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    ship(model, X.assign(left=y), target="left", name="churn", effort="quick")
    rows = [{"age": int(age), "spend": float(spend)} for age, spend in X.head(40).to_numpy()]
    return rows, np.asarray(model.predict_proba(X.head(40)))


def rows_of(url: str) -> float:
    """How many rows the replica has answered that a new connection comes to."""
    with Client(url) as client:
        text = client.get("/metrics").body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith("afterfit_rows_total"))
    return float(line.split()[-1])


def answers(url: str, rows: list[dict[str, Any]]) -> np.ndarray:
    """The probabilities of each row, asked on connections of their own, all at once."""

    def ask(row: dict[str, Any]) -> list[float]:
        with Client(url) as client:
            (one,) = client.post("/predict", {"rows": [row]}).json()["predictions"]
        return list(one["probabilities"].values())

    with ThreadPoolExecutor(len(rows)) as pool:
        return np.array(list(pool.map(ask, rows)))
