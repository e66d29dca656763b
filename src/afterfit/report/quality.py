"""The section of ``assess``: metrics with intervals, the baseline beside them, and the curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from afterfit.core.formulae import FORMULAE
from afterfit.core.metric import Metric, find
from afterfit.records.assess import AssessRecord, ClassQuality, Confusion, Curve
from afterfit.report import number
from afterfit.report.assess_calibration import calibration_blocks
from afterfit.report.assess_data import data_blocks
from afterfit.report.assess_explain import explained
from afterfit.report.assess_generalization import generalization_blocks
from afterfit.report.assess_slices import slices_blocks
from afterfit.report.page import (
    Block,
    Cell,
    Chart,
    Details,
    Heat,
    Intervals,
    Line,
    Lines,
    Range,
    Table,
)
from afterfit.report.parts import cell, metric_value, metrics_table, note, table

HELD_OUT = "held-out"
BASELINE = "baseline"
AHEAD, CLOSE = "ahead", "close"
MOST_LINES = 5
MOST_CLASSES = 20
MORE: tuple[Callable[[AssessRecord], tuple[Block, ...]], ...] = (
    generalization_blocks,
    calibration_blocks,
    explained,
    data_blocks,
    slices_blocks,
)
"""What shows the parts of ``assess`` beyond its metrics, in this order."""
_DIAGONAL = ("roc", "calibration", "reliability")


def quality(record: AssessRecord) -> tuple[Block, ...]:
    """Return what shows how good the model is."""
    blocks: list[Block] = []
    if record.metrics:
        blocks.append(_comparison(record))
    blocks += _interval_charts(record)
    if record.confusion is not None:
        blocks.append(confusion_block(record.confusion))
    if record.classes:
        blocks.append(_classes(record.classes))
    blocks += curve_charts(record.curves)
    if record.folds:
        blocks.append(_folds(record))
    for shown in MORE:
        blocks += shown(record)
    if not blocks:
        blocks.append(note("No metric could be measured.", "warn"))
    return tuple(blocks)


def headline(record: AssessRecord, wanted: Sequence[str] = ()) -> Metric | None:
    """Return the metric to show first: held-out, of ``wanted`` where possible."""
    held = [m for m in record.metrics if m.scope == HELD_OUT and m.value is not None]
    known = [metric for metric in held if metric.name in FORMULAE]
    asked = [metric for metric in known if metric.name in wanted]
    return next(iter([*asked, *known, *held]), None)


def baseline_of(record: AssessRecord, name: str, scope: str = "") -> Metric | None:
    """Return a baseline's value of a metric: of ``scope``, else of the first that has it."""
    for metric in record.metrics:
        if metric.name == name and metric.scope.startswith(scope or BASELINE):
            return metric
    return None


def _comparison(record: AssessRecord) -> Table:
    held = [metric for metric in record.metrics if metric.scope == HELD_OUT]
    if not held:
        return metrics_table(record.metrics, caption="Metrics")
    scopes = list(dict.fromkeys(m.scope for m in record.metrics if m.scope.startswith(BASELINE)))
    rows: list[list[Cell]] = []
    for metric in held:
        folds = find(record.metrics, metric.name, "cv")
        rows.append(
            [
                cell(_title(metric.name)),
                metric_value(metric),
                cell(number.interval_text(metric) or None),
                cell(metric.n or None),
                *(_against(metric, baseline_of(record, metric.name, scope)) for scope in scopes),
                Cell(number.metric_text(folds), "" if folds else "muted"),
            ]
        )
    beside = [_series(scope).capitalize() for scope in scopes]
    level = f"{held[0].level * 100:g} % interval"
    columns = ("Metric", "Held out", level, "n", *beside, "Cross-validation")
    return table(
        columns,
        rows,
        caption="Metrics on rows that the model has not seen",
        numeric=range(1, len(columns)),
        note=_remarks(held, {item.text.rpartition(", ")[2] for row in rows for item in row[4:-1]}),
    )


def _remarks(held: Sequence[Metric], marks: set[str]) -> str:
    parts = ["↓: lower is better."] if any(_lower(metric.name) for metric in held) else []
    if AHEAD in marks:
        parts.append(f"{AHEAD}: the baseline is better than the model.")
    if CLOSE in marks:
        parts.append(f"{CLOSE}: the model's interval holds the baseline's value.")
    return " ".join([*parts, _methods(held)])


def _methods(held: Sequence[Metric]) -> str:
    methods = sorted(
        {metric.method for metric in held if metric.method and metric.value is not None}
    )
    missing = [f"{number.metric_title(m.name)}: {m.method}" for m in held if m.value is None]
    parts = [f"Intervals by {', '.join(methods)}."] if methods else []
    return " ".join(parts + [f"{text}." for text in missing])


def _title(name: str) -> str:
    return number.metric_title(name) + (" ↓" if _lower(name) else "")


def _lower(name: str) -> bool:
    formula = FORMULAE.get(name)
    return formula is not None and not formula.bigger_is_better


def _against(metric: Metric, baseline: Metric | None) -> Cell:
    """Return the baseline's value, marked where the model is not clearly better."""
    if baseline is None or baseline.value is None:
        return metric_value(baseline)
    formula = FORMULAE.get(metric.name)
    text = number.number(baseline.value, baseline.unit)
    if formula is None or metric.low is None or metric.high is None:
        return Cell(text)
    sign = 1 if formula.bigger_is_better else -1
    worst = metric.low if formula.bigger_is_better else metric.high
    if sign * worst > sign * baseline.value:
        return Cell(text)
    ahead = metric.value is not None and sign * baseline.value > sign * metric.value
    return Cell(f"{text}, {AHEAD if ahead else CLOSE}", "warn")


def _interval_charts(record: AssessRecord) -> list[Chart]:
    """Return one interval plot for each unit that some metrics share."""
    groups: dict[str, list[Range]] = {}
    for metric in record.metrics:
        formula = FORMULAE.get(metric.name)
        series = _series(metric.scope)
        if formula is None or not series or metric.value is None:
            continue
        if metric.scope == HELD_OUT and (metric.low is None or metric.high is None):
            continue
        low = metric.value if metric.low is None else metric.low
        high = metric.value if metric.high is None else metric.high
        label = formula.title + ("" if formula.bigger_is_better else " ↓")
        group = formula.unit if "regression" in formula.tasks else "classification"
        if group == "classification" and not formula.bigger_is_better:
            continue
        groups.setdefault(group, []).append(Range(label, series, metric.value, low, high))
    return [_interval_chart(ranges) for ranges in groups.values()]


def _series(scope: str) -> str:
    if scope == HELD_OUT:
        return "held out"
    if scope.startswith(BASELINE):
        name = scope.removeprefix(BASELINE).strip(": ")
        return f"{name} baseline" if name else "baseline"
    return "cross-validation" if scope == "cv" else ""


def _place(series: str) -> int:
    return {"held out": 0, "cross-validation": 1}.get(series, 2)


def _interval_chart(ranges: list[Range]) -> Chart:
    labels = list(dict.fromkeys(item.label for item in ranges))
    rows = [
        [r.label, r.series, number.plain(r.value), number.plain(r.low), number.plain(r.high)]
        for r in ranges
    ]
    ranges.sort(key=lambda r: (labels.index(r.label), _place(r.series)))
    arrow = " ↓: lower is better." if any("↓" in label for label in labels) else ""
    return Chart(
        title="How sure each number is",
        description=f"Values with their intervals: {', '.join(labels)}.{arrow}",
        drawing=Intervals(tuple(ranges)),
        table=table(("Metric", "Of", "Value", "Low", "High"), rows, numeric=(2, 3, 4)),
        repeats=True,
    )


def confusion_block(confusion: Confusion) -> Chart | Table:
    """Return a heat map, or the commonest confusions where there are too many classes for one."""
    labels = tuple(str(label) for label in confusion.labels)
    if len(labels) > MOST_CLASSES:
        return _commonest(labels, confusion)
    rows = [
        [label, *(number.count(value) for value in counts), number.count(sum(counts))]
        for label, counts in zip(labels, confusion.counts, strict=True)
    ]
    columns = ("true \\ decided", *labels, "rows")
    return Chart(
        title="Which class is taken for which",
        description="Rows by true class (down) and decided class (across); the shade is the share "
        "of the true class.",
        drawing=Heat(labels, confusion.counts),
        table=table(columns, rows, numeric=range(1, len(columns))),
    )


def _commonest(labels: tuple[str, ...], confusion: Confusion) -> Table:
    pairs = [
        (value, true, decided)
        for true, counts in zip(labels, confusion.counts, strict=True)
        for decided, value in zip(labels, counts, strict=True)
        if value and true != decided
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [[true, decided, number.count(value)] for value, true, decided in pairs[:MOST_CLASSES]]
    caption = f"The commonest confusions among {len(labels)} classes"
    return table(("True", "Decided", "Rows"), rows, caption=caption, numeric=(2,))


def _classes(classes: Sequence[ClassQuality]) -> Table:
    """Return recall and precision by class, the least recall first where there are too many."""
    shown = list(classes)
    if len(shown) > MOST_CLASSES:
        shown = sorted(shown, key=lambda each: (not each.n, each.recall.value or 0.0))
    left = len(shown) - MOST_CLASSES
    more = f" {number.plural(left, 'more class', 'more classes')} in the record." * (left > 0)
    rows = [
        [
            str(each.label),
            each.n,
            cell(each.decided, "bad" if each.n and not each.decided else ""),
            number.metric_text(each.recall) if each.n else None,
            number.metric_text(each.precision) if each.decided else None,
        ]
        for each in shown[:MOST_CLASSES]
    ]
    level = f"{classes[0].recall.level * 100:g} %"
    return table(
        ("Class", "Rows", "Decided", "Recall", "Precision"),
        rows,
        caption="What is found of each class",
        numeric=(1, 2, 3, 4),
        note=f"Recall: of the rows of the class; precision: of those decided. In brackets Wilson's "
        f"{level} interval.{more}",
    )


def curve_charts(curves: Sequence[Curve]) -> list[Chart]:
    """Return one chart for all curves of the same axes."""
    ordered = sorted(curves, key=lambda curve: (curve.x_title, curve.y_title))
    groups = [list(group) for _, group in groupby(ordered, lambda c: (c.x_title, c.y_title))]
    first = {id(curve): place for place, curve in enumerate(curves)}
    groups.sort(key=lambda group: min(first[id(curve)] for curve in group))
    return [_curve_chart(group) for group in groups]


def _curve_chart(group: list[Curve]) -> Chart:
    shown = group[:MOST_LINES]
    lines = [Line(_curve_name(curve), curve.x, curve.y) for curve in shown]
    words = " ".join(curve.name for curve in shown).lower()
    square = all(0 <= v <= 1 for curve in shown for v in (*curve.x, *curve.y))
    if square and any(word in words for word in _DIAGONAL):
        name = "chance" if "roc" in words else "perfectly calibrated"
        lines.append(Line(name, (0.0, 1.0), (0.0, 1.0), reference=True))
    x, y = shown[0].x_title, shown[0].y_title
    left = f" {len(group) - len(shown)} more in the record." if len(group) > len(shown) else ""
    return Chart(
        title=_curve_title(shown[0].name),
        description=f"{y} by {x}.{left}",
        drawing=Lines(tuple(lines), x, y, square),
        table=_points(shown),
    )


def _curve_name(curve: Curve) -> str:
    _, _, rest = curve.name.partition(":")
    return rest.strip() or "model"


def _curve_title(name: str) -> str:
    stem = name.partition(":")[0].strip().replace("_", " ")
    known = {
        "roc": "ROC curve",
        "pr": "Precision and recall",
        "precision-recall": "Precision and recall",
        "calibration": "Calibration",
        "reliability": "Calibration",
    }
    return known.get(stem.lower(), stem[:1].upper() + stem[1:])


def _points(curves: Sequence[Curve]) -> Table:
    rows = []
    for curve in curves:
        step = max(1, len(curve.x) // 20)
        picked = list(zip(curve.x, curve.y, strict=True))[::step]
        rows += [[_curve_name(curve), number.plain(x), number.plain(y)] for x, y in picked]
    columns = ("Curve", curves[0].x_title, curves[0].y_title)
    return table(columns, rows, numeric=(1, 2), note="Every few points; the record has all.")


def _folds(record: AssessRecord) -> Details:
    names = list(dict.fromkeys(m.name for fold in record.folds for m in fold.metrics))
    repeated = any(fold.repeat for fold in record.folds)
    rows = [
        [
            str(fold.fold) if not repeated else f"{fold.repeat + 1}.{fold.fold}",
            fold.n_train,
            fold.n_test,
            *(metric_value(find(fold.metrics, name)) for name in names),
        ]
        for fold in record.folds
    ]
    columns = (
        "Fold",
        "Rows to train",
        "Rows to test",
        *(number.metric_title(name) for name in names),
    )
    title = f"Cross-validation, {number.plural(len(rows), 'fold')}"
    whole = table(columns, [[cell(v) for v in row] for row in rows], numeric=range(len(columns)))
    return Details(title, (whole,))
