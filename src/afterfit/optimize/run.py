"""``optimize``: the fastest form of the model that answers exactly as the model does."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from afterfit.models.booster_direct import DIRECT
from afterfit.models.convert import Attempt, Converted
from afterfit.models.loaded import LoadedModel
from afterfit.models.timebox import Timed, TimeOverError
from afterfit.optimize.choose import gain, with_front
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.direct import make_direct, try_direct
from afterfit.optimize.judge import NATIVE, judged
from afterfit.optimize.ladder import CONVERT, Trial, climb
from afterfit.optimize.latency import (
    Timings,
    bare,
    graph_arguments,
    measure,
    metrics_of,
    speedup,
)
from afterfit.optimize.lossy import (
    NO_LOSSY,
    Incumbent,
    Lossy,
    Means,
    lossy_variants,
    require_judged,
)
from afterfit.optimize.parity import Answers
from afterfit.optimize.recalibrate import NOT_ASKED, Remapped, base_of, recalibrate
from afterfit.optimize.regime import Regime
from afterfit.optimize.search import Candidate
from afterfit.optimize.shipped import ONNX_FILE, Files, Shipped, onnx_variant, shipped
from afterfit.optimize.within import within
from afterfit.records.optimize import OptimizeRecord, VariantReport
from afterfit.store.environment import current_environment

__all__ = ["ONNX_FILE", "Optimized", "optimize"]

NO_MEANS = Means()
KEPT_FOR_A_MAP = 0.25
"""The share of the time that a search among lossy forms leaves for a map behind the best."""


@dataclass(frozen=True)
class Optimized:
    """The record, and the files of the chosen variant by their path in the bundle."""

    record: OptimizeRecord
    files: Files = field(default_factory=dict)


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
    require_judged(signature, data, config)
    whole, data = data, data.select(signature.names)
    progress.step("optimize")
    deadline = time.monotonic() + config.seconds
    tried = _trials(model, signature, data, config, progress)
    trials, exact, direct = _parted(tried)
    progress.step("measure the variants")
    seconds = max(config.measuring_seconds, deadline - time.monotonic())
    with within(model, seconds) as timed:
        graph = exact.converted if exact else None
        alone = direct.converted if direct else None
        timings = measure(timed, graph, signature, data, config, alone)
        loads = _load_times(timed, model, signature, graph, alone)
    ships = shipped(model, signature, exact, direct, timings, config)
    ahead = _incumbent(trials, exact, timings, ships, config)
    lossy, remapped = _changed(
        model, signature, whole, means, ahead, config, deadline=deadline, progress=progress
    )
    variant, files = _final(model, ships, remapped.chosen or lossy.chosen)
    return Optimized(
        OptimizeRecord(
            subject=model.digest,
            env=current_environment(),
            inputs={"data": data.digest} | ({"train": means.train.digest} if means.train else {}),
            resolved=_resolved(config),
            status="partial" if lossy.cut or remapped.cut or _cut(tried) else "complete",
            findings=(
                *judged(model, trials, exact, timings, config, ships, signature=signature),
                *lossy.findings,
                *remapped.findings,
            ),
            metrics=remapped.metrics or lossy.metrics or _metrics(exact, timings, ships),
            blobs={path: _digest(content) for path, content in sorted(files.items())},
            chosen=variant.name,
            variant=variant,
            variants=with_front(
                (*_reports(tried, timings, loads, ships), *lossy.reports, *remapped.reports)
            ),
            recalibrated=remapped.record,
        ),
        files,
    )


def _changed(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    means: Means,
    ahead: Incumbent,
    config: OptimizeConfig,
    *,
    deadline: float,
    progress: Progress,
) -> tuple[Lossy, Remapped]:
    """Return what became of the allowed techniques: lossy forms first, a map behind what ships."""
    lossy, remapped, end = NO_LOSSY, NOT_ASKED, deadline
    if "recalibrate" in config.allow:
        end -= KEPT_FOR_A_MAP * max(0.0, min(config.seconds, deadline - time.monotonic()))
    if config.lossy:
        lossy = lossy_variants(
            model, signature, data, means, ahead, config, deadline=end, progress=progress
        )
    if "recalibrate" in config.allow:
        base = base_of(model, signature, ahead.proven, lossy.chosen)
        remapped = recalibrate(
            model, signature, data, means.train, base, config, deadline=deadline, progress=progress
        )
    return lossy, remapped


def _final(model: LoadedModel, ships: Shipped, chosen: Candidate | None) -> tuple[Variant, Files]:
    """Return the variant that ships with its files: one that may answer otherwise, or exact."""
    if chosen is None or chosen.converted is None:
        return ships.variant, ships.files
    graph = chosen.converted
    return onnx_variant(model, chosen.name, graph), {ONNX_FILE: graph.data}


def _parted(tried: list[Trial]) -> tuple[list[Trial], Trial | None, Trial | None]:
    """Return the trials of graphs, the exact one of them, and the booster where it is exact."""
    graphs = [trial for trial in tried if trial.attempt.name != DIRECT]
    exact = [trial for trial in tried if trial.status == "exact"]
    graph = next((trial for trial in exact if trial.attempt.name != DIRECT), None)
    return graphs, graph, next((t for t in exact if t.attempt.name == DIRECT), None)


def _cut(trials: list[Trial]) -> bool:
    return any(trial.status == "skipped" for trial in trials)


def _trials(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    progress: Progress,
) -> list[Trial]:
    """Return the trials, that of the booster by itself last."""
    attempts: list[Attempt] = model.call(f"{CONVERT}:attempts")
    made = make_direct(model, signature, config)

    def also(answers: Sequence[Answers]) -> Trial:
        if made is None:
            raise ValueError("there is no booster to try")
        return try_direct(timed, signature, made, answers, config)

    with within(model, config.seconds - config.measuring_seconds) as timed:
        more = also if made is not None else None
        return climb(timed, attempts, signature, data, config, progress, more)


def _incumbent(
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    ships: Shipped,
    config: OptimizeConfig,
) -> Incumbent:
    """Return what a lossy variant has to beat, and the graph that it may start from."""
    graphs = [trial.converted for trial in trials if trial.converted is not None]
    graph = exact.converted if exact is not None else next(iter(graphs), None)
    size = sum(path.stat().st_size for path in ships.native.values())
    both = {NATIVE: timings[NATIVE], "onnx": ships.times}
    ahead = 1.0 if ships.regime == Regime(NATIVE) else gain(both, ships.size, size, config)
    served = exact is not None and ships.regime != Regime(NATIVE)
    return Incumbent(graph, ahead, size, exact.converted if exact and served else None, exact)


def _resolved(config: OptimizeConfig) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    sizes = {"rows": config.rows, "probes": config.probes, "timing_seconds": config.timing_seconds}
    return told | sizes | {"seconds": None}


def _digest(content: bytes | Path) -> str:
    return sha256_file(content) if isinstance(content, Path) else sha256_bytes(content)


def _load_times(
    timed: Timed,
    model: LoadedModel,
    signature: Signature,
    graph: Converted | None,
    direct: Converted | None,
) -> dict[str, float]:
    try:
        found: dict[str, float] = timed.call(
            "afterfit.models.convert_timing:load_ms",
            form=model.format,
            path=str(model.path or ""),
            digest=model.file_digest,
            direct=bare(direct, signature),
            **graph_arguments(graph),
        )
    except (AfterfitError, TimeOverError):
        return {}
    return found


def _reports(
    trials: list[Trial], timings: Timings, loads: dict[str, float], ships: Shipped
) -> tuple[VariantReport, ...]:
    size = sum(path.stat().st_size for path in ships.native.values())
    metrics = metrics_of(timings[NATIVE]) + _cost(size, loads.get(NATIVE))
    reports = [VariantReport(name=NATIVE, status="as_is", metrics=metrics)]
    for trial in trials:
        report = trial.report()
        if trial.status == "exact" and trial.converted is not None:
            form = "direct" if trial.attempt.name == DIRECT else "onnx"
            cost = _cost(len(trial.converted.data), loads.get(form))
            report = msgspec.structs.replace(report, metrics=metrics_of(timings[form]) + cost)
        reports.append(report)
    return tuple(reports)


def _cost(size: int, load: float | None) -> tuple[Metric, ...]:
    found = [Metric(name="size_bytes", value=float(size), n=1, unit="bytes")]
    if load is not None:
        method = "least of 3, library already imported"
        found.append(Metric(name="load_ms", value=load, n=3, unit="ms", method=method))
    return tuple(found)


def _metrics(exact: Trial | None, timings: Timings, ships: Shipped) -> tuple[Metric, ...]:
    """Return the times of what ships first, then how many times faster ONNX is."""
    found = list(metrics_of(ships.times))
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
