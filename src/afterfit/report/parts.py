"""Small pieces that every section is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from afterfit.core.digest import short
from afterfit.core.gate import GateResult
from afterfit.core.metric import Metric
from afterfit.records.codec import Stored
from afterfit.report import number
from afterfit.report.page import Cell, KeyValue, State, Table, Text, Tone

MOST_ROWS = 100
"""More rows than this are no longer read by a person; the record has them all."""

STEP_TITLES = {
    "inspect": "The model",
    "assess": "Quality",
    "optimize": "Speed",
    "robustness": "Robustness",
    "robustness_endpoint": "Endpoint under strange requests",
    "loadtest": "Load test",
    "autoscale": "Autoscaling",
    "platforms": "Where to run it",
    "package": "What ships",
    "predict": "Batch scored",
    "monitor": "What was seen",
    "rehearsal": "Rehearsal of the monitor",
    "rollout": "Rollout",
    "rollback_drill": "Drill of the way back",
    "replay": "Replay of served rows",
    "ship": "Release",
}


def cell(value: object, tone: Tone = "") -> Cell:
    """Return a cell of any plain value; numbers get three digits, whole ones their commas."""
    if isinstance(value, Cell):
        return value
    if value is None:
        return Cell(number.NOTHING, "muted")
    if isinstance(value, bool):
        return Cell("yes" if value else "no", tone)
    if isinstance(value, int):
        return Cell(number.count(value), tone)
    if isinstance(value, float):
        return Cell(number.plain(value), tone)
    return Cell(str(value), tone)


def code(text: str, tone: Tone = "") -> Cell:
    """Return a cell in a fixed-width font: names, digests, paths."""
    return Cell(text, tone, code=True)


def rows_of(
    rows: Iterable[Sequence[object]],
) -> tuple[tuple[Cell, ...], ...]:
    """Return rows of cells from rows of plain values."""
    return tuple(tuple(cell(value) for value in row) for row in rows)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    numeric: Sequence[int] = (),
    note: str = "",
) -> Table:
    """Return a table of at most `MOST_ROWS` rows that says how many more there are."""
    left = len(rows) - MOST_ROWS
    if left > 0:
        more = f"{number.plural(left, 'more row')} in the record."
        note = f"{note} {more}".strip()
    return Table(
        columns=tuple(columns),
        rows=rows_of(rows[:MOST_ROWS]),
        caption=caption,
        numeric=tuple(numeric),
        note=note,
    )


def key_values(*items: tuple[str, object]) -> KeyValue:
    """Return names with what they are; empty texts are left out."""
    return KeyValue(tuple((name, cell(value)) for name, value in items if value != ""))


def gates_table(gates: Sequence[GateResult]) -> Table | None:
    """Return the gates with what they looked at, None without gates; no number is no pass."""
    looks: dict[str, Cell] = {
        "pass": Cell("passed", "good"),
        "fail": Cell("failed", "bad"),
        "missing": Cell("no number", "warn"),
    }
    rows = [
        [looks[gate.outcome], code(gate.gate), _gate_value(gate), gate.why or _basis(gate)]
        for gate in gates
    ]
    columns = ("Outcome", "Gate", "Value", "Measured on")
    return table(columns, rows, caption="Gates", numeric=(2,)) if rows else None


def _gate_value(gate: GateResult) -> Cell:
    return Cell(number.gate_value(gate), "" if gate.value is not None else "muted")


def _basis(gate: GateResult) -> str:
    metric = gate.metric
    if metric is None:
        return gate.step
    return ", ".join(
        part for part in (metric.scope or gate.step, number.level_text(metric)) if part
    )


def metrics_table(metrics: Sequence[Metric], *, caption: str = "", scope: bool = True) -> Table:
    """Return one row a metric: value, interval, sample size and method."""
    rows = [
        [
            number.metric_title(metric.name),
            *([metric.scope] if scope else []),
            metric_value(metric),
            number.interval_text(metric) or None,
            number.count(metric.n) if metric.n else None,
            metric.method,
        ]
        for metric in metrics
    ]
    columns = [
        "Metric",
        *(["Of"] if scope else []),
        "Value",
        _interval_title(metrics),
        "n",
        "Method",
    ]
    first = 2 if scope else 1
    return table(columns, rows, caption=caption, numeric=(first, first + 1, first + 2))


def _interval_title(metrics: Sequence[Metric]) -> str:
    levels = {metric.level for metric in metrics if metric.low is not None}
    return f"{levels.pop() * 100:g} % interval" if len(levels) == 1 else "Interval"


def metric_value(metric: Metric | None) -> Cell:
    """Return a metric's value with its unit; "not computed" is no number."""
    if metric is None:
        return Cell(number.NOTHING, "muted")
    if metric.value is None:
        return Cell("not computed", "muted")
    return Cell(number.number(metric.value, metric.unit))


def state_of(stored: Stored, *, reused: bool = False) -> State:
    """Return what became of a step whose record is there."""
    if stored.body.status == "failed":
        return "failed"
    if stored.body.status == "partial":
        return "partial"
    return "reused" if reused else "ran"


def when(created: str) -> str:
    """Return an ISO 8601 moment as ``2026-11-23 14:05 UTC``; what is none stays as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def digest_cell(digest: str) -> Cell:
    """Return a digest short enough to compare by eye."""
    return code(short(digest)) if digest else Cell(number.NOTHING, "muted")


def note(text: str, tone: Tone = "muted") -> Text:
    """Return a remark."""
    return Text(text, tone)
