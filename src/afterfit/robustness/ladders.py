"""Ladders: labelled rows spoiled at five severities, and what that costs of the main metric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.effort import more_time
from afterfit.core.finding import Finding
from afterfit.core.formulae import compute
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric, known
from afterfit.core.quality import encode_truth, labelled_rows, main_metric, needed
from afterfit.errors import InputError, in_record
from afterfit.models.timebox import TimeOverError
from afterfit.records.robustness import Case, Ladder, Rung
from afterfit.robustness import findings
from afterfit.robustness.corruption import Corruption
from afterfit.robustness.corruption_images import image_corruptions
from afterfit.robustness.corruption_tables import table_corruptions
from afterfit.robustness.corruption_texts import text_corruptions
from afterfit.robustness.evidence import LATE, Evidence, Part, within_time
from afterfit.robustness.probe import decided_otherwise
from afterfit.robustness.told import short
from afterfit.stats.noninferior import metric_drop, relative

__all__ = ["ladders"]

LEAST_ROWS = 30
MOST_CELLS = 20_000_000
"""Rows times columns of one rung, to bound its memory: 160 MB of float64."""
MIDDLE = 3
"""The severity whose drop is the metric that gates can name."""
CLEAR = 0.02
"""A drop beyond this at the mildest severity is worth a tip, in the unit of the metric."""
ALPHA = 0.025
WHERE = "labelled rows"
REPLICATES = 1000
KINDS: tuple[Callable[[Evidence], list[Corruption]], ...] = (
    table_corruptions,
    text_corruptions,
    image_corruptions,
)
"""Each gives the ways to spoil what it knows: none where the model takes nothing of the kind."""


@dataclass(frozen=True)
class _Clean:
    """Labelled rows as they are: what the metric is compared with."""

    rows: Frame
    truth: np.ndarray
    answers: Predictions
    metric: str
    value: float


@within_time("ladders", findings.Degrades)
def ladders(evidence: Evidence) -> Part:
    """Return what each way to spoil rows costs of the main metric, at five severities."""
    check = findings.Degrades
    corruptions = [each for kind in KINDS for each in kind(evidence)]
    usable = [each for each in corruptions if each.make is not None]
    if not usable:
        return Part(findings=(check.not_applicable("the model has no column to spoil"),))
    clean = _clean(evidence, sum(len(each.levels) for each in usable))
    if isinstance(clean, Finding):
        return Part(findings=(clean,))
    evidence.progress.step("ladders", sum(len(each.levels) for each in usable))
    found, unreached, cases = [], [], []
    for place, corruption in enumerate(usable):
        try:
            ladder, broken = _ladder(evidence, clean, corruption, place)
        except TimeOverError:
            unreached.append(f"ladder of {corruption.name}")
            continue
        found.append(ladder)
        cases += broken
    told = [_about(ladder) for ladder in found]
    fix = more_time(evidence.config.effort)
    told += [check.skipped(LATE, where=name, fix=fix) for name in unreached]
    return Part(
        findings=tuple(told),
        metrics=_metrics(found),
        cases=tuple(cases),
        fields={"ladders": tuple(found)},
        unreached=tuple(unreached),
    )


def _clean(evidence: Evidence, calls: int) -> _Clean | Finding:
    """Return labelled rows with their answers, as many as the time allows; or why there are none.

    Raises TimeOverError.
    """
    check, signature = findings.Degrades, evidence.signature
    labelled = labelled_rows(evidence.data)
    if len(labelled) < LEAST_ROWS:
        text = f"{len(labelled)} rows have a label: quality cannot be measured"
        return check.skipped(text, fix="--target COLUMN", needed_n=LEAST_ROWS)
    most = min(evidence.config.ladder_rows, MOST_CELLS // max(1, len(signature.columns)))
    # The pace is that of a small call: an eighth of the time is enough to find that of a large one.
    first = int(max(LEAST_ROWS, min(most, evidence.pace * evidence.left / 8)))
    random = np.random.default_rng(evidence.config.seed)
    data = labelled.take(random.permutation(len(labelled))[:first])
    try:
        truth = encode_truth(signature, data)
    except InputError as error:
        return check.skipped(in_record(error), fix=error.fix)
    rows = frames.select(data.frame, signature.names)
    started = time.monotonic()
    answers, outcome, message = evidence.ask(rows)
    if answers is None or outcome != "answered":
        return check.skipped(f"the model does not answer the labelled rows: {message}")
    pace = len(truth) / max(1e-6, time.monotonic() - started)
    # Half of the time that is left: the other half is for what stands behind this part.
    affordable = min(len(truth), pace * evidence.left / 2 / calls)
    kept = slice(0, int(max(LEAST_ROWS, affordable)))
    rows, truth, answers = frames.take(rows, kept), truth[kept], answers.take(kept)
    metric = main_metric(signature)
    value = _measure(evidence, metric, truth, answers)
    if math.isnan(value):
        return check.skipped(f"{metric} is undefined on these {len(truth)} rows")
    return _Clean(rows, truth, answers, metric, value)


def _measure(evidence: Evidence, metric: str, truth: np.ndarray, answers: Predictions) -> float:
    signature = evidence.signature
    prediction = needed(signature, answers, metric)
    return compute(metric, truth, prediction, positive=signature.positive_index).value


def _ladder(
    evidence: Evidence, clean: _Clean, corruption: Corruption, place: int
) -> tuple[Ladder, list[Case]]:
    """Return one ladder, and its rungs on which the model gave no usable answer as cases.

    Every rung draws the same numbers, so that a rung differs from the one below by its level alone.
    """
    rungs, cases = [], []
    for severity, level in enumerate(corruption.levels, start=1):
        random = np.random.default_rng([evidence.config.seed, place])
        changed = corruption.spoiled(clean.rows, level, random)
        answers, outcome, message = evidence.ask(changed)
        evidence.progress.advance()
        if answers is None or outcome != "answered":
            name = f"{corruption.name} at severity {severity}"
            n = len(clean.truth)
            cases.append(Case(case=name, column="", n=n, outcome=outcome, message=message))
            rungs.append(Rung(severity=severity, level=level, why=message))
        else:
            rungs.append(_rung(evidence, clean, severity, level, answers))
    ladder = Ladder(
        name=corruption.name,
        gate=corruption.gate,
        unit=corruption.unit,
        metric=clean.metric,
        clean=clean.value,
        n=len(clean.truth),
        relative=relative(clean.metric),
        rungs=tuple(rungs),
    )
    return ladder, cases


def _rung(
    evidence: Evidence, clean: _Clean, severity: int, level: float, answers: Predictions
) -> Rung:
    signature = evidence.signature
    before, after = (needed(signature, each, clean.metric) for each in (clean.answers, answers))
    drop = metric_drop(
        clean.metric,
        clean.truth,
        before,
        after,
        alpha=ALPHA,
        positive=signature.positive_index,
        seed=evidence.config.seed,
        replicates=REPLICATES,
    )
    return Rung(
        severity=severity,
        level=level,
        value=_measure(evidence, clean.metric, clean.truth, answers),
        drop=known(drop.value),
        low=known(drop.low),
        high=known(drop.high),
        method=drop.method,
        changed=int(decided_otherwise(signature, clean.answers, answers).sum()),
    )


def _about(ladder: Ladder) -> Finding:
    check = findings.Degrades
    mild, middle, worst = ladder.rungs[0], ladder.rungs[MIDDLE - 1], ladder.rungs[-1]
    said = "; ".join(
        f"{_drop(ladder, rung)} with {ladder.amount(rung)}" for rung in (middle, mild, worst)
    )
    as_is = f"{ladder.metric} {short(ladder.clean)} of {ladder.n:,} rows as they are"
    text = f"{ladder.name}: {said}; {as_is}"
    evidence = {"ladder": ladder.name, "drops": [rung.drop for rung in ladder.rungs]}
    if mild.low is not None and mild.low > CLEAR:
        fix = check.page()["Fix"].replace("noise_drop", ladder.gate)
        return check.tip(text, where=WHERE, fix=fix, **evidence)
    return check.passed(text, where=WHERE, **evidence)


def _drop(ladder: Ladder, rung: Rung) -> str:
    if rung.drop is None:
        return f"no number ({rung.why or rung.method})"
    unit = " of it" if ladder.relative else ""
    text = f"{'worse' if rung.drop >= 0 else 'better'} by {short(abs(rung.drop))}{unit}"
    if rung.low is None or rung.high is None:
        return f"{text} ({rung.method})"
    low, high = (rung.low, rung.high) if rung.drop >= 0 else (-rung.high, -rung.low)
    return f"{text} (95 % interval {short(low)} to {short(high)})"


def _metrics(found: Sequence[Ladder]) -> tuple[Metric, ...]:
    """Return the drop at the middle severity by gate; of several ladders, that of the worst."""
    by_gate: dict[str, tuple[float, Ladder, Rung]] = {}
    for ladder in found:
        rung = ladder.rungs[MIDDLE - 1]
        # No answer at all is worse than any drop, and no number is no pass.
        drop = math.inf if rung.drop is None else rung.drop
        if ladder.gate not in by_gate or drop > by_gate[ladder.gate][0]:
            by_gate[ladder.gate] = drop, ladder, rung
    return tuple(
        Metric(
            name=gate,
            value=rung.drop,
            low=rung.low,
            high=rung.high,
            n=ladder.n,
            method=rung.method or rung.why,
            scope=f"{ladder.name}, severity {MIDDLE} of {len(ladder.rungs)}, {ladder.metric}",
        )
        for gate, (_, ladder, rung) in by_gate.items()
    )
