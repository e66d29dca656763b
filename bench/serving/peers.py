"""The servers that are compared: how each is started, asked and understood."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from process import BenchError, Launch
from subject import COLUMNS, NAME, Subject

HERE = Path(__file__).resolve().parent / "peers"
INFER = f"/v2/models/{NAME}/infer"
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}
Row = Sequence[float]


@dataclass(frozen=True)
class Site:
    """What a server is started from: its environment, a folder of its own, the model."""

    environment: Path
    folder: Path
    subject: Subject

    def launch(self, program: str, *arguments: object, **extra: str) -> Launch:
        """A program of the environment, which is activated as a person would do it."""
        programs = self.environment / "bin"
        command = [str(programs / program), *map(str, arguments)]
        path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
        variables = {"PATH": path, "MODEL": str(self.subject.joblib), **QUIET, **extra}
        return Launch(command, self.folder, variables)


@dataclass(frozen=True)
class Peer:
    """One server, or one route of it."""

    name: str
    title: str
    environment: str  # a folder of peers/; empty for the interpreter that runs the bench
    packages: tuple[str, ...]
    path: str
    body: Callable[[Row], dict[str, Any]]
    probabilities: Callable[[Any], list[float]]
    launch: Callable[[Site, int], Launch]
    by_default: bool = False
    counters: str = ""  # a page of Prometheus metrics to keep the event counters of


def find(names: Sequence[str]) -> list[Peer]:
    """The peers of these names, in the catalogue's order; raises BenchError for unknown ones."""
    known = [peer.name for peer in CATALOGUE]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BenchError(f"no peer {unknown[0]!r}; there are {', '.join(known)}")
    return [peer for peer in CATALOGUE if peer.name in names]


def infer_body(row: Row) -> dict[str, Any]:
    """One row as one tensor of the Open Inference Protocol."""
    tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}
    return {"inputs": [tensor]}


def infer_probabilities(answer: Any) -> list[float]:
    """The data of the output that holds probabilities."""
    named = {output["name"]: output["data"] for output in answer["outputs"]}
    data: list[float] = named.get("probabilities") or named["predict_proba"]
    return data


def _named(row: Row) -> dict[str, float]:
    return dict(zip(COLUMNS, row, strict=True))


def _predict_probabilities(answer: Any) -> list[float]:
    (prediction,) = answer["predictions"]
    return [prediction["probabilities"][label] for label in ("0", "1")]


def _bare(graph: Callable[[Subject], Path]) -> Callable[[Site, int], Launch]:
    def launch(site: Site, port: int) -> Launch:
        return site.launch("python", HERE / "bare" / "server.py", graph(site.subject), port)

    return launch


def _fastapi(application: str) -> Callable[[Site, int], Launch]:
    def launch(site: Site, port: int) -> Launch:
        where = ("--app-dir", HERE / "fastapi", "--host", "127.0.0.1", "--port", port)
        return site.launch("uvicorn", application, *where, "--log-level", "warning")

    return launch


def _mlserver(workers: int) -> Callable[[Site, int], Launch]:
    def launch(site: Site, port: int) -> Launch:
        shutil.copy(HERE / "mlserver" / "settings.json", site.folder)
        shutil.copy(HERE / "mlserver" / "model-settings.json", site.folder)
        shutil.copy(site.subject.joblib, site.folder / "model.joblib")
        ports = {"HTTP": port, "GRPC": port + 1, "METRICS": port + 2}
        settings = {f"MLSERVER_{name}_PORT": str(number) for name, number in ports.items()}
        settings["MLSERVER_PARALLEL_WORKERS"] = str(workers)
        return site.launch("mlserver", "start", site.folder, **settings)

    return launch


def _triton(*, dynamic_batching: bool) -> Callable[[Site, int], Launch]:
    def launch(site: Site, port: int) -> Launch:
        packages = _site_packages(site.environment)
        triton = packages / "pytriton" / "tritonserver"
        backends = _triton_backends(site.folder, triton)
        models = _triton_models(site, dynamic_batching=dynamic_batching)
        # The stub embeds the interpreter's library; it and the backend are linked against the
        # libraries that lie beside the wheel. The activated PATH leads it to the packages.
        libraries = f"{sysconfig.get_config_var('LIBDIR')}:{packages / 'nvidia_pytriton.libs'}"
        command = [str(triton / "bin" / "tritonserver"), "--http-address", "127.0.0.1"]
        command += ["--http-port", str(port), "--model-repository", str(models)]
        command += ["--backend-directory", str(backends)]
        command += ["--allow-grpc", "false", "--allow-metrics", "false"]
        activated = site.launch("python", LD_LIBRARY_PATH=libraries)
        return Launch(command, site.folder, activated.environment)

    return launch


def _site_packages(environment: Path) -> Path:
    (packages,) = environment.glob("lib/python3.*/site-packages")
    return packages


def _triton_backends(folder: Path, triton: Path) -> Path:
    """The Python backend with the stub of this Python version copied beside it."""
    backend = folder / "backends" / "python"
    shutil.rmtree(backend, ignore_errors=True)
    backend.mkdir(parents=True)
    for file in (triton / "backends" / "python").iterdir():
        (backend / file.name).symlink_to(file)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise BenchError(f"the wheel of PyTriton has no stub for Python {version}")
    shutil.copy(stub, backend)
    (backend / stub.name).chmod(0o755)
    return backend.parent


def _triton_models(site: Site, *, dynamic_batching: bool) -> Path:
    model = site.folder / "models" / NAME
    shutil.rmtree(model, ignore_errors=True)
    (model / "1").mkdir(parents=True)
    settings = (HERE / "triton" / "config.pbtxt").read_text()
    batching = "dynamic_batching { }\n" if dynamic_batching else ""
    (model / "config.pbtxt").write_text(settings + batching)
    shutil.copy(HERE / "triton" / "model.py", model / "1")
    shutil.copy(site.subject.shipped_graph, model / "1" / "model.onnx")
    return model.parent


def _litserve(site: Site, port: int) -> Launch:
    return site.launch("python", HERE / "litserve" / "server.py", port)


def _bentoml(site: Site, port: int) -> Launch:
    shutil.copy(HERE / "bentoml" / "service.py", site.folder)
    where = ("--host", "127.0.0.1", "--port", port)
    home = str(site.folder / "home")
    return site.launch("bentoml", "serve", "service:Classifier", *where, BENTOML_HOME=home)


def _mlflow(site: Site, port: int) -> Launch:
    """``mlflow models serve`` of a model that is saved first, in the same shell."""
    program = (
        f'test -d model || python "{HERE / "mlflow" / "save.py"}" "$MODEL" model; '
        f"exec mlflow models serve -m model --env-manager local --host 127.0.0.1 --port {port}"
    )
    activated = site.launch("python")
    return Launch(["/bin/sh", "-c", program], site.folder, activated.environment)


def _afterfit(site: Site, port: int) -> Launch:
    """``afterfit serve`` as it is by default, with an empty folder of events."""
    workspace = site.subject.workspace
    shutil.rmtree(workspace / "events", ignore_errors=True)
    reference, settings = f"{NAME}@champion", ("--workers", "1", "--workspace", str(workspace))
    command = [sys.executable, "-m", "afterfit", "serve", reference, "--port", str(port), *settings]
    return Launch(command, site.folder, QUIET)


_ONNX = ("onnxruntime", "numpy")
_SKLEARN = ("scikit-learn", "numpy")
_OIP = (INFER, infer_body, infer_probabilities)
CATALOGUE = (
    Peer(
        "afterfit",
        "Afterfit, `/v2/models/M/infer`",
        "",
        ("afterfit", *_ONNX, "msgspec", "httptools", "uvloop"),
        *_OIP,
        _afterfit,
        by_default=True,
        counters="/metrics",
    ),
    Peer(
        "afterfit-predict",
        "Afterfit, `/predict` with named columns",
        "",
        ("afterfit", *_ONNX, "msgspec", "httptools", "uvloop"),
        "/predict",
        lambda row: {"rows": [_named(row)]},
        _predict_probabilities,
        _afterfit,
        by_default=True,
        counters="/metrics",
    ),
    Peer(
        "bare",
        "bare handler without any feature",
        "bare",
        (*_ONNX, "msgspec", "httptools", "uvloop"),
        *_OIP,
        _bare(lambda subject: subject.shipped_graph),
        by_default=True,
    ),
    Peer(
        "bare-float32",
        "bare handler, graph of float32",
        "bare",
        (*_ONNX, "msgspec", "httptools", "uvloop"),
        *_OIP,
        _bare(lambda subject: subject.float32_graph),
    ),
    Peer(
        "triton",
        "Triton, Python backend with ONNX Runtime, dynamic batching",
        "triton",
        ("nvidia-pytriton", *_ONNX),
        *_OIP,
        _triton(dynamic_batching=True),
        by_default=True,
    ),
    Peer(
        "triton-unbatched",
        "Triton, Python backend with ONNX Runtime, no batching",
        "triton",
        ("nvidia-pytriton", *_ONNX),
        *_OIP,
        _triton(dynamic_batching=False),
    ),
    Peer(
        "fastapi",
        "FastAPI + joblib, `def`",
        "fastapi",
        ("fastapi", "uvicorn", "pydantic", *_SKLEARN),
        "/predict",
        _named,
        lambda answer: answer["probabilities"],
        _fastapi("app:app"),
        by_default=True,
    ),
    Peer(
        "fastapi-async",
        "FastAPI + joblib, `async def`",
        "fastapi",
        ("fastapi", "uvicorn", "pydantic", *_SKLEARN),
        "/predict",
        _named,
        lambda answer: answer["probabilities"],
        _fastapi("app_async:app"),
    ),
    Peer(
        "mlserver",
        "MLServer, its default of one worker process",
        "mlserver",
        ("mlserver", "mlserver-sklearn", *_SKLEARN),
        INFER,
        lambda row: {**infer_body(row), "outputs": [{"name": "predict_proba"}]},
        infer_probabilities,
        _mlserver(workers=1),
        by_default=True,
    ),
    Peer(
        "mlserver-inprocess",
        "MLServer, `parallel_workers` 0",
        "mlserver",
        ("mlserver", "mlserver-sklearn", *_SKLEARN),
        INFER,
        lambda row: {**infer_body(row), "outputs": [{"name": "predict_proba"}]},
        infer_probabilities,
        _mlserver(workers=0),
    ),
    Peer(
        "litserve",
        "LitServe",
        "litserve",
        ("litserve", "fastapi", *_SKLEARN),
        "/predict",
        lambda row: {"input": list(row)},
        lambda answer: answer["probabilities"],
        _litserve,
    ),
    Peer(
        "bentoml",
        "BentoML",
        "bentoml",
        ("bentoml", *_SKLEARN),
        "/predict",
        lambda row: {"row": list(row)},
        list,
        _bentoml,
    ),
    Peer(
        "mlflow",
        "MLflow `models serve`",
        "mlflow",
        ("mlflow", *_SKLEARN),
        "/invocations",
        lambda row: {"inputs": [list(row)]},
        lambda answer: answer["predictions"][0],
        _mlflow,
    ),
)
