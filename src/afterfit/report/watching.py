"""The section of ``monitor``: what came in, what was said, and how far both moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from afterfit.core.fingerprint import OUTPUT, ColumnCounts, Fingerprint
from afterfit.core.metric import in_percent
from afterfit.records.monitor import Distance, MonitorRecord
from afterfit.report import number
from afterfit.report.over_time import over_time
from afterfit.report.page import Block, Cell, Chart, Details, Histogram, Table, Tone
from afterfit.report.parts import code, key_values, metrics_table, note, table, when

MOST_CHARTS = 6
_NAMES = {"jensen_shannon": "Jensen-Shannon"}
FIRST = ("served", "refused", "failed", "label")
FEW_BINS = 8
MOST_BINS = 24


def watching(record: MonitorRecord) -> tuple[Block, ...]:
    """Return counts, live distributions beside the reference, distances and latency."""
    blocks: list[Block] = [_counts(record)]
    if record.metrics:
        blocks.append(metrics_table(record.metrics, caption="Measured"))
    if record.distances:
        blocks.append(_distances(record.distances))
    blocks += over_time(record.points)
    blocks += _charts(record)
    if record.versions:
        blocks.append(_versions(record))
    return tuple(blocks)


def column_title(name: str) -> str:
    """Return what a column of a fingerprint is called; the output has a name of its own."""
    return "the output" if name == OUTPUT else name


def _counts(record: MonitorRecord) -> Block:
    if not record.counts:
        return note("No event was in the log.", "warn")
    period = " to ".join(when(moment) for moment in record.period) if record.period else ""
    tones: dict[str, Tone] = {"failed": "bad", "refused": "warn"}
    items: list[tuple[str, Cell | str]] = [("Period", period)]
    if record.counted:
        items.append(("Live counts, whole hours", " to ".join(map(when, record.counted))))
    for name in sorted(record.counts, key=lambda name: FIRST.index(name) if name in FIRST else 9):
        value = record.counts[name]
        tone: Tone = tones.get(name, "") if value else ""
        items.append((_words(name), Cell(number.count(value), tone)))
    return key_values(*items)


def _distances(distances: Sequence[Distance]) -> Table:
    """Return one row a column, the farthest first; those that were not compared stand last."""
    kinds = list(dict.fromkeys(item.name for item in distances))
    by_column: dict[str, dict[str, Distance]] = {}
    for item in distances:
        by_column.setdefault(item.column, {})[item.name] = item
    order = sorted(by_column.values(), key=lambda found: -_greatest(found))
    rows = []
    for found in order:
        one = next(iter(found.values()))
        values = [_distance(found.get(kind)) for kind in kinds]
        rows.append([_column(one.column), *values, one.n, one.n_ref, one.message])
    columns = ("Column", *(_words(kind) for kind in kinds), "Rows", "Reference rows", "Remark")
    caption = "How far the live rows are from the reference, 0 (alike) to 1 (disjoint)"
    return table(columns, rows, caption=caption, numeric=range(1, len(columns) - 1))


def _greatest(found: Mapping[str, Distance]) -> float:
    values = [item.value for item in found.values() if item.value is not None]
    return values[0] if values else -1.0


def _distance(item: Distance | None) -> Cell:
    if item is None or item.value is None:
        return Cell("not compared", "muted")
    return Cell(number.plain(item.value))


def _column(name: str) -> Cell:
    return Cell("the output") if name == OUTPUT else code(name)


def _charts(record: MonitorRecord) -> list[Chart]:
    if record.reference is None or record.live is None:
        return []
    ranked: dict[str, float] = {}
    for item in record.distances:
        if item.value is not None:
            ranked[item.column] = max(item.value, ranked.get(item.column, 0.0))
    names = sorted(ranked, key=lambda name: (name != OUTPUT, -ranked[name]))
    charts = (_histogram(name, record.reference, record.live) for name in names[:MOST_CHARTS])
    return [chart for chart in charts if chart is not None]


def _histogram(name: str, reference: Fingerprint, live: Fingerprint) -> Chart | None:
    before = reference.output if name == OUTPUT else reference.column(name)
    after = live.output if name == OUTPUT else live.column(name)
    if before is None or after is None or not before.total or not after.total:
        return None
    title = column_title(name)
    labels, first, second = _bins(before, after)
    rows = [
        [label, a, in_percent(a / before.total, 1), b, in_percent(b / after.total, 1)]
        for label, a, b in zip(labels, first, second, strict=True)
    ]
    columns = ("Bin", "Reference", "Share", "Live", "Share")
    return Chart(
        title=title[:1].upper() + title[1:] if name == OUTPUT else title,
        description=f"{title}: {number.plural(after.total, 'live row')} beside "
        f"{number.plural(before.total, 'reference row')}.",
        drawing=_drawing(title, before, after, labels, first, second),
        table=table(columns, rows, numeric=(1, 2, 3, 4)),
    )


def _bins(before: ColumnCounts, after: ColumnCounts) -> tuple[list[str], list[int], list[int]]:
    """Return bins by name with the counts of both; special values last, where there are any."""
    if before.kind in ("category", "text"):
        names = sorted(before.categories, key=lambda name: -before.categories[name])[:MOST_BINS]
        labels = list(names)
        first = [before.categories[name] for name in names]
        second = [after.categories.get(name, 0) for name in names]
        rest = [
            sum(c.categories.values()) - sum(part) for c, part in ((before, first), (after, second))
        ]
        extra = [("other", before.other + before.new + rest[0], after.other + after.new + rest[1])]
    else:
        labels = _number_labels(before.edges)
        first, second = list(before.counts), list(after.counts)
        infinite = [c.pinf + c.ninf for c in (before, after)]
        extra = [("infinite", infinite[0], infinite[1])]
    extra.append(("missing", before.missing + before.nan, after.missing + after.nan))
    for label, a, b in extra:
        if a or b:
            labels.append(label)
            first.append(a)
            second.append(b)
    return labels, first, second


def _number_labels(edges: Sequence[float]) -> list[str]:
    if not edges:
        return ["all"]
    words = [f"{edge:.4g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(words)]
    return [f"below {words[0]}", *inner, f"{words[-1]} or more"]


def _drawing(
    title: str,
    before: ColumnCounts,
    after: ColumnCounts,
    labels: list[str],
    first: list[int],
    second: list[int],
) -> Histogram:
    if before.kind in ("category", "text") or len(before.edges) < FEW_BINS:
        shares = [
            tuple(v / c.total for v in part) for c, part in ((before, first), (after, second))
        ]
        return Histogram(title, shares[0], shares[1], labels=tuple(labels))
    edges, reference = _coarse(before, _limits(before, after))
    _, live = _coarse(after, _limits(before, after), list(before.edges))
    return Histogram(title, reference, live, edges=edges)


def _limits(before: ColumnCounts, after: ColumnCounts) -> tuple[float, float]:
    """Return where the outermost bins end: at the extremes, but not far out."""
    edges = before.edges
    width = edges[-1] - edges[0]
    lows = [c.min for c in (before, after) if c.min is not None]
    highs = [c.max for c in (before, after) if c.max is not None]
    low = max(min(lows, default=edges[0]), edges[0] - width / 4)
    high = min(max(highs, default=edges[-1]), edges[-1] + width / 4)
    return min(low, edges[0]), max(high, edges[-1])


def _coarse(
    counts: ColumnCounts, limits: tuple[float, float], edges: list[float] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return at most `MOST_BINS` bins of equal reference share: their edges and shares."""
    inner = counts.edges if edges is None else edges
    whole = [limits[0], *inner, limits[1]]
    size = max(1, -(-len(counts.counts) // MOST_BINS))
    starts = range(0, len(counts.counts), size)
    shares = tuple(
        sum(counts.counts[start : start + size]) / (counts.total or 1) for start in starts
    )
    return (*(whole[start] for start in starts), whole[-1]), shares


def _versions(record: MonitorRecord) -> Details:
    rows = [
        [code(str(name)[:12]), ", ".join(f"{key} {value}" for key, value in _pairs(value))]
        for name, value in record.versions.items()
    ]
    return Details(f"Versions that answered ({len(rows)})", (table(("Version", "Events"), rows),))


def _pairs(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else [("", value)]


def _words(name: str) -> str:
    text = _NAMES.get(name, name).replace("_", " ")
    return text[:1].upper() + text[1:]
