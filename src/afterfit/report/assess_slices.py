"""What shows parts of the rows: weak slices, and the groups of columns that the user named."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import Metric, find, in_percent
from afterfit.records.assess import AssessRecord
from afterfit.records.assess_slices import Disparity, Fairness, Slice, SliceSearch, SliceVerdict
from afterfit.report import number
from afterfit.report.page import Block, Cell, Chart, Intervals, Range, Table, Tone
from afterfit.report.parts import metric_value, note, table

__all__ = ["slices_blocks"]

VERDICTS: dict[SliceVerdict, tuple[str, Tone]] = {
    "weak": ("weak", "bad"),
    "hard": ("hard, and foreseen", "warn"),
    "slight": ("worse by little", "info"),
    "chance": ("not surely worse", "muted"),
    "few": ("too few rows", "muted"),
}
OUTCOMES: dict[str, tuple[str, Tone]] = {
    "beyond": ("beyond", "bad"),
    "perhaps": ("perhaps beyond", "warn"),
    "unsure": ("within, not surely", ""),
    "within": ("within", "good"),
}
MOST_DRAWN = 8
"""More rows than this make a drawing that nobody reads."""

_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def slices_blocks(record: AssessRecord) -> tuple[Block, ...]:
    """Return the slices that were tested, and the groups of each named column."""
    blocks: list[Block] = []
    if record.slices is not None:
        blocks += _slices(record.slices)
    for view in record.fairness:
        blocks += _groups(view)
    return tuple(blocks)


def _slices(search: SliceSearch) -> list[Block]:
    if not search.slices:
        text = (
            f"No part of the rows was a candidate for a weak slice, among "
            f"{number.plural(search.columns, 'column')} and pairs of them."
        )
        return [note(text)]
    shown = [part for part in search.slices if part.verdict in ("weak", "hard", "slight")]
    blocks: list[Block] = [_slice_chart(search, shown)] if shown else []
    return [*blocks, _slice_table(search)]


def _loss_word(search: SliceSearch) -> str:
    return "share of errors" if search.loss == "error_rate" else "mean absolute error"


def _slice_chart(search: SliceSearch, shown: Sequence[Slice]) -> Chart:
    ranges = []
    for part in shown[:MOST_DRAWN]:
        for series, metric in (("in the slice", part.inside), ("elsewhere", part.outside)):
            if drawn := _range(part.name, series, metric):
                ranges.append(drawn)
    rows = [[r.label, r.series, *map(number.plain, (r.value, r.low, r.high))] for r in ranges]
    word = _loss_word(search)
    return Chart(
        title="Where the model is worse",
        description=f"The {word} in each slice and in all other rows, with intervals, on "
        f"{number.plural(search.n_confirmation, 'row')} that did not choose the slices.",
        drawing=Intervals(tuple(ranges), x_title=word),
        table=table(("Slice", "Rows", "Value", "Low", "High"), rows, numeric=(2, 3, 4)),
        repeats=True,
    )


def _slice_table(search: SliceSearch) -> Table:
    foretold = any(part.foreseen is not None for part in search.slices)
    rows = [
        [
            Cell(part.name),
            Cell(*VERDICTS[part.verdict]),
            f"{number.count(part.n)} ({in_percent(part.share, 1)})",
            _value(part.inside, search),
            *([_share(part.foreseen)] if foretold else []),
            _value(part.outside, search),
            _with_interval(part.gap, search),
            *([_with_interval(part.beyond, search)] if foretold else []),
            _p(part.beyond_adjusted if foretold else part.adjusted),
        ]
        for part in search.slices
    ]
    errors = "Errors" if search.loss == "error_rate" else "Mean absolute error"
    columns = [
        "Slice",
        "Verdict",
        "Rows",
        errors,
        *(["Foreseen"] if foretold else []),
        "Elsewhere",
        "Difference",
        *(["Not foreseen"] if foretold else []),
        "Adjusted p",
    ]
    return table(
        columns,
        rows,
        caption="Slices of the rows",
        numeric=range(2, len(columns)),
        note=_how(search, foretold=foretold),
    )


def _how(search: SliceSearch, *, foretold: bool) -> str:
    level = search.slices[0].gap.level * 100
    searched = (
        f"Searched on {number.plural(search.n_discovery, 'row')} for parts of at least "
        f"{number.plural(search.least, 'row')} that one or two of "
        f"{number.plural(search.columns, 'column')} describe; measured on "
        f"{number.count(search.n_confirmation)} other rows. {level:g} % intervals; p-values "
        "of one side, adjusted for all slices of the table (Benjamini and Hochberg)."
    )
    parts = [searched]
    if foretold:
        parts.append(
            "Foreseen: the errors that the model's own probabilities foretell there; a slice is "
            "weak where there are markedly more. The p-value is that of this difference."
        )
    if search.clipped is not None:
        parts.append(f"Absolute errors above {number.plain(search.clipped)} count as it.")
    if not search.whole:
        parts.append("The time was over before all pairs of columns were seen.")
    return " ".join(parts)


def _value(metric: Metric, search: SliceSearch) -> Cell:
    if search.loss == "error_rate":
        return Cell(_share(metric.value))
    return metric_value(metric)


def _share(value: float | None) -> str:
    return number.NOTHING if value is None else in_percent(value, 1)


def _with_interval(metric: Metric | None, search: SliceSearch) -> str:
    """Return a difference with its interval, of rates in points."""
    if metric is None or metric.value is None:
        return number.NOTHING
    scale = 100.0 if search.loss == "error_rate" else 1.0
    unit = " points" if search.loss == "error_rate" else ""
    value = f"{metric.value * scale:+.3g}{unit}"
    if metric.low is None or metric.high is None:
        return value
    low, high = (f"{bound * scale:+.3g}" for bound in (metric.low, metric.high))
    return f"{value} [{low}, {high}]".replace("-", number.MINUS)


def _p(value: float | None) -> str:
    if value is None:
        return number.NOTHING
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _groups(view: Fairness) -> list[Block]:
    metrics = [metric.name for metric in view.groups[0].metrics] if view.groups else []
    rows = [
        [
            Cell(group.name),
            group.n,
            *(_group_cell(find(group.metrics, name), group.n) for name in metrics),
        ]
        for group in view.groups
    ]
    titles = [number.metric_title(name).capitalize() for name in metrics]
    left = (
        f"{number.plural(view.left_out, 'row')} of other groups left out." if view.left_out else ""
    )
    groups = table(
        ("Group", "Rows", *titles),
        rows,
        caption=f"Groups by {view.column}",
        numeric=range(1, len(metrics) + 2),
        note=f"{_level(view)} {left}".strip(),
    )
    # Three series have colours that can be told apart: the table has accuracy as well.
    rates = [name for name in metrics if name in _RATES] if len(metrics) > 1 else metrics
    drawn = [
        _range(group.name, number.metric_title(name), metric)
        for group in view.groups[:MOST_DRAWN]
        for name in rates
        if (metric := find(group.metrics, name)) is not None
    ]
    ranges = [each for each in drawn if each is not None]
    blocks: list[Block] = []
    if ranges and "accuracy" in metrics:
        blocks.append(_group_chart(view, ranges, groups))
    else:
        blocks.append(groups)
    if view.disparities:
        blocks.append(_disparities(view))
    return blocks


def _group_chart(view: Fairness, ranges: Sequence[Range], groups: Table) -> Chart:
    return Chart(
        title=f"Groups by {view.column}",
        description="What the model decides of each group, by what is true, with "
        f"intervals.{' The largest groups.' if len(view.groups) > MOST_DRAWN else ''}",
        drawing=Intervals(tuple(ranges), x_title="share of rows"),
        table=groups,
    )


def _level(view: Fairness) -> str:
    levels = {metric.level for group in view.groups for metric in group.metrics}
    if not levels:
        return ""
    return f"In brackets {min(levels) * 100:g} % intervals, and the rows where fewer than all."


def _group_cell(metric: Metric | None, rows: int) -> str:
    if metric is None or metric.value is None:
        return number.NOTHING
    return number.metric_text(metric, n=metric.n != rows)


def _range(label: str, series: str, metric: Metric) -> Range | None:
    if metric.value is None or metric.low is None or metric.high is None:
        return None
    return Range(label, series, metric.value, metric.low, metric.high)


def _disparities(view: Fairness) -> Table:
    rows = [
        [
            Cell(_MEASURES[each.measure]),
            Cell(each.group),
            Cell(each.reference),
            number.metric_text(each.metric),
            f"{each.metric.level * 100:.4g} %",
            _limit(each),
            Cell(*OUTCOMES[each.outcome]),
            number.needed_count(each.needed_n) if each.needed_n else None,
        ]
        for each in view.disparities
    ]
    columns = (
        "Measure",
        "Group",
        "Beside",
        "Value",
        "Level",
        "Limit",
        "Outcome",
        "Rows that would decide",
    )
    return table(
        columns,
        rows,
        caption=f"Groups by {view.column}, beside the one that fares best",
        numeric=(3, 4, 5, 7),
        note="The level makes the intervals of one measure hold for all pairs of groups at once.",
    )


_MEASURES = {
    "selection_ratio": "ratio of selection rates",
    "true_positive_gap": "true positive rate, gap",
    "false_positive_gap": "false positive rate, gap",
    "accuracy_gap": "accuracy, gap",
    "mae_gap": "mean absolute error, gap",
    "mean_error_gap": "mean error, gap",
}


def _limit(each: Disparity) -> str:
    side = "≥" if each.measure == "selection_ratio" else "≤"
    return f"{side} {number.plain(each.limit)}"
