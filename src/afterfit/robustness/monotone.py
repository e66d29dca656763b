"""Whether answers rise or fall with a column, everything else unchanged, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.disclosure import reference_edges, reference_range
from afterfit.core.effort import Effort, more_time
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, Predictions, missing_mask
from afterfit.core.metric import Metric
from afterfit.core.scale import answer_scale
from afterfit.core.sections import Direction
from afterfit.core.signature import Column, Signature, dtype_of
from afterfit.models.timebox import TimeOverError
from afterfit.records.robustness import Trend
from afterfit.robustness import findings
from afterfit.robustness.evidence import LATE, Evidence, Part, within_time
from afterfit.robustness.probe import SAME, decisive
from afterfit.robustness.told import share, short
from afterfit.stats.interval import wilson

__all__ = ["monotone"]

POINTS = 12
"""Values of a column that each row is asked with: so many quantiles, and so many even steps."""
MOST_COLUMNS = 20
"""Undeclared columns that are looked at; of more, some are drawn."""
FEW_MOVED = 20
NEARLY = 0.9
OTHER: dict[Direction, Direction] = {"up": "down", "down": "up"}


@within_time("monotone columns", findings.NotMonotone, findings.NearlyMonotone)
def monotone(evidence: Evidence) -> Part:
    """Return how answers move with each column of numbers, and where that is not as declared."""
    signature, declared = evidence.signature, evidence.config.monotone
    if signature.task == "multiclass":
        text = "the answers of a model of several classes do not rise or fall"
        checks = (findings.NotMonotone, findings.NearlyMonotone)
        return Part(findings=tuple(check.not_applicable(text) for check in checks))
    columns = _columns(evidence)
    evidence.progress.step("monotone columns", len(columns))
    trends, unreached = [], []
    for column in columns:
        try:
            trend = _trend(evidence, column, declared.get(column.name))
        except TimeOverError:
            unreached.append(f"monotone in {column.name!r}")
            continue
        evidence.progress.advance()
        trends += [] if trend is None else [trend]
    nearly = _about_nearly(trends, len(unreached), evidence.config.effort)
    told = (*_about_declared(evidence, trends), nearly)
    return Part(
        findings=told,
        metrics=_metrics(trends),
        fields={"trends": tuple(trends)},
        unreached=tuple(unreached),
    )


def _columns(evidence: Evidence) -> list[Column]:
    """Return the declared columns, then other columns of numbers, at most 20 of these."""
    declared = evidence.config.monotone
    numeric = [column for column in evidence.signature.columns if column.numeric]
    others = [column for column in numeric if column.name not in declared]
    if len(others) > MOST_COLUMNS:
        random = np.random.default_rng(evidence.config.seed)
        kept = np.sort(random.permutation(len(others))[:MOST_COLUMNS])
        others = [others[index] for index in kept.tolist()]
    return [column for column in numeric if column.name in declared] + others


def _trend(evidence: Evidence, column: Column, declared: Direction | None) -> Trend | None:
    """Return how the rows move with one column; None where it has fewer than two values."""
    grid = _grid(column, evidence.data.frame[column.name])
    if len(grid) < 2:
        return None
    rows = evidence.rows
    n = frames.row_count(rows)
    answers = []
    for values in _calls(evidence, n, grid):
        asked = _raised(rows, column, values, n)
        answer, outcome, _ = evidence.ask(asked)
        if answer is None or outcome != "answered":
            return None
        answers.append(answer)
    whole = frames.concatenate(answers)
    scores = _scores(evidence.signature, whole).reshape(len(grid), n)
    steps = np.diff(scores, axis=0)
    still = SAME * _size(evidence.signature, scores)
    rises, falls = (steps > still).any(axis=0), (steps < -still).any(axis=0)
    trend = Trend(
        column=column.name,
        n=n,
        points=len(grid),
        up=int((rises & ~falls).sum()),
        down=int((falls & ~rises).sum()),
        flat=int((~rises & ~falls).sum()),
        declared=declared or "",
    )
    way: Direction = declared or ("up" if rises.sum() >= falls.sum() else "down")
    return _with_worst(evidence, trend, way, _Walk(grid, whole, scores, still))


@dataclass(frozen=True)
class _Walk:
    """The answers at each value of the grid: ``scores`` is [values, rows], ``whole`` its rows."""

    grid: np.ndarray
    whole: Predictions
    scores: np.ndarray
    still: float


def _with_worst(evidence: Evidence, trend: Trend, way: Direction, walk: _Walk) -> Trend:
    """Return the trend with the largest step against ``way`` and the decisions it turned."""
    sign = 1.0 if way == "up" else -1.0
    steps = sign * np.diff(walk.scores, axis=0)
    broken = (steps < -walk.still).any(axis=0)
    if not broken.any():
        return msgspec.structs.replace(trend, against=OTHER[way])
    place, row = np.unravel_index(int(steps.argmin()), steps.shape)
    return msgspec.structs.replace(
        trend,
        against=OTHER[way],
        broken=int(broken.sum()),
        decided=int(_turned(evidence.signature, walk, sign).sum()),
        worst=float(-steps[place, row]),
        worst_from=float(walk.grid[place]),
        worst_to=float(walk.grid[place + 1]),
    )


def _turned(signature: Signature, walk: _Walk, sign: float) -> np.ndarray:
    """Return the rows of which a decision turns against the direction, bool of [rows]."""
    count, n = walk.scores.shape
    if walk.whole.values is not None:
        size = decisive(walk.whole.values).reshape(count, n)[:-1]
        return np.asarray((sign * np.diff(walk.scores, axis=0) < -size).any(axis=0))
    codes = signature.codes(walk.whole).reshape(count, n)
    hit = (codes == _positive(signature)).astype(np.int64)
    turned: np.ndarray = (sign * np.diff(hit, axis=0) < 0).any(axis=0)
    return turned


def _positive(signature: Signature) -> int:
    """Return the class whose probability rises: the positive one, else the second."""
    index = signature.positive_index
    return len(signature.classes) - 1 if index is None else index


def _scores(signature: Signature, answers: Predictions) -> np.ndarray:
    """Return what may rise: the value, the probability of the class, or its label as 0 and 1."""
    if answers.values is not None:
        return answers.values
    if answers.probabilities is not None:
        chosen: np.ndarray = answers.probabilities[:, _positive(signature)]
        return chosen
    return np.asarray(signature.codes(answers) == _positive(signature), dtype=np.float64)


def _size(signature: Signature, scores: np.ndarray) -> float:
    """Return how large a score counts: a tolerance times this is no step."""
    if signature.task != "regression":
        return 1.0
    return float(np.max(answer_scale(scores.ravel()).of(scores.ravel())))


def _grid(column: Column, values: np.ndarray) -> np.ndarray:
    if column.kind == "boolean":
        return np.array([0.0, 1.0])
    numbers = values[~missing_mask(values)].astype(np.float64)
    low, high = reference_range(numbers)
    if low is None or high is None:
        return np.empty(0)
    # Values are told in findings, so none of them is that of a single row.
    edges = np.array(reference_edges(numbers))
    kept = np.linspace(0, len(edges) - 1, min(POINTS, len(edges))).round().astype(int)
    grid = np.concatenate([edges[kept], np.linspace(low, high, POINTS)])
    return np.unique(np.rint(grid) if column.kind == "integer" else grid)


def _calls(evidence: Evidence, n: int, grid: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the values of the grid, as many at once as one call shall hold."""
    most = max(1, evidence.rows_a_call // n) if evidence.independent else 1
    for start in range(0, len(grid), most):
        yield grid[start : start + most]


def _raised(rows: Frame, column: Column, values: np.ndarray, n: int) -> Frame:
    """Return the rows once for each value, with that value in the column."""
    repeated = {name: np.tile(array, len(values)) for name, array in rows.items()}
    return {**repeated, column.name: np.repeat(values, n).astype(dtype_of(column.kind))}


def _about_declared(evidence: Evidence, trends: list[Trend]) -> list[Finding]:
    check = findings.NotMonotone
    declared = evidence.config.monotone
    if not declared:
        text = 'no column is declared: [robustness] monotone = {column = "up"} in afterfit.toml'
        return [check.not_applicable(text)]
    known = {trend.column: trend for trend in trends}
    told = []
    for name, way in declared.items():
        trend = known.get(name)
        if trend is None:
            text = f"{LATE}, or the model gave no usable answer for some of its values"
            told.append(check.skipped(text, where=f"column {name!r}"))
        elif trend.broken:
            told.append(_broken(trend, way))
        else:
            text = f"{share(0, trend.n)} move against {way!r} over {trend.points} values"
            told.append(check.passed(text, where=f"column {name!r}"))
    return told


def _broken(trend: Trend, way: Direction) -> Finding:
    check = findings.NotMonotone
    word = "falls" if way == "up" else "rises"
    text = (
        f"declared {way!r}, but {share(trend.broken, trend.n)} have an answer that {word} as the "
        f"column rises: by {short(trend.worst)} from {trend.worst_from:g} to {trend.worst_to:g} "
        f"at the worst; {_turns(trend)}"
    )
    found = check.issue(
        text,
        where=f"column {trend.column!r}",
        fix=check.page()["Fix"],
        column=trend.column,
        broken=trend.broken,
        decided=trend.decided,
        n=trend.n,
    )
    # A decision that turns the wrong way is what somebody outside meets.
    return msgspec.structs.replace(found, severity="high" if trend.decided else check.severity)


def _turns(trend: Trend) -> str:
    if not trend.decided:
        return "no decision turns by it"
    return f"{share(trend.decided, trend.n)} are decided otherwise by it"


def _about_nearly(trends: list[Trend], unreached: int, effort: Effort) -> Finding:
    check = findings.NearlyMonotone
    others = [trend for trend in trends if not trend.declared]
    near = [trend for trend in others if _nearly(trend)]
    if near:
        worst = max(near, key=lambda trend: trend.worst)
        way = OTHER[worst.against]
        text = (
            f"{worst.column!r} moves answers {way} in {worst.n - worst.broken - worst.flat} of "
            f"{worst.n} rows, but {share(worst.broken, worst.n)} also move the other way"
        )
        names = [trend.column for trend in near]
        more = f"; so do {', '.join(names[:4])}" if len(names) > 1 else ""
        fix = (
            check.page()["Fix"]
            .replace("column = ", f"{worst.column} = ")
            .replace('"up"', f'"{way}"')
        )
        return check.tip(text + more, where=f"column {worst.column!r}", fix=fix, columns=names)
    if unreached and not trends:
        return check.skipped(LATE, fix=more_time(effort))
    if not others:
        return check.not_applicable("there is no other column of numbers")
    n = others[0].n
    return check.passed(f"{len(others)} columns of numbers looked at (n = {n} rows each)")


def _nearly(trend: Trend) -> bool:
    moved = trend.n - trend.flat
    return moved >= FEW_MOVED and 0 < trend.broken <= (1 - NEARLY) * moved


def _metrics(trends: list[Trend]) -> tuple[Metric, ...]:
    declared = [trend for trend in trends if trend.declared]
    if not declared:
        return ()
    worst = max(declared, key=lambda trend: trend.broken / trend.n)
    bounds = wilson(worst.broken, worst.n)
    found = Metric(
        name="monotone_breaks",
        value=worst.broken / worst.n,
        low=bounds.low,
        high=bounds.high,
        n=worst.n,
        method=bounds.method,
        scope=f"column {worst.column!r}",
    )
    return (found,)
