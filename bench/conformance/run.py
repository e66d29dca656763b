"""The conformance suite against Afterfit and against MLServer, and the tables of the docs.

    python bench/conformance/run.py [--peers build/peers] [--only afterfit|mlserver]

Afterfit serves two small bundles, one of three columns (number, integer, category) and one of a
single matrix. MLServer lives in an environment of its own below ``--peers``, made on the first run
from mlserver.txt, and serves a scikit-learn classifier of four columns. Both listen on 127.0.0.1
and end with the run. Results go to bench/conformance/results.json and between the markers of
docs/reference/conform.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.runtime.bundles import numbers_bundle, people_bundle  # noqa: E402

from afterfit.serve.config import ServeConfig  # noqa: E402 - after the path is set
from afterfit.serve.run import ServedBundle, start_server  # noqa: E402
from afterfit.testing import conformance  # noqa: E402
from afterfit.testing.conformance import Report  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "conform.md"
RESULT = HERE / "results.json"
LEVELS: tuple[Any, ...] = ("must", "should", "extension")
START_SECONDS = 60
PEER_PACKAGES = ("mlserver", "mlserver-sklearn", "fastapi", "scikit-learn", "uvicorn")
TRAIN = """
import sys
import joblib
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

X, y = make_classification(600, 4, n_informative=3, n_redundant=1, n_classes=3,
                           n_clusters_per_class=1, random_state=7)
joblib.dump(LogisticRegression(max_iter=1000).fit(X, y), sys.argv[1])
"""
MODEL_SETTINGS = {
    "name": "flowers",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib", "version": "1"},
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}],
    "outputs": [
        {"name": "predict", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
    ],
}


def afterfit_reports() -> dict[str, Report]:
    """Return the reports on two models of a server of ours."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        bundles = {
            "people": ServedBundle(1, people_bundle(base / "people"), base / "people"),
            "numbers": ServedBundle(1, numbers_bundle(base / "numbers"), base / "numbers"),
        }
        config = ServeConfig(port=0, events=str(base / "events"))
        with start_server(bundles, config, base / "state") as server:
            return {name: conformance.run(server.url, model=name) for name in bundles}


def mlserver_reports(peers: Path) -> tuple[dict[str, Report], dict[str, str]]:
    """Return the report on MLServer, and the versions in its environment."""
    python = mlserver_environment(peers)
    with tempfile.TemporaryDirectory() as folder, mlserver(python, Path(folder)) as url:
        name = str(MODEL_SETTINGS["name"])
        return {name: conformance.run(url, model=name)}, versions(python)


def mlserver_environment(peers: Path) -> Path:
    """Return the interpreter of MLServer's environment, which is made where it is missing."""
    folder = peers / "mlserver"
    python = folder / "bin" / "python"
    ready = folder / "afterfit-ready"
    wanted = (HERE / "mlserver.txt").read_text("utf-8")
    if not ready.is_file() or ready.read_text("utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "mlserver.txt")]
        subprocess.run(install, check=True)
        ready.write_text(wanted, "utf-8")
    return python


@contextmanager
def mlserver(python: Path, folder: Path) -> Iterator[str]:
    """Yield the URL of a running MLServer; its process group ends with the context."""
    model = folder / "flowers"
    model.mkdir()
    subprocess.run([str(python), "-c", TRAIN, str(model / "model.joblib")], check=True)
    (model / "model-settings.json").write_text(json.dumps(MODEL_SETTINGS))
    http_port, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    settings |= {"http_port": http_port, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [str(python.with_name("mlserver")), "start", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(http_port, "/v2/models/flowers/ready", process, folder / "log")
            yield f"http://127.0.0.1:{http_port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def wait_for(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the model is ready; ends the run where the server ends or is too slow."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError), closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"MLServer did not start:\n{log.read_text()[-2000:]}")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def versions(python: Path) -> dict[str, str]:
    """Return the versions of the packages that make MLServer what it is."""
    script = "import sys, json; from importlib.metadata import version as v; "
    script += "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    command = [str(python), "-c", script, *PEER_PACKAGES]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout))


def entry(reports: dict[str, Report], packages: dict[str, str]) -> dict[str, Any]:
    """Return what the result file keeps of one server."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": packages,
        # The port is another one in each run: it would be a difference that says nothing.
        "reports": {
            name: msgspec.to_builtins(report) | {"url": ""} for name, report in reports.items()
        },
    }


def results_text(results: dict[str, Any]) -> str:
    """Return the tables of the docs."""
    parts = []
    for name in ("afterfit", "mlserver"):
        if name in results:
            parts += server_text(name, results[name])
    return "\n".join(parts)


def server_text(name: str, result: dict[str, Any]) -> list[str]:
    """Return the section of one server."""
    packages = ", ".join(f"{key} {value}" for key, value in result["packages"].items())
    title = {"afterfit": "Afterfit", "mlserver": "MLServer"}[name]
    head = [f"### {title}, {result['date']}", "", f"{packages}; Python {result['python']}.", ""]
    reports = {key: msgspec.convert(value, Report) for key, value in result["reports"].items()}
    head += [
        "| model | level | passed | failed | skipped | not applicable |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for model, report in reports.items():
        for level in LEVELS:
            counts = report.counts(level)
            cells = (counts["pass"], counts["fail"], counts["skipped"], counts["not_applicable"])
            head.append(f"| `{model}` | {level} | {' | '.join(map(str, cells))} |")
    return [*head, "", *failures_text(reports), ""]


def failures_text(reports: dict[str, Report]) -> list[str]:
    """Return the table of what failed, or that nothing did."""
    rows = [
        f"| `{model}` | {o.level} | `{o.check}` | {cell(o.section)}: {cell(o.clause)} | "
        f"{cell(o.why)} |"
        for model, report in reports.items()
        for level in LEVELS
        for o in report.failed(level)
    ]
    if not rows:
        return ["No check failed."]
    return ["| model | level | check | clause | what happened |", "|---|---|---|---|---|", *rows]


def checks_text() -> str:
    """Return the table of all checks."""
    rows = ["| check | level | section | clause |", "|---|---|---|---|"]
    rows += [
        f"| `{c.id}` | {c.level} | {cell(c.section)} | {cell(c.sense)} |"
        for c in conformance.CHECKS
    ]
    return "\n".join(rows)


def cell(text: str) -> str:
    """Return text as a cell of a table in Markdown."""
    # Ids that servers invent are other ones in each run.
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", text)
    return " ".join(text.split()).replace("|", "\\|")


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of that name."""
    begin, end = f"<!-- {name}: written by bench/conformance/run.py -->", f"<!-- end {name} -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise SystemExit(f"{PAGE} has no markers for {name}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def main() -> None:
    """Run the suite, print the counts, write the results and the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--only", choices=["afterfit", "mlserver"])
    arguments = parser.parse_args()
    results = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
    if arguments.only != "mlserver":
        packages = {name: version(name) for name in ("afterfit", "onnxruntime", "httptools")}
        results["afterfit"] = entry(afterfit_reports(), packages)
    if arguments.only != "afterfit":
        results["mlserver"] = entry(*mlserver_reports(arguments.peers.resolve()))
    RESULT.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = replaced(PAGE.read_text("utf-8"), "checks", checks_text())
    PAGE.write_text(replaced(page, "results", results_text(results)), "utf-8")
    print(results_text(results))


if __name__ == "__main__":
    main()
