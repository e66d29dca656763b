"""What shows how the model does beside others, and on more training rows."""

from __future__ import annotations

from afterfit.records.assess import AssessRecord
from afterfit.records.assess_generalization import Comparison, Learning
from afterfit.report import number
from afterfit.report.page import Block, Cell, Chart, Line, Lines, Table, Tone
from afterfit.report.parts import cell, metric_value, table

__all__ = ["generalization_blocks"]

TONES: dict[str, Tone] = {
    "superior": "good",
    "non-inferior": "good",
    "inferior": "bad",
    "cannot tell": "warn",
}


def generalization_blocks(record: AssessRecord) -> tuple[Block, ...]:
    """Return the comparisons with other models and the learning curve, where there are any."""
    blocks: list[Block] = []
    if record.comparisons:
        blocks.append(_comparisons(record.comparisons))
    if record.learning is not None:
        blocks.append(_learning(record.learning))
    return tuple(blocks)


def _comparisons(found: tuple[Comparison, ...]) -> Table:
    rows = [
        [
            each.against,
            number.metric_title(each.metric),
            cell(each.ours),
            cell(each.theirs),
            Cell(_gain(each)),
            Cell(_margin(each)),
            Cell(_verdict(each), TONES[each.verdict]),
        ]
        for each in found
    ]
    n = found[0].gain.n
    methods = ", ".join(dict.fromkeys(each.gain.method for each in found))
    note = (
        f"On the same {number.plural(n, 'row')}, in pairs. A gain above 0 is better, whatever the "
        "metric. superior: the gain is surely above 0; non-inferior: a loss is surely below the "
        f"margin; inferior: it is surely worse. Intervals by {methods}."
    )
    columns = ("Beside", "Metric", "Model", "The other", "Gain", "Margin", "Verdict")
    caption = "The model beside others"
    return table(columns, rows, caption=caption, numeric=(2, 3, 4, 5), note=note)


def _gain(each: Comparison) -> str:
    gain = each.gain
    if gain.value is None:
        return "not computed"
    scale, unit = (100.0, " %") if each.share else (1.0, "")
    text = f"{number.plain(scale * gain.value)}{unit}"
    if gain.low is None or gain.high is None:
        return text
    low, high = number.plain(scale * gain.low), number.plain(scale * gain.high)
    return f"{text} ({low} to {high})"


def _margin(each: Comparison) -> str:
    return f"{100 * each.margin:.3g} %" if each.share else number.plain(each.margin)


def _verdict(each: Comparison) -> str:
    if each.verdict == "cannot tell" and each.needed_n:
        return f"cannot tell (needs {number.needed(each.needed_n)})"
    return each.verdict


def _learning(learning: Learning) -> Chart:
    points = [p for p in learning.points if p.metric.value is not None]
    x = tuple(float(point.n_train) for point in points)
    lines = [Line("held-out rows", x, tuple(p.metric.value or 0.0 for p in points))]
    bounded = [p for p in points if p.metric.low is not None and p.metric.high is not None]
    if len(bounded) == len(points):
        low = tuple(p.metric.low or 0.0 for p in points)
        high = tuple(p.metric.high or 0.0 for p in points)
        lines += [Line("low bound", x, low, reference=True)]
        lines += [Line("high bound", x, high, reference=True)]
    first = learning.points[0].metric
    title = number.metric_title(first.name)
    rows = [
        [
            point.n_train,
            metric_value(point.metric),
            number.interval_text(point.metric) or None,
            point.metric.n,
        ]
        for point in learning.points
    ]
    columns = ("Training rows", title, f"{first.level * 100:g} % interval", "Held-out rows")
    return Chart(
        title="Learning curve",
        description=f"{title} on the held-out rows of clones fitted on more and more training "
        "rows, each a part of the next; dashed: the interval, which is of the held-out rows alone.",
        drawing=Lines(tuple(lines), "training rows", title),
        table=table(columns, rows, numeric=(0, 1, 2, 3)),
    )
