"""Which lossy variants are certified, which one ships, and which form the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from afterfit.core.metric import Metric
from afterfit.errors import AfterfitError
from afterfit.models.convert import brief
from afterfit.optimize.certify import Judge, why_not
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.latency import Timings, prefers_onnx, speedup
from afterfit.optimize.search import Candidate, answers_of_graph
from afterfit.records.optimize import Guard, VariantReport, VariantStatus
from afterfit.records.record import Environment

__all__ = ["GAIN", "best", "certified", "gain", "no_faster", "with_front"]

GAIN = 1.1
"""So many times better must a lossy variant be than the best exact one to be worth a loss."""


def gain(timings: Timings, size: int, native_size: int, config: OptimizeConfig) -> float:
    """Return how many times better than the native model a graph is in what counts; 0 unknown."""
    if config.goal == "size":
        return native_size / size if size else 0.0
    known = sorted(set(timings.get("native", {})) & set(timings.get("onnx", {})))
    if not known:
        return 0.0
    return speedup(timings, known[0] if config.goal == "latency" else known[-1])


def certified(
    candidates: Sequence[Candidate],
    judge: Judge,
    env: Environment,
    *,
    native_size: int,
    incumbent: float,
) -> list[Candidate]:
    """Return all candidates, the most gainful of them with certificates.

    ``judge`` holds the certification rows and ``incumbent`` is the gain of the best exact form.
    Where that is a graph, gains are over its times beside the candidate's: a slow model's own times
    differ by more from one moment to the next than its fast forms do. How many are
    certified at most is the config's; each has its share of alpha.
    """
    config = judge.config

    def gained(candidate: Candidate) -> float:
        size = len(candidate.converted.data) if candidate.converted else 0
        beside = candidate.times.get("exact")
        if not beside or config.goal == "size":
            return gain(candidate.times, size, native_size, config)
        return incumbent * gain({**candidate.times, "native": beside}, size, native_size, config)

    meant = [c for c in candidates if c.eligible and (_by_size(config) or not c.proposal.no_faster)]
    worth = [c for c in meant if gained(c) >= GAIN * incumbent]
    worth = [c for c in worth if prefers_onnx(c.times, sorted(c.times["onnx"]), config)]
    chosen = sorted(worth, key=lambda c: _rank(gained(c), c.drop or 0.0))[: config.certify]
    names = [c.name for c in chosen]
    told = [
        _certify(c, judge, env, len(chosen))
        if c.name in names
        else _left(c, worth, incumbent, config)
        for c in candidates
    ]
    return sorted(told, key=lambda c: names.index(c.name) if c.name in names else len(names))


def _rank(gained: float, drop: float) -> tuple[int, float]:
    """Return what sorts by gain, and by loss where gains are within about 10 % of each other."""
    return -round(math.log(max(gained, 1e-9)) / math.log(GAIN)), drop


def _certify(candidate: Candidate, judge: Judge, env: Environment, count: int) -> Candidate:
    made = candidate.converted
    if made is None:
        raise ValueError("a variant that was not made cannot be certified")
    try:
        answers = answers_of_graph(made, judge.signature, judge.part.frame)
    except AfterfitError as error:
        return replace(candidate, status="not_available", why=f"cannot be used: {brief(error)}")
    given = judge.certificate(answers, candidate.artifact, count)
    found = msgspec.structs.replace(
        given,
        guards=(*given.guards, *_at_the_edges(candidate, judge.config)),
        runtime=f"onnxruntime {env.packages.get('onnxruntime', '')}".strip(),
        cpu_features=env.cpu_features,
    )
    status: VariantStatus = "certified" if found.verdict == "certified" else "rejected"
    return replace(candidate, status=status, why=why_not(found), certificate=found)


def _at_the_edges(candidate: Candidate, config: OptimizeConfig) -> list[Guard]:
    """Return the guard that held before: what it fails never comes to a certificate."""
    tried = candidate.edges
    if tried is None or tried.differ is None:
        return []
    limit, n = config.max_edge_flips, tried.rows
    return [Guard(name="edge_flips", value=tried.differ, limit=limit, held=True, n=n)]


def _by_size(config: OptimizeConfig) -> bool:
    return config.goal == "size"


def no_faster(candidate: Candidate) -> str:
    """Return how fast a variant is that computes as much as before, and why; n are calls."""
    why = candidate.proposal.no_faster
    times, beside = candidate.times.get("onnx", {}), candidate.times.get("exact", {})
    known = sorted(set(times) & set(beside))
    if not known:
        return f"1.00 times as fast as the whole network, as {why}"
    rows = known[0]
    ratio = float(np.median(beside[rows]) / np.median(times[rows]))
    unit = "row" if rows == 1 else "rows"
    return (
        f"1.00 times as fast as the whole network, as {why} (measured: {ratio:.2f} times, "
        f"{rows} {unit}, n = {len(times[rows])})"
    )


def _left(
    candidate: Candidate, worth: Sequence[Candidate], incumbent: float, config: OptimizeConfig
) -> Candidate:
    if not candidate.eligible:
        return candidate
    if candidate.proposal.no_faster and not _by_size(config):
        return replace(candidate, why=f"{no_faster(candidate)}; it counts for --goal size alone")
    if any(candidate.name == other.name for other in worth):
        return replace(
            candidate,
            why="others gain more, or as much and lose less; only the best few are certified",
        )
    if incumbent > 1.0:
        return replace(candidate, why="it is not 10 % better than the exact form, which loses none")
    return replace(candidate, why="it is not 10 % better than the model as it is")


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the certified candidate that gains most, the first; None where none is certified."""
    return next((c for c in candidates if c.status == "certified"), None)


def with_front(reports: Sequence[VariantReport]) -> tuple[VariantReport, ...]:
    """Return the reports with those marked that no other measured one beats everywhere."""
    places = {r.name: _place(r) for r in reports if _measured(r)}
    return tuple(
        msgspec.structs.replace(report, front=report.name in places and not _beaten(report, places))
        for report in reports
    )


def _beaten(report: VariantReport, places: Mapping[str, np.ndarray]) -> bool:
    mine = places[report.name]
    others = (place for name, place in places.items() if name != report.name)
    return any(bool((other <= mine).all() and (other < mine).any()) for other in others)


def _measured(report: VariantReport) -> bool:
    return any(metric.name == "latency_p50_us" for metric in report.metrics)


def _place(report: VariantReport) -> np.ndarray:
    """Return loss, times, size, load and memory of a variant, smaller being better."""
    losses = [m for m in report.metrics if m.name == "drop"]
    drop = max(0.0, losses[0].value or 0.0) if losses else 0.0
    times = sorted(
        (int(m.scope.partition(":")[2]), m.value)
        for m in report.metrics
        if m.name == "latency_p50_us"
    )
    ends = [times[0][1], times[-1][1]]
    return np.array([drop, *ends, *(_of(report.metrics, n) for n in ("size_bytes", "load_ms"))])


def _of(metrics: Sequence[Metric], name: str) -> float:
    found = next((metric.value for metric in metrics if metric.name == name), None)
    return np.inf if found is None else float(found)
