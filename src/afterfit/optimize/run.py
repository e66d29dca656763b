"""``optimize``: the fastest form of the model that answers exactly as the model does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import Variant
from afterfit.core.dataset import Dataset
from afterfit.core.digest import sha256_bytes, sha256_file
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.models.draft import native_files
from afterfit.models.loaded import LoadedModel
from afterfit.optimize import findings
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import Trial, climb
from afterfit.optimize.latency import (
    Timings,
    graph_arguments,
    measure,
    metrics_of,
    prefers_onnx,
    speedup,
)
from afterfit.records.optimize import OptimizeRecord, VariantReport
from afterfit.store.environment import current_environment

__all__ = ["ONNX_FILE", "Optimized", "optimize"]

ONNX_FILE = "model/model.onnx"
NATIVE = "native"


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
    progress: Progress = SILENT,
) -> Optimized:
    """Return the variant that ships: ONNX where it is exact and no slower, else the model itself.

    ``data`` are held-out rows; their labels are not used. Raises InputError for no rows.
    """
    if not len(data):
        raise InputError("no rows to compare variants on", fix="give a data set with rows")
    data = data.select(signature.names)
    progress.step("optimize")
    trials = climb(model, signature, data, config, progress)
    exact = next((trial for trial in trials if trial.status == "exact"), None)
    progress.step("measure the variants")
    timings = measure(model, exact.converted if exact else None, signature, data, config)
    ships_onnx = exact is not None and prefers_onnx(timings, sorted(config.batches), config)
    native_variant, native_paths = native_files(model, signature)
    files: dict[str, bytes | Path] = dict(native_paths)
    variant = native_variant
    if exact is not None and ships_onnx:
        variant, files = _onnx_variant(model, exact), {ONNX_FILE: _data(exact)}
    loads = _load_times(model, exact)
    reports = _reports(trials, exact, timings, loads, native_paths)
    record = OptimizeRecord(
        subject=model.digest,
        env=current_environment(),
        inputs={"data": data.digest},
        resolved=msgspec.json.decode(msgspec.json.encode(config))
        | {"rows": config.rows, "probes": config.probes, "seconds": config.seconds},
        findings=tuple(_findings(model, trials, exact, timings, config, ships_onnx=ships_onnx)),
        metrics=_metrics(exact, timings, ships_onnx=ships_onnx),
        blobs={path: _digest(content) for path, content in sorted(files.items())},
        chosen=variant.name,
        variant=variant,
        variants=reports,
    )
    return Optimized(record, files)


def _data(trial: Trial) -> bytes:
    return trial.converted.data if trial.converted else b""


def _digest(content: bytes | Path) -> str:
    return sha256_file(content) if isinstance(content, Path) else sha256_bytes(content)


def _onnx_variant(model: LoadedModel, trial: Trial) -> Variant:
    converted = trial.converted
    if converted is None:
        raise ValueError("a trial without a graph cannot ship")
    return Variant(
        name=trial.attempt.name,
        runtime="onnx",
        framework=model.description.framework,
        file=ONNX_FILE,
        format="onnx",
        inputs=converted.inputs,
        output=converted.output,
    )


def _load_times(model: LoadedModel, exact: Trial | None) -> dict[str, float]:
    try:
        found: dict[str, float] = model.call(
            "afterfit.models.convert_timing:load_ms",
            form=model.format,
            path=str(model.path or ""),
            digest=model.file_digest,
            **graph_arguments(exact.converted if exact else None),
        )
    except AfterfitError:
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


def _findings(
    model: LoadedModel,
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    config: OptimizeConfig,
    *,
    ships_onnx: bool,
) -> list[Finding]:
    if not trials:
        return [_no_way(model)]
    if exact is None:
        return [*_rejections(model, trials), *_failures(trials)]
    found = [_proven(exact), *_repairs(exact), *_anyway(exact)]
    found.append(_speed(exact, timings, config, ships_onnx=ships_onnx))
    return found


def _no_way(model: LoadedModel) -> Finding:
    if model.format == "onnx":
        return findings.NotConverted.not_applicable("the model is an ONNX graph already")
    framework = model.description.framework
    text = f"models of the kind {framework!r} have no converter; the model ships as it is"
    return findings.NotConverted.not_applicable(text)


def _rejections(model: LoadedModel, trials: list[Trial]) -> list[Finding]:
    rejected = [trial for trial in trials if trial.status == "rejected"]
    if not rejected:
        return []
    traps: list[str] = model.call("afterfit.models.convert_known:known_traps")
    known = f". Known cause: {'; '.join(traps)}" if traps else ""
    worst = rejected[0]
    text = f"{worst.attempt.name} answers otherwise ({worst.why}); the model ships as it is{known}"
    return [
        findings.NotEqual.tip(
            text, where=trial.attempt.name, beyond=_beyond(trial), n=trial.compared, known=traps
        )
        for trial in rejected[:1]
    ]


def _beyond(trial: Trial) -> int:
    return sum(judgement.parity.beyond for judgement in trial.judgements)


def _failures(trials: list[Trial]) -> list[Finding]:
    failed = [trial for trial in trials if trial.status == "not_available"]
    if not failed or len(failed) < len(trials):
        return []
    text = f"no ONNX form could be made, so the model ships as it is: {failed[0].why}"
    return [findings.NotConverted.tip(text, where=failed[0].attempt.name)]


def _proven(exact: Trial) -> Finding:
    rows = ", ".join(f"{j.parity.n:,} {j.parity.rows}" for j in exact.judgements)
    largest = max((j.parity.max_difference or 0.0 for j in exact.judgements), default=0.0)
    text = (
        f"{exact.attempt.name} answers as the model does: {rows}; largest difference {largest:.1e}"
    )
    return findings.ProvenEqual.passed(
        text, where=exact.attempt.name, n=exact.compared, max_difference=largest
    )


def _repairs(exact: Trial) -> list[Finding]:
    repaired = exact.converted.repaired if exact.converted else ()
    return [findings.Repaired.passed(text, where=exact.attempt.name) for text in repaired]


def _anyway(exact: Trial) -> list[Finding]:
    count = exact.answered_refused
    if not count:
        return []
    cases = "; ".join(j.parity.message for j in exact.judgements if j.parity.message)
    text = f"{count} edge rows get an answer from {exact.attempt.name} and an error from the model"
    fix = 'say in the pipeline what an unknown value means: handle_unknown="ignore"'
    return [findings.AnswersRefusedRows.tip(f"{text} ({cases})", fix=fix, n=count)]


def _speed(exact: Trial, timings: Timings, config: OptimizeConfig, *, ships_onnx: bool) -> Finding:
    evidence: dict[str, Any] = {}
    parts = []
    for rows in sorted(config.batches):
        ratio, calls = speedup(timings, rows), len(timings["onnx"][rows])
        native, onnx = (float(np.median(timings[form][rows])) for form in (NATIVE, "onnx"))
        unit = "row" if rows == 1 else "rows"
        parts.append(
            f"{rows} {unit}: {onnx:,.0f} against {native:,.0f} µs ({ratio:.1f} times, n = {calls})"
        )
        evidence[f"speedup_{rows}"] = ratio
    text = f"{exact.attempt.name}, {'; '.join(parts)}"
    if ships_onnx:
        return findings.Faster.passed(text, where=exact.attempt.name, **evidence)
    return findings.SlowerConverted.tip(
        f"the model ships as it is, because it is faster: {text}",
        where=exact.attempt.name,
        fix='goal = "latency" counts single rows, "throughput" many',
        **evidence,
    )
