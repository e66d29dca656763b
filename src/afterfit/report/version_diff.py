"""The page of a version diff: what it means for callers, for answers, for speed and for size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from afterfit.core.metric import Metric, in_percent
from afterfit.records.diff import Direction, MetricPair, RowsCompared
from afterfit.report import number
from afterfit.report.page import (
    Bars,
    Block,
    Cell,
    Chart,
    Figure,
    Intervals,
    Page,
    Range,
    Section,
    Tone,
    Verdict,
)
from afterfit.report.parts import code, metric_value, note, table

__all__ = ["Changed", "Sides", "diff_page"]

TONES: dict[Direction, Tone] = {"improved": "good", "regressed": "bad", "cannot tell": "muted"}
ALONE = ("Metric", "Step", "Of", "Old", "New")
OTHERS = ("baseline:", "candidate:")
FILE_COLUMNS = ("File", "State", "Old", "New")


class Changed(Protocol):
    """One difference; the registry's ``Change`` is one."""

    @property
    def where(self) -> str: ...  # noqa: D102 - the class tells
    @property
    def old(self) -> str: ...  # noqa: D102
    @property
    def new(self) -> str: ...  # noqa: D102
    @property
    def breaking(self) -> bool: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102


class Sides(NamedTuple):
    """All that the page shows: names with digests, and what differs, each part by itself.

    ``files`` are (path, state, old bytes, new bytes), ``metrics`` (step, name, scope, old, new) of
    the records; ``rows`` is what both said of the same rows, None where none were given.
    """

    old: str
    new: str
    digests: tuple[str, str]
    signature: Sequence[Changed]
    variant: Sequence[Changed]
    dependencies: Sequence[Changed]
    settings: Sequence[Changed]
    files: Sequence[tuple[str, str, int | None, int | None]]
    metrics: Sequence[tuple[str, str, str, Metric | None, Metric | None]]
    sizes: tuple[int, int]
    skipped: Sequence[str]
    rows: RowsCompared | None


def diff_page(sides: Sides) -> Page:
    """Return the page: the verdict, then callers, answers, speed, contents and records."""
    sections = [_callers(sides)]
    if sides.rows is not None:
        sections += [_quality(sides, sides.rows), _answers(sides.rows), _speed(sides.rows)]
    sections += [_contents(sides), _records(sides)]
    return Page(
        kind="record",
        title=f"{sides.old} → {sides.new}",
        subtitle=f"sha256:{sides.digests[0][:12]} → sha256:{sides.digests[1][:12]}",
        verdict=_verdict(sides),
        figures=tuple(_figures(sides)),
        sections=tuple(sections),
        footer="Intervals are each for itself: of twenty at 95 %, one misses by chance.",
    )


def _verdict(sides: Sides) -> Verdict:
    breaking = sum(change.breaking for change in sides.signature)
    callers = (
        f"{number.plural(breaking, 'change')} of the signature "
        f"{'breaks' if breaking == 1 else 'break'} callers"
        if breaking
        else "no change of the signature breaks callers"
    )
    if sides.digests[0] == sides.digests[1]:
        return Verdict("the same", "Both are the same bytes.", "info")
    if sides.rows is None:
        word: tuple[str, Tone] = ("breaking", "bad") if breaking else ("compatible", "info")
        told = "their answers were not compared, as no rows were given (--data)"
        return Verdict(word[0], f"{_sentence(callers)}; {told}.", word[1])
    worse = [pair.name for pair in sides.rows.among("regressed")]
    better = [pair.name for pair in sides.rows.among("improved")]
    unsure = [pair.name for pair in sides.rows.among("cannot tell")]
    parts = [
        f"{word}: {', '.join(number.metric_title(name) for name in names)}"
        for word, names in (("regressed", worse), ("improved", better), ("cannot tell", unsure))
        if names
    ]
    sentence = "; ".join([*parts, callers])
    if worse or breaking:
        return Verdict("regressed" if worse else "breaking", f"{_sentence(sentence)}.", "bad")
    if better:
        return Verdict("improved", f"{_sentence(sentence)}.", "good")
    return Verdict("cannot tell", f"{_sentence(sentence)}.", "warn")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _figures(sides: Sides) -> list[Figure]:
    found = []
    rows = sides.rows
    if rows is not None:
        flips = rows.changed
        shown = _share(flips) if flips.name == "flips" else number.metric_text(flips)
        label = "Decisions that flip" if flips.name == "flips" else "Mean change of the value"
        found.append(Figure(label, shown, f"{number.count(rows.n)} rows"))
        if rows.latency:
            gap = rows.latency[-1]
            found.append(
                Figure("Latency of one row, new less old", number.metric_text(gap),
                       f"paired median, n = {gap.n}", _latency_tone(gap))
            )  # fmt: skip
    old, new = sides.sizes
    change = "" if old == new or not old else f"{100 * (new / old - 1):+.0f} %"
    found.append(Figure("Size", f"{number.size(old)} → {number.size(new)}", change))
    return found


def _share(metric: Metric) -> str:
    if metric.value is None:
        return number.NOTHING
    low, high = (100 * (bound or 0.0) for bound in (metric.low, metric.high))
    return f"{in_percent(metric.value, 1)} [{low:.1f}, {high:.1f}]"


def _latency_tone(gap: Metric) -> Tone:
    if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high:
        return "muted"
    return "bad" if gap.low > 0 else "good"


def _callers(sides: Sides) -> Section:
    if not sides.signature:
        told = note("Requests and answers keep their form.", "good")
        return Section("callers", "For callers", (told,))
    rows = [
        (
            Cell("breaking", "bad") if change.breaking else Cell("compatible", "muted"),
            code(change.where),
            change.old,
            change.new,
            change.why,
        )
        for change in sorted(sides.signature, key=lambda each: not each.breaking)
    ]
    columns = ("For callers", "What", "Old", "New", "Why")
    return Section("callers", "For callers", (table(columns, rows),))


def _quality(sides: Sides, rows: RowsCompared) -> Section:
    if not rows.metrics:
        why = next((s for s in rows.skipped if s.startswith("metrics")), "not measured")
        return Section("quality", "Quality on the same rows", state="not_run", why=why)
    shown = [
        (
            Cell(pair.direction, TONES[pair.direction]),
            number.metric_title(pair.name),
            pair.old,
            pair.new,
            _gain(pair),
            pair.gain.method,
            number.needed(pair.needed_n)
            if pair.direction == "cannot tell" and pair.needed_n
            else None,
        )
        for pair in rows.metrics
    ]
    columns = ("Verdict", "Metric", sides.old, sides.new, "Gain (paired)", "Method",
               "Rows that would show no loss")  # fmt: skip
    basis = f"{number.plural(rows.labelled, 'labelled row')} of {rows.source}; above 0 is better."
    blocks: list[Block] = [table(columns, shown, numeric=(2, 3, 4), note=basis)]
    ranges = tuple(
        Range(number.metric_title(p.name), "gain", p.gain.value, p.gain.low, p.gain.high)
        for p in rows.metrics
        if p.gain.value is not None and p.gain.low is not None and p.gain.high is not None
    )
    if ranges:
        cells = [(r.label, r.value, r.low, r.high) for r in ranges]
        blocks.append(
            Chart(
                title="How much better the new version is",
                description="Paired gains with their intervals; one that holds 0 cannot be told.",
                drawing=Intervals(
                    (*ranges, Range("no change", "gain", 0.0, 0.0, 0.0)),
                    x_title="gain, above 0 is better",
                ),
                table=table(("Metric", "Gain", "Low", "High"), cells, numeric=(1, 2, 3)),
                repeats=True,
            )
        )
    return Section("quality", "Quality on the same rows", tuple(blocks))


def _gain(pair: MetricPair) -> str:
    if not pair.share or pair.gain.value is None:
        return number.metric_text(pair.gain)
    bounds = [100 * bound for bound in (pair.gain.low, pair.gain.high) if bound is not None]
    spread = f" [{', '.join(f'{bound:.1f}' for bound in bounds)}]" if bounds else ""
    return f"{in_percent(pair.gain.value, 1)}{spread}"


def _answers(rows: RowsCompared) -> Section:
    """Return what changes in the answers, and in which rows more than elsewhere."""
    blocks: list[Block] = []
    if rows.flips:
        shown = [
            (flip.old, flip.new, flip.n, in_percent(flip.n / rows.n, 1), flip.was_right,
             flip.is_right)
            for flip in rows.flips
        ]  # fmt: skip
        columns = ("Was", "Is", "Rows", "Share", "Was right", "Is right")
        blocks.append(table(columns, shown, numeric=(2, 3, 4, 5), caption="Decisions that flip"))
    elif rows.changed.name == "flips":
        blocks.append(note("No decision flips on these rows.", "good"))
    if rows.largest is not None:
        what = "probability" if rows.changed.name == "flips" else "value"
        told = f"The largest change of a {what} in one row is {number.plain(rows.largest)}."
        blocks.append(note(told, ""))
    blocks += _slices(rows)
    return Section("answers", "Answers that change", tuple(blocks))


def _slices(rows: RowsCompared) -> list[Block]:
    why = [text for text in rows.skipped if text.startswith("slices")]
    if not rows.slices:
        tested = number.plural(rows.tested, "candidate")
        none = "In no part of the rows answers surely change more than elsewhere"
        told = why or [f"{none} ({tested} tested on rows that did not choose them)."]
        return [note("; ".join(told))]
    flips = rows.changed.name == "flips"
    shown = [
        (code(s.name), s.n, _value(s.inside, flips), _value(s.outside, flips),
         _value(s.gap, flips), number.plain(s.adjusted))
        for s in rows.slices
    ]  # fmt: skip
    columns = ("Rows where", "n", "Inside", "Elsewhere", "Difference", "Adjusted p")
    remark = (
        f"Found on one half, measured on the other; {number.plural(rows.tested, 'candidate')} "
        "tested, Benjamini and Hochberg at 2 %."
    )
    title = "Where more decisions flip" if flips else "Where values change more"
    scale = 100 if flips else 1
    values = tuple(scale * (s.inside.value or 0.0) for s in rows.slices)
    names = tuple(s.name for s in rows.slices)
    cells = list(zip(names, values, strict=True))
    axis = "rows that flip, %" if flips else "mean change"
    chart = Chart(
        title=title,
        description=f"{_sentence(axis)}, in each part and over all rows.",
        drawing=Bars((*names, "all rows"), (*values, scale * (rows.changed.value or 0.0)), axis,
                     "all rows"),
        table=table(("Rows where", axis), cells, numeric=(1,)),
        repeats=True,
    )  # fmt: skip
    return [table(columns, shown, numeric=(1, 2, 3, 4, 5), caption=title, note=remark), chart]


def _value(metric: Metric, flips: bool) -> str:  # noqa: FBT001 - private
    return _share(metric) if flips else number.metric_text(metric)


def _speed(rows: RowsCompared) -> Section:
    if not rows.latency:
        return Section("speed", "Speed", state="not_run", why="nothing to measure")
    shown = [(m.scope, metric_value(m), number.interval_text(m), m.n) for m in rows.latency]
    told = (
        "One row at a time, both in turn on the same rows and on this machine, each in a process "
        "of its own: the way there and back is in the medians, and out of their difference."
    )
    columns = ("Of", "Median", "95 % interval", "n")
    return Section("speed", "Speed", (table(columns, shown, numeric=(1, 2, 3), note=told),))


def _contents(sides: Sides) -> Section:
    blocks: list[Block] = []
    for title, changes, same in (
        ("Form of the model", sides.variant, "The form of the model is the same."),
        ("Libraries of the lock", sides.dependencies, "The locked libraries are the same."),
        ("Serving settings of the load test", sides.settings, "The serving settings are the same."),
    ):
        rows = [(code(each.where), each.old or None, each.new or None) for each in changes]
        blocks.append(table(("What", "Old", "New"), rows, caption=title) if rows else note(same))
    files = [(code(path), state, _bytes(old), _bytes(new)) for path, state, old, new in sides.files]
    if files:
        about = "Files and libraries are all that the bill of materials of an image lists of it."
        blocks.append(
            table(FILE_COLUMNS, files, numeric=(2, 3), caption="Files of the bundle", note=about)
        )
    return Section("contents", "What is in it", tuple(blocks))


def _bytes(size: int | None) -> str | None:
    return None if size is None else number.size(size)


def _records(sides: Sides) -> Section:
    """Return what moved in the records; what is about other models is left to the JSON."""
    rows = [
        (number.metric_title(name), step, scope, metric_value(old), metric_value(new))
        for step, name, scope, old, new in sides.metrics
        if not scope.startswith(OTHERS) and metric_value(old) != metric_value(new)
    ]
    told = "Each was measured by itself, maybe on other rows: no test of a difference was made."
    blocks: list[Block] = [table(ALONE, rows, numeric=(3, 4), note=told)] if rows else []
    blocks += [note(text) for text in sides.skipped]
    return Section("records", "What their records say", tuple(blocks))
