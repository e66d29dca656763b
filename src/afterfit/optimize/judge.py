"""What the trials and timings of ``optimize`` mean: its findings."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.signature import Signature
from afterfit.models.booster_direct import DIRECT
from afterfit.models.convert_known import Trap
from afterfit.models.loaded import LoadedModel
from afterfit.optimize import findings
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import Trial
from afterfit.optimize.latency import Timings, prefers_onnx, speedup
from afterfit.optimize.shipped import Shipped

NATIVE = "native"
AS_IS = "the model ships as it is"
MORE_TIME = "--effort full"


def judged(
    model: LoadedModel,
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    config: OptimizeConfig,
    ships: Shipped | None = None,
    *,
    signature: Signature,
) -> list[Finding]:
    """Return every finding of the step, from all trials and the one that is exact, if any.

    Without ``ships`` the model ships as it is.
    """
    traps = _traps(model, trials, signature)
    found = _of_graphs(model, trials, exact, timings, config, ships, traps)
    return found if ships is None else [*found, *_bare(timings, ships), *_by_size(timings, ships)]


def _of_graphs(
    model: LoadedModel,
    trials: list[Trial],
    exact: Trial | None,
    timings: Timings,
    config: OptimizeConfig,
    ships: Shipped | None,
    traps: list[Trap],
) -> list[Finding]:
    bare = ships is not None and ships.regime.small == "direct"
    instead = "its booster ships by itself" if bare else AS_IS
    if not trials:
        return [_no_way(model, instead)]
    if exact is None:
        return [
            *_rejections(trials, instead, traps),
            *_failures(trials, instead),
            *_not_reached(trials, instead),
        ]
    speed = _speed(
        exact, timings, config, ships_onnx=ships is not None and ships.onnx, instead=instead
    )
    other = f"another converter is exact and was taken: {exact.attempt.name}"
    return [
        _proven(exact),
        *(_rejections(trials, other, traps) if _by_library(exact) else []),
        *(_averted(exact, traps) if not _by_library(exact) else []),
        *_repairs(exact),
        *_anyway(exact),
        speed,
    ]


def _by_library(exact: Trial) -> bool:
    return exact.attempt.trees == "library"


def _traps(model: LoadedModel, trials: list[Trial], signature: Signature) -> list[Trap]:
    """Return why converters may get the model wrong, where one was tried."""
    if not any(trial.judgements for trial in trials):
        return []
    found: list[Trap] = model.call("afterfit.models.convert_known:known_traps", signature=signature)
    return found


def _averted(exact: Trial, traps: list[Trap]) -> list[Finding]:
    """Return a finding for each cause of wrong answers that the exact way has no part in."""
    return [
        findings.Repaired.passed(f"{trap}; repaired: {trap.repair}", where=exact.attempt.name)
        for trap in traps
        if trap.repair
    ]


def _bare(timings: Timings, ships: Shipped) -> list[Finding]:
    if "direct" not in (ships.regime.small, ships.regime.large):
        return []
    sizes = sorted(set(timings["direct"]) & set(timings[NATIVE]))
    text = "; ".join(_against(timings, "direct", NATIVE, rows) for rows in sizes)
    return [findings.BoosterByItself.passed(f"{DIRECT} answers as the model does, {text}")]


def _by_size(timings: Timings, ships: Shipped) -> list[Finding]:
    found = ships.regime
    if not found.large or not ships.variant.large:
        return []
    most = max(set(timings[found.large]) & set(timings[found.small]))
    text = (
        f"{ships.variant.name} answers calls of less than {found.rows} rows, "
        f"{ships.variant.large.variant.name} the others: "
        f"{_against(timings, found.large, found.small, most)}"
    )
    return [findings.FormBySize.passed(text, rows=found.rows)]


def _against(timings: Timings, form: str, other: str, rows: int) -> str:
    mine, others = (float(np.median(timings[each][rows])) for each in (form, other))
    unit = "row" if rows == 1 else "rows"
    calls = len(timings[form][rows])
    times = f"({others / mine:.1f} times, n = {calls})"
    return f"{rows} {unit}: {mine:,.0f} against {others:,.0f} µs {times}"


def _not_reached(trials: list[Trial], instead: str) -> list[Finding]:
    left = [trial for trial in trials if trial.status == "skipped"]
    if not left:
        return []
    text = (
        f"{len(left)} of {len(trials)} ways to convert were not tried before the time was over; "
        f"{instead}"
    )
    return [findings.NotConverted.skipped(text, fix=MORE_TIME)]


def _no_way(model: LoadedModel, instead: str) -> Finding:
    if model.format == "onnx":
        return findings.NotConverted.not_applicable("the model is an ONNX graph already")
    framework = model.description.framework
    text = f"models of the kind {framework!r} have no converter; {instead}"
    return findings.NotConverted.not_applicable(text)


def _rejections(trials: list[Trial], instead: str, traps: list[Trap]) -> list[Finding]:
    rejected = [trial for trial in trials if trial.status == "rejected"]
    if not rejected:
        return []
    known = f". Known cause: {'; '.join(map(str, traps))}" if traps else ""
    worst = rejected[0]
    text = f"{worst.attempt.name} answers otherwise ({worst.why}); {instead}{known}"
    return [
        findings.NotEqual.tip(
            text,
            where=trial.attempt.name,
            beyond=_beyond(trial),
            n=trial.compared,
            known=[str(trap) for trap in traps],
        )
        for trial in rejected[:1]
    ]


def _beyond(trial: Trial) -> int:
    return sum(judgement.parity.beyond for judgement in trial.judgements)


def _failures(trials: list[Trial], instead: str) -> list[Finding]:
    failed = [trial for trial in trials if trial.status == "not_available"]
    if not failed or len(failed) < len(trials):
        return []
    text = f"no ONNX form could be made, so {instead}: {failed[0].why}"
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
    fix = findings.SAY_WHAT_IT_MEANS
    return [findings.AnswersRefusedRows.tip(f"{text} ({cases})", fix=fix, n=count)]


def _speed(
    exact: Trial,
    timings: Timings,
    config: OptimizeConfig,
    *,
    ships_onnx: bool,
    instead: str = AS_IS,
) -> Finding:
    measured = sorted(timings["onnx"])
    if not measured:
        text = f"{exact.attempt.name} is exact and was not timed before the time was over"
        return findings.Faster.skipped(text, fix=MORE_TIME)
    evidence: dict[str, Any] = {}
    parts = []
    for rows in measured:
        ratio = speedup(timings, rows)
        parts.append(_against(timings, "onnx", NATIVE, rows))
        evidence[f"speedup_{rows}"] = ratio
    text = f"{exact.attempt.name}, {'; '.join(parts)}"
    if ships_onnx:
        return findings.Faster.passed(text, where=exact.attempt.name, **evidence)
    other = "throughput" if config.goal == "latency" else "latency"
    turned = prefers_onnx(timings, measured, msgspec.structs.replace(config, goal=other))
    return findings.SlowerConverted.tip(
        f"{instead}, because that is faster: {text}",
        where=exact.attempt.name,
        fix=f"--goal {other}" if turned else "",
        **evidence,
    )
