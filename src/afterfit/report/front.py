"""What lossy variants give up for what they gain: the Pareto front, and their certificates."""

from __future__ import annotations

import math

from afterfit.core.metric import Metric, in_percent
from afterfit.records.optimize import Certificate, Guard, OptimizeRecord, VariantReport
from afterfit.report import number
from afterfit.report.page import Block, Cell, Chart, Dot, Front, Table, Tone
from afterfit.report.parts import table

__all__ = ["another_ships", "front"]

ONE_ROW = "batch:1"
APART = 0.06
"""Labels are left out where they would stand nearer to another, as a share of the axes."""


def front(record: OptimizeRecord) -> tuple[Block, ...]:
    """Return the front and the certificates; nothing where no lossy variant was measured."""
    lossy = [v for v in record.variants if v.technique and _metric(v, "drop") is not None]
    if not lossy:
        return ()
    blocks: list[Block] = [_chart(record)]
    # Of a map the certificate is of another metric; what it changes stands in a table of its own.
    held = [v for v in record.variants if v.certificate and v.technique != "recalibrate"]
    if held:
        blocks.append(_certificates([(v.name, v.certificate) for v in held if v.certificate]))
    return tuple(blocks)


def another_ships(record: OptimizeRecord) -> str:
    """Return a sentence where a form ships that the model's own quality says little of; or "".

    An exact form answers as the model does, so what was measured of one holds for the other.
    """
    proof = record.certificate
    if proof is None:
        return ""
    found = record.recalibrated
    labels = ""
    if found is not None and found.variant == record.chosen:
        labels = f" A map moved the probabilities: the labels stay those of {found.base}."
    return (
        f"Measured on the model as it was given, not on {record.chosen}, which ships and answers "
        f"otherwise: its {proof.metric} is {number.plain(proof.value)} where the model's is "
        f"{number.plain(proof.native)} ({number.count(proof.n)} rows that chose nothing).{labels}"
    )


def _chart(record: OptimizeRecord) -> Chart:
    places = [place for report in record.variants if (place := _place(report)) is not None]
    places.sort(key=lambda place: place[1])
    ahead = [place for place in places if place[0].front or place[0].name == record.chosen]
    numbers = {place[0].name: str(index) for index, place in enumerate(ahead, 1)}
    shown = _apart([(r.name, math.log(x), y) for r, x, y in ahead], record.chosen)
    dots = tuple(
        Dot(r.name, x, y, _series(r, record.chosen), numbers[r.name] if r.name in shown else "")
        for r, x, y in places
    )
    rows = [
        [
            numbers[report.name],
            Cell(report.name, code=True),
            _series(report, record.chosen),
            number.metric_text(_metric(report, "latency_p50_us", ONE_ROW)),
            _drop(report),
            number.metric_text(_metric(report, "size_bytes")),
            number.metric_text(_metric(report, "memory_bytes")),
        ]
        for report, _, _ in ahead
    ]
    columns = ("", "Variant", "Outcome", "Median, 1 row", "Loss, selection", "Size", "Memory")
    return Chart(
        title="What is given up for speed",
        description=f"Loss of the metric on the selection rows against the time of one row, of "
        f"{number.plural(len(places), 'variant')}; further left is faster, further down loses "
        "less. Numbers name those that no other beats in all of loss (what is gained counts as "
        "none lost), time of one row and of many, size, and time to load.",
        drawing=Front(dots, "µs, median of one row", "loss on the selection rows"),
        table=table(columns, rows, numeric=(3, 4, 5, 6)),
    )


def _place(report: VariantReport) -> tuple[VariantReport, float, float] | None:
    time, drop = _metric(report, "latency_p50_us", ONE_ROW), _metric(report, "drop")
    if time is None or not time.value:
        return None
    if drop is None:
        return None if report.technique else (report, time.value, 0.0)
    return None if drop.value is None else (report, time.value, drop.value)


def _series(report: VariantReport, chosen: str) -> str:
    if report.name == chosen:
        return "ships"
    if report.front:
        return "beaten by none everywhere"
    return "beaten"


def _apart(places: list[tuple[str, float, float]], chosen: str) -> set[str]:
    """Return the names whose labels do not stand on another's; that of the chosen one does."""
    xs, ys = [x for _, x, _ in places], [y for _, _, y in places]
    wide, high = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
    kept: list[tuple[str, float, float]] = []
    for name, x, y in sorted(places, key=lambda place: place[0] != chosen):
        near = any(abs(x - a) / wide < APART and abs(y - b) / high < APART for _, a, b in kept)
        if not near:
            kept.append((name, x, y))
    return {name for name, _, _ in kept}


def _certificates(held: list[tuple[str, Certificate]]) -> Table:
    rows = []
    for name, certificate in held:
        tone: Tone = "good" if certificate.verdict == "certified" else "bad"
        guards = "; ".join(_guard(guard) for guard in certificate.guards)
        needed = "" if certificate.needed_n is None else f"about {certificate.needed_n:,} rows"
        rows.append(
            [
                Cell(name, code=True),
                Cell(certificate.verdict, tone),
                f"{number.plain(certificate.native)} to {number.plain(certificate.value)}",
                number.plain(certificate.drop),
                number.plain(certificate.high),
                number.plain(certificate.margin),
                number.count(certificate.n),
                needed,
                guards,
            ]
        )
    metric = held[0][1].metric
    columns = ("Variant", "Verdict", metric, "Loss", "At most", "Margin", "n", "Enough", "Guards")
    alpha = held[0][1].alpha
    return table(
        columns,
        rows,
        caption="Certificates, on rows that chose nothing",
        numeric=(3, 4, 5, 6),
        note=f"“At most” holds with {in_percent(1 - alpha, 1)} confidence for each "
        f"({held[0][1].method}), on {held[0][1].runtime}.",
    )


def _guard(guard: Guard) -> str:
    where = f" ({guard.where})" if guard.where else ""
    text = f"{guard.name.replace('_', ' ')} {number.plain(guard.value)} of {guard.limit:g}{where}"
    beyond = guard.value is not None and guard.value > guard.limit
    return f"{text}, by chance perhaps" if beyond and guard.held else text


def _drop(report: VariantReport) -> Cell:
    found = _metric(report, "drop")
    return Cell("none", "muted") if found is None else Cell(number.metric_text(found))


def _metric(report: VariantReport, name: str, scope: str | None = None) -> Metric | None:
    return next((m for m in report.metrics if m.name == name and scope in (None, m.scope)), None)
