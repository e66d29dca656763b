"""What the trials and timings of ``optimize`` mean: its findings."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.finding import Finding
from afterfit.models.loaded import LoadedModel
from afterfit.optimize import findings
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import Trial
from afterfit.optimize.latency import Timings, prefers_onnx, speedup

NATIVE = "native"
MORE_TIME = "--effort full"


def judged(
    model: LoadedModel,
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    config: OptimizeConfig,
    *,
    ships_onnx: bool,
) -> list[Finding]:
    """Return every finding of the step, from all trials and the one that is exact, if any."""
    if not trials:
        return [_no_way(model)]
    if exact is None:
        return [*_rejections(model, trials), *_failures(trials), *_not_reached(trials)]
    found = [_proven(exact), *_repairs(exact), *_anyway(exact)]
    found.append(_speed(exact, timings, config, ships_onnx=ships_onnx))
    return found


def _not_reached(trials: list[Trial]) -> list[Finding]:
    left = [trial for trial in trials if trial.status == "skipped"]
    if not left:
        return []
    text = (
        f"{len(left)} of {len(trials)} ways to convert were not tried before the time was over; "
        "the model ships as it is"
    )
    return [findings.NotConverted.skipped(text, fix=MORE_TIME)]


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
    measured = sorted(timings["onnx"])
    if not measured:
        text = f"{exact.attempt.name} is exact and was not timed before the time was over"
        return findings.Faster.skipped(text, fix=MORE_TIME)
    evidence: dict[str, Any] = {}
    parts = []
    for rows in measured:
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
    other = "throughput" if config.goal == "latency" else "latency"
    turned = prefers_onnx(timings, measured, msgspec.structs.replace(config, goal=other))
    return findings.SlowerConverted.tip(
        f"the model ships as it is, because it is faster: {text}",
        where=exact.attempt.name,
        fix=f"--goal {other}" if turned else "",
        **evidence,
    )
