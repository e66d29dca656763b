"""``optimize``: the fastest form of the model that answers exactly as the model does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import Variant
from afterfit.core.dataset import Dataset
from afterfit.core.digest import sha256_bytes, sha256_file
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.models.convert import Attempt, Converted
from afterfit.models.draft import native_files
from afterfit.models.loaded import LoadedModel
from afterfit.models.timebox import Timed, TimeOverError
from afterfit.optimize.choose import gain, with_front
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.judge import NATIVE, judged
from afterfit.optimize.ladder import CONVERT, Trial, climb
from afterfit.optimize.latency import (
    Timings,
    graph_arguments,
    measure,
    metrics_of,
    prefers_onnx,
    speedup,
)
from afterfit.optimize.lossy import NO_LOSSY, Incumbent, Means, lossy_variants
from afterfit.optimize.within import within
from afterfit.records.optimize import OptimizeRecord, VariantReport
from afterfit.store.environment import current_environment

__all__ = ["ONNX_FILE", "Optimized", "optimize"]

ONNX_FILE = "model/model.onnx"
NO_MEANS = Means()


@dataclass(frozen=True)
class Optimized:
    """The record, and the files of the chosen variant by their path in the bundle."""

    record: OptimizeRecord
    files: dict[str, bytes | Path] = field(default_factory=dict)


def optimize(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    *,
    means: Means = NO_MEANS,
    progress: Progress = SILENT,
) -> Optimized:
    """Return the variant that ships: the best of the model itself, an exact and a certified form.

    ``data`` are held-out rows; their labels are used for lossy variants only, which are tried
    where ``config.allow`` names their technique, with ``means``. Raises InputError for no rows,
    or where labels are needed and there are none.
    """
    if not len(data):
        raise InputError("no rows to compare variants on", fix="give a data set with rows")
    whole, data = data, data.select(signature.names)
    progress.step("optimize")
    deadline = time.monotonic() + config.seconds
    trials = _trials(model, signature, data, config, progress)
    exact = next((trial for trial in trials if trial.status == "exact"), None)
    progress.step("measure the variants")
    seconds = max(config.measuring_seconds, deadline - time.monotonic())
    with within(model, seconds) as timed:
        timings = measure(timed, exact.converted if exact else None, signature, data, config)
        loads = _load_times(timed, model, exact)
    ships_onnx = exact is not None and prefers_onnx(timings, sorted(timings["onnx"]), config)
    variant, native_paths = native_files(model, signature)
    files: dict[str, bytes | Path] = dict(native_paths)
    if exact is not None and ships_onnx:
        variant, files = (
            _onnx_variant(model, exact.attempt.name, exact.converted),
            {ONNX_FILE: _data(exact)},
        )
    lossy = NO_LOSSY
    if config.allow:
        size = sum(path.stat().st_size for path in native_paths.values())
        lossy = lossy_variants(
            model,
            signature,
            whole,
            means,
            _incumbent(trials, exact, timings, size, config, ships_onnx=ships_onnx),
            config,
            deadline=deadline,
            progress=progress,
        )
    if lossy.chosen is not None and lossy.chosen.converted is not None:
        made = lossy.chosen.converted
        variant, files = _onnx_variant(model, lossy.chosen.name, made), {ONNX_FILE: made.data}
    reports = (*_reports(trials, exact, timings, loads, native_paths), *lossy.reports)
    skipped = lossy.cut or any(trial.status == "skipped" for trial in trials)
    found = judged(model, trials, exact, timings, config, ships_onnx=ships_onnx)
    record = OptimizeRecord(
        subject=model.digest,
        env=current_environment(),
        inputs={"data": data.digest} | ({"train": means.train.digest} if means.train else {}),
        resolved=_resolved(config),
        status="partial" if skipped else "complete",
        findings=(*found, *lossy.findings),
        metrics=lossy.metrics or _metrics(exact, timings, ships_onnx=ships_onnx),
        blobs={path: _digest(content) for path, content in sorted(files.items())},
        chosen=variant.name,
        variant=variant,
        variants=with_front(reports),
    )
    return Optimized(record, files)


def _trials(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    progress: Progress,
) -> list[Trial]:
    attempts: list[Attempt] = model.call(f"{CONVERT}:attempts")
    with within(model, config.seconds - config.measuring_seconds) as timed:
        return climb(timed, attempts, signature, data, config, progress)


def _incumbent(
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    size: int,
    config: OptimizeConfig,
    *,
    ships_onnx: bool,
) -> Incumbent:
    """Return what a lossy variant has to beat, and the graph that it may start from."""
    graphs = [trial.converted for trial in trials if trial.converted is not None]
    graph = exact.converted if exact is not None else next(iter(graphs), None)
    ahead = gain(timings, len(_data(exact)), size, config) if exact and ships_onnx else 1.0
    return Incumbent(graph, ahead, size)


def _resolved(config: OptimizeConfig) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    sizes = {"rows": config.rows, "probes": config.probes, "timing_seconds": config.timing_seconds}
    return told | sizes | {"seconds": None}


def _data(trial: Trial) -> bytes:
    return trial.converted.data if trial.converted else b""


def _digest(content: bytes | Path) -> str:
    return sha256_file(content) if isinstance(content, Path) else sha256_bytes(content)


def _onnx_variant(model: LoadedModel, name: str, converted: Converted | None) -> Variant:
    if converted is None:
        raise ValueError("a trial without a graph cannot ship")
    return Variant(
        name=name,
        runtime="onnx",
        framework=model.description.framework,
        file=ONNX_FILE,
        format="onnx",
        inputs=converted.inputs,
        output=converted.output,
    )


def _load_times(timed: Timed, model: LoadedModel, exact: Trial | None) -> dict[str, float]:
    try:
        found: dict[str, float] = timed.call(
            "afterfit.models.convert_timing:load_ms",
            form=model.format,
            path=str(model.path or ""),
            digest=model.file_digest,
            **graph_arguments(exact.converted if exact else None),
        )
    except (AfterfitError, TimeOverError):
        return {}
    return found


def _reports(
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    loads: dict[str, float],
    native_paths: dict[str, Path],
) -> tuple[VariantReport, ...]:
    size = sum(path.stat().st_size for path in native_paths.values())
    metrics = metrics_of(timings[NATIVE]) + _cost(size, loads.get(NATIVE))
    reports = [VariantReport(name=NATIVE, status="as_is", metrics=metrics)]
    for trial in trials:
        report = trial.report()
        if trial is exact:
            metrics = metrics_of(timings["onnx"]) + _cost(len(_data(trial)), loads.get("onnx"))
            report = msgspec.structs.replace(report, metrics=metrics)
        reports.append(report)
    return tuple(reports)


def _cost(size: int, load: float | None) -> tuple[Metric, ...]:
    found = [Metric(name="size_bytes", value=float(size), n=1, unit="bytes")]
    if load is not None:
        method = "least of 3, library already imported"
        found.append(Metric(name="load_ms", value=load, n=3, unit="ms", method=method))
    return tuple(found)


def _metrics(exact: Trial | None, timings: Timings, *, ships_onnx: bool) -> tuple[Metric, ...]:
    """Return the times of what ships first, then how many times faster ONNX is."""
    shipped = metrics_of(timings["onnx" if ships_onnx else NATIVE])
    found = [msgspec.structs.replace(metric, scope=metric.scope) for metric in shipped]
    if exact is None:
        return tuple(found)
    for rows, spent in sorted(timings["onnx"].items()):
        ratio = speedup(timings, rows)
        found.append(
            Metric(name="onnx_speedup", value=ratio, n=len(spent), unit="x", scope=f"batch:{rows}")
        )
    largest = [j.parity.max_difference for j in exact.judgements]
    worst = max((value for value in largest if value is not None), default=None)
    found.append(
        Metric(
            name="parity_max_difference", value=worst, n=exact.compared, scope=exact.attempt.name
        )
    )
    return tuple(found)
