"""The section of ``optimize``: the variants of the model."""

from __future__ import annotations

from afterfit.core.metric import Metric
from afterfit.records.optimize import OptimizeRecord, Parity, VariantReport, VariantStatus
from afterfit.report import number
from afterfit.report.front import front
from afterfit.report.page import Bars, Block, Cell, Chart, Details, Table, Tone
from afterfit.report.parts import table
from afterfit.report.recalibrated import recalibration

ONE_ROW = "batch:1"

STATUS_WORDS: dict[VariantStatus, tuple[str, Tone]] = {
    "as_is": ("as it is", "info"),
    "exact": ("exact", "good"),
    "certified": ("certified", "good"),
    "rejected": ("rejected", "bad"),
    "not_available": ("not available", "muted"),
    "skipped": ("skipped", "muted"),
}


def speed(record: OptimizeRecord) -> tuple[Block, ...]:
    """Return the variants with parity and speed, and why each other one does not ship."""
    blocks: list[Block] = [_variants(record)]
    if chart := _latency_chart(record):
        blocks.append(chart)
    blocks += front(record)
    blocks += recalibration(record)
    parity = [(report, item) for report in record.variants for item in report.parity]
    if parity:
        blocks.append(Details("Parity by set of rows", (_parity(parity),)))
    return tuple(blocks)


def latency(report: VariantReport, scope: str = ONE_ROW) -> Metric | None:
    """Return a variant's median latency at a batch size."""
    for metric in report.metrics:
        if metric.name == "latency_p50_us" and metric.scope == scope and metric.value is not None:
            return metric
    return None


def speed_up(record: OptimizeRecord) -> float | None:
    """Return how many times faster one row is than in the native model; None where unknown."""
    times = {report.name: latency(report) for report in record.variants}
    native, chosen = times.get("native"), times.get(record.chosen)
    if native is None or chosen is None or record.chosen == "native":
        return None
    return native.value / chosen.value if native.value and chosen.value else None


def _variants(record: OptimizeRecord) -> Table:
    scopes = list(
        dict.fromkeys(
            m.scope for v in record.variants for m in v.metrics if m.name == "latency_p50_us"
        )
    )
    rows = []
    for report in sorted(record.variants, key=lambda v: v.name != record.chosen):
        chosen = report.name == record.chosen
        word, tone = STATUS_WORDS[report.status]
        why = "; ".join(
            text
            for text in (report.why, report.repaired and f"repaired: {report.repaired}")
            if text
        )
        rows.append(
            [
                Cell(report.name, code=True),
                Cell("ships", "good") if chosen else Cell(word, tone),
                _worst(report),
                *(_time(latency(report, scope)) for scope in scopes),
                *(_value(report, name) for name in ("size_bytes", "load_ms")),
                why or ("chosen" if chosen else ""),
            ]
        )
    times = [f"Median, {_batch(scope)}" for scope in scopes]
    columns = ("Variant", "Outcome", "Greatest difference", *times, "Size", "Load", "Why")
    numeric = range(2, 5 + len(scopes))
    return table(
        columns,
        rows,
        caption="Forms of the model that were tried",
        numeric=numeric,
        note=_samples(record, scopes),
    )


def _batch(scope: str) -> str:
    size = scope.partition(":")[2]
    return number.plural(int(size), "row") if size.isdigit() else scope


def _time(metric: Metric | None) -> Cell:
    if metric is None:
        return Cell("not measured", "muted")
    return Cell(number.number(metric.value, metric.unit or "us"))


def _samples(record: OptimizeRecord, scopes: list[str]) -> str:
    """Return how many measurements the medians are of, by batch size."""
    parts = []
    for scope in scopes:
        found = [metric.n for report in record.variants if (metric := latency(report, scope))]
        least, most = min(found, default=0), max(found, default=0)
        counted = (
            number.count(most)
            if least == most
            else f"{number.count(least)} to {number.count(most)}"
        )
        parts.append(f"{_batch(scope)} n = {counted}")
    return f"Medians of repeated calls: {'; '.join(parts)}." if parts else ""


def _value(report: VariantReport, name: str) -> Cell:
    metric = next((m for m in report.metrics if m.name == name), None)
    if metric is None or metric.value is None:
        return Cell(number.NOTHING, "muted")
    return Cell(
        number.number(metric.value, metric.unit or {"size_bytes": "bytes", "load_ms": "ms"}[name])
    )


def _worst(report: VariantReport) -> Cell:
    known = [item for item in report.parity if item.max_difference is not None]
    if not known:
        return Cell("the reference" if report.name == "native" else "not compared", "muted")
    worst = max(known, key=lambda item: item.max_difference or 0.0)
    flips = sum(item.flips for item in known)
    beyond = sum(item.beyond for item in known)
    n = sum(item.n for item in known)
    changed = f"{number.plural(flips, 'flip')} in {number.plural(n, 'row')}"
    text = f"{number.plain(worst.max_difference)}, {changed}"
    return Cell(text, "bad" if beyond or flips else "")


def _parity(parity: list[tuple[VariantReport, Parity]]) -> Table:
    rows = [
        [
            Cell(report.name, code=True),
            item.rows,
            number.count(item.n),
            number.plain(item.max_difference),
            number.plain(item.tolerance),
            Cell(number.count(item.beyond), "bad" if item.beyond else ""),
            Cell(number.count(item.flips), "bad" if item.flips else ""),
            item.message,
        ]
        for report, item in parity
    ]
    columns = (
        "Variant",
        "Rows",
        "n",
        "Greatest difference",
        "Tolerance",
        "Beyond it",
        "Flips",
        "Remark",
    )
    return table(columns, rows, numeric=range(2, 7))


def _latency_chart(record: OptimizeRecord) -> Chart | None:
    known = [(v.name, metric) for v in record.variants if (metric := latency(v)) is not None]
    if len(known) < 2:
        return None
    known.sort(key=lambda pair: pair[1].value or 0.0)
    names = tuple(name for name, _ in known)
    values = tuple(float(metric.value or 0.0) for _, metric in known)
    rows = [[Cell(name, code=True), number.metric_text(metric), metric.n] for name, metric in known]
    return Chart(
        title="Time for one row",
        description=f"Median microseconds by variant; {record.chosen} ships.",
        drawing=Bars(names, values, "µs, median of one row", record.chosen),
        table=table(("Variant", "Median", "n"), rows, numeric=(1, 2)),
        repeats=True,
    )
