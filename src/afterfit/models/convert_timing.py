"""How long the model and its ONNX form take, side by side in one process."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import Frame
from afterfit.core.model import Model
from afterfit.core.signature import Label
from afterfit.models.booster_direct import Bare, load, opened
from afterfit.models.native import NativeModel, Source, adapter_for_format
from afterfit.models.threads import limit_threads

__all__ = ["load_ms", "time_beside", "time_graphs"]

WARM_UP = 3
MIN_CALLS = 5
LOADS = 3
RUN_S = 0.005


def time_beside(
    native: NativeModel,
    frame: Frame,
    seconds: float,
    data: bytes = b"",
    inputs: Any = (),
    output: GraphOutput | None = None,
    classes: Any = (),
    direct: Bare | None = None,
) -> dict[str, np.ndarray]:
    """Return {"native", "onnx", "direct": µs per call}, float64 of [calls], on one thread.

    All answer the same rows in turn, so that a noisy moment meets all; ``seconds`` bounds the
    whole. Without ``data`` there is no graph, without ``direct`` no booster by itself. The model
    goes on with one thread, whatever it was trained with.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    models: dict[str, Model] = {"native": native}
    if output is not None:
        models["onnx"] = _graph(data, tuple(inputs), output, tuple(classes))
    if direct is not None:
        models["direct"] = alone = opened(direct)
        limit_threads(alone, 1)
    limit_threads(native, 1)
    with threadpool_limits(1):
        return _in_turn(models, frame, seconds)


def time_graphs(
    native: NativeModel,
    frame: Frame,
    seconds: float,
    graphs: dict[str, dict[str, Any]],
    classes: list[Label],
) -> dict[str, np.ndarray]:
    """Return the times of the model ("native") and of each graph, as `time_beside` does.

    ``graphs`` are data, inputs and output by the name that its times get.
    """
    from threadpoolctl import threadpool_limits

    models: dict[str, Model] = {"native": native}
    for name, graph in graphs.items():
        inputs = tuple(graph["inputs"])
        models[name] = _graph(graph["data"], inputs, graph["output"], tuple(classes))
    limit_threads(native, 1)
    with threadpool_limits(1):
        return _in_turn(models, frame, seconds)


def load_ms(
    native: NativeModel,
    form: str,
    path: str,
    digest: str,
    data: bytes = b"",
    inputs: Any = (),
    output: GraphOutput | None = None,
    direct: Bare | None = None,
) -> dict[str, float]:
    """Return the least of three times to load each form once its library is imported, ms.

    ``digest`` is that of the audited file: other bytes are never loaded.
    """
    loaders: dict[str, Any] = {}
    if output is not None:
        loaders["onnx"] = lambda: _graph(data, tuple(inputs), output, ())
    if path and Path(path).is_file():
        factory = getattr(native, "factory", "")
        source = Source(format=form, path=path, digest=digest, function=factory)
        loaders["native"] = lambda: adapter_for_format(form).load(source)
    if direct is not None:
        loaders["direct"] = partial(load, direct)
    found: dict[str, float] = {}
    for name, loader in loaders.items():
        spent = []
        for _ in range(LOADS):
            start = time.perf_counter()
            loader()
            spent.append(time.perf_counter() - start)
        found[name] = min(spent) * 1e3
    return found


def _graph(
    data: bytes, inputs: tuple[TensorInput, ...], output: GraphOutput, classes: tuple[Label, ...]
) -> Model:
    from afterfit.runtime.onnx import OnnxModel

    return OnnxModel(data, inputs, output, classes, threads=1)


def _in_turn(models: dict[str, Model], frame: Frame, seconds: float) -> dict[str, np.ndarray]:
    spent: dict[str, list[int]] = {name: [] for name in models}
    for model in models.values():
        for _ in range(WARM_UP):
            model.predict(frame)
    deadline = time.perf_counter() + seconds
    while True:
        for name, model in models.items():
            # In runs: each call after a slow model's would find the caches cold.
            until = time.perf_counter() + RUN_S
            while True:
                start = time.perf_counter_ns()
                model.predict(frame)
                spent[name].append(time.perf_counter_ns() - start)
                if time.perf_counter() >= until:
                    break
        enough = min(map(len, spent.values())) >= MIN_CALLS
        if enough and time.perf_counter() >= deadline:
            return {name: np.array(values) / 1e3 for name, values in spent.items()}
