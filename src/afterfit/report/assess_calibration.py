"""What a person sees of calibration and of thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afterfit.core.metric import Metric
from afterfit.records.assess import AssessRecord
from afterfit.records.assess_calibration import (
    BrierScore,
    Calibration,
    Costs,
    Recalibration,
    Reliability,
    ThresholdCurve,
)
from afterfit.report import number
from afterfit.report.page import Block, Chart, Details, Line, Lines, Table
from afterfit.report.parts import metrics_table, table

MOST_ROWS_SHOWN = 20
_METHODS = {
    "chosen": "chosen on other rows",
    "temperature": "temperature",
    "platt": "Platt's line",
    "isotonic": "rising steps (isotonic)",
    "": "none",
}


def calibration_blocks(record: AssessRecord) -> tuple[Block, ...]:
    """Return what shows whether probabilities come true, and what thresholds decide and cost."""
    blocks: list[Block] = []
    if record.calibration is not None:
        blocks += _calibration(record.calibration)
    if record.costs is not None:
        blocks += [_costs(record.costs), _cost_chart(record.costs)]
    if record.thresholds is not None:
        blocks.append(_threshold_chart(record.thresholds))
    return tuple(blocks)


def _calibration(found: Calibration) -> list[Block]:
    blocks: list[Block] = []
    if found.reliability:
        blocks += [_reliability_chart(found), _errors(found.reliability)]
    if found.line:
        blocks.append(_line(found.line))
    if found.brier is not None:
        blocks.append(_brier(found.brier))
    if found.recalibrations:
        blocks.append(_recalibrations(found))
    if len(found.reliability) > 1:
        bins = tuple(_bins(one, caption=one.of) for one in found.reliability[1:])
        title = f"Calibration of {number.plural(len(bins), 'class', 'classes')}"
        blocks.append(Details(title, bins))
    return blocks


def _reliability_chart(found: Calibration) -> Chart:
    first, after = found.reliability[0], found.after
    lines = [_reliability_line(first, first.of)]
    if after is not None and found.best:
        lines.append(_reliability_line(after, f"after {_METHODS[found.best]}", band=False))
    lines.append(Line("perfectly calibrated", (0.0, 1.0), (0.0, 1.0), reference=True))
    return Chart(
        title="Do probabilities come true?",
        description=f"Share of rows that came true by the mean probability of {first.words}, in "
        f"{number.plural(len(first.bins), 'bin')} of about equally many rows (n = "
        f"{number.count(first.n)}); the band is Wilson's {first.level * 100:g} % interval.",
        drawing=Lines(tuple(lines), "mean probability", "share that came true", unit_square=True),
        table=_bins(first),
    )


def _reliability_line(one: Reliability, name: str, *, band: bool = True) -> Line:
    return Line(
        name,
        tuple(b.score for b in one.bins),
        tuple(b.observed for b in one.bins),
        low=tuple(b.low for b in one.bins) if band else (),
        high=tuple(b.high for b in one.bins) if band else (),
    )


def _bins(one: Reliability, *, caption: str = "") -> Table:
    rows = [
        [number.plain(b.score), number.plain(b.observed), _span(b.low, b.high), b.n]
        for b in one.bins
    ]
    columns = ("Mean probability", "Came true", "Interval", "Rows")
    return table(columns, rows, caption=caption, numeric=range(4))


def _span(low: float, high: float) -> str:
    return f"[{number.plain(low)}, {number.plain(high)}]"


def _errors(found: Sequence[Reliability]) -> Table:
    rows = [
        [
            one.of,
            number.plain(one.error),
            number.plain(one.ece),
            number.plain(one.expected_ece),
            number.plain(one.p_value),
            one.n,
        ]
        for one in found[:MOST_ROWS_SHOWN]
    ]
    columns = ("Class", "Error", "Plain ECE", "ECE by chance", "p", "n")
    return table(
        columns,
        rows,
        caption="How far probabilities are off",
        numeric=range(1, len(columns)),
        note="Error: root mean square over the bins after chance was taken off. The plain ECE is "
        "too large even for a calibrated model, which would show the ECE by chance on as many "
        f"rows; p: how often labels drawn from the probabilities ({found[0].replicates} draws) are "
        "as far off. No interval is claimed for either.",
    )


def _line(line: Sequence[Metric]) -> Table:
    note = (
        "Slope 1 and intercept 0 are right; below slope 1 probabilities are too extreme."
        if line[-1].name == "calibration_intercept"
        else "Mean error 0 and slope 1 are right; below slope 1 predictions spread too much. The "
        "error is prediction less truth."
    )
    whole = metrics_table(line, caption="The truth as a line of what was said", scope=False)
    return Table(whole.columns, whole.rows, whole.caption, whole.numeric, note)


def _brier(brier: BrierScore) -> Table:
    row = [
        number.plain(value)
        for value in (
            brier.value,
            brier.reliability,
            brier.resolution,
            brier.uncertainty,
            brier.within,
        )
    ]
    columns = ("Brier score ↓", "Reliability ↓", "Resolution", "Uncertainty", "Within bins", "n")
    return table(
        columns,
        [[*row, brier.n]],
        caption="What the Brier score is made of",
        numeric=range(6),
        note="Brier score = reliability - resolution + uncertainty + within bins, for "
        f"{brier.bins} bins of equal numbers of rows: with other bins the parts are others. "
        "Reliability is what recalibration could gain, uncertainty what a constant answer has.",
    )


def _recalibrations(found: Calibration) -> Table:
    rows = [_recalibration(one, found) for one in found.recalibrations]
    level = found.recalibrations[0].losses[0].gain
    columns = (
        "Map",
        "Log loss ↓",
        "gained (nats)",
        "Brier score ↓",
        "gained",
        "Fitted on all rows",
    )
    first = found.recalibrations[0].losses
    return table(
        columns,
        rows,
        caption="What recalibration would change",
        numeric=range(1, 5),
        note=f"As it is: log loss {number.plain(first[0].before)} nats, Brier score "
        f"{number.plain(first[1].before)}. Each map was fitted on four fifths of the rows, or on "
        f"earlier ones, and judged on the others (n = {number.count(level.n)}); gains are paired, "
        f"with {level.level * 100:g} % intervals. All keep the order of the rows.",
    )


def _recalibration(one: Recalibration, found: Calibration) -> list[object]:
    log_loss, brier = one.losses
    name = _METHODS[one.method]
    if one.method == "chosen":
        name = f"the best, {name}"
    elif one.method == found.best:
        name += " (best)"
    fitted = ", ".join(f"{key} {number.plain(value)}" for key, value in one.parameters.items())
    return [
        name,
        number.plain(log_loss.after),
        _gain(log_loss.gain),
        number.plain(brier.after),
        _gain(brier.gain),
        fitted,
    ]


def _gain(gain: Metric) -> str:
    if gain.value is None:
        return number.NOTHING
    return f"{number.plain(gain.value)} {number.interval_text(gain)}".rstrip()


def _costs(costs: Costs) -> Table:
    rows = [
        ["present", number.plain(costs.present), *_cost(costs.at_present), number.NOTHING],
        ["cheapest", number.plain(costs.proposed), *_cost(costs.at_proposed), _gain(costs.saving)],
        [
            "of a calibrated model",
            number.plain(costs.theoretical),
            *_cost(costs.at_theoretical),
            _gain(costs.saving_theoretical),
        ],
    ]
    level = f"{costs.at_present.level * 100:g} % interval"
    columns = ("Threshold", "From", "Cost per 1,000 rows ↓", level, "n", "Saved per 1,000 rows")
    return table(
        columns,
        rows,
        caption="What decisions cost",
        numeric=range(1, len(columns)),
        note=f"A miss costs {costs.false_negative:g}, a false alarm {costs.false_positive:g}"
        + _gains(costs)
        + ". The cheapest threshold is that of all rows; its cost is judged on rows that did not "
        "choose it. Savings are paired.",
    )


def _gains(costs: Costs) -> str:
    if not costs.true_positive and not costs.true_negative:
        return ""
    return f"; a hit gains {costs.true_positive:g}, a right no {costs.true_negative:g}"


def _cost(metric: Metric) -> list[object]:
    value = number.NOTHING if metric.value is None else number.plain(metric.value)
    return [value, number.interval_text(metric) or None, metric.n]


def _cost_chart(costs: Costs) -> Chart:
    curve = costs.curve
    top = max(curve.high)
    marks = [
        Line(f"{name}: {at:g}", (at, at), (min(0.0, *curve.low), top), reference=name == "present")
        for name, at in (("cheapest", costs.proposed), ("present", costs.present))
    ]
    rows = [
        [number.plain(t), number.plain(c), _span(low, high)]
        for t, c, low, high in _some(zip(curve.thresholds, curve.cost, curve.low, curve.high,
                                         strict=True))
    ]  # fmt: skip
    return Chart(
        title="Cost by threshold",
        description=f"Cost of 1,000 rows by threshold (n = {number.count(costs.at_present.n)}); "
        f"the band holds {curve.level * 100:g} % of {number.count(curve.replicates)} bootstrap "
        "draws at each threshold.",
        drawing=Lines(
            (Line("cost", curve.thresholds, curve.cost, low=curve.low, high=curve.high), *marks),
            "threshold",
            "cost per 1,000 rows",
        ),
        table=table(("Threshold", "Cost", "Band"), rows, numeric=range(3)),
    )


def _threshold_chart(curve: ThresholdCurve) -> Chart:
    columns = (
        ("precision", curve.precision),
        ("recall", curve.recall),
        ("F1", curve.f1),
        ("rows selected", curve.selected),
    )
    lines = [Line(name, curve.thresholds, values) for name, values in columns]
    at = (curve.present, curve.present)
    lines.append(Line(f"present: {curve.present:g}", at, (0.0, 1.0), reference=True))
    rows = [
        [number.plain(value) for value in values]
        for values in _some(zip(curve.thresholds, *(v for _, v in columns), strict=True))
    ]
    return Chart(
        title="What each threshold decides",
        description="Precision, recall, F1 and the share of rows that are decided positive, by "
        f"threshold (n = {number.count(curve.n)}).",
        drawing=Lines(tuple(lines), "threshold", "share"),
        table=table(("Threshold", "Precision", "Recall", "F1", "Selected"), rows,
                    numeric=range(5)),
    )  # fmt: skip


def _some(rows: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return every few of the rows, so that a person reads about twenty."""
    found = list(rows)
    return found[:: max(1, len(found) // MOST_ROWS_SHOWN)]
