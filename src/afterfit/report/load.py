"""The section of ``loadtest``: what a server did under requests, and what may be relied on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from afterfit.core.finding import Finding
from afterfit.core.serving_settings import ServingSettings
from afterfit.records.loadtest import (
    Certificate,
    GridPoint,
    LoadStep,
    LoadtestRecord,
    LoadWindow,
    Scaling,
)
from afterfit.report import number
from afterfit.report.page import Block, Cell, Chart, Details, Line, Lines, Quantiles, Table, Tone
from afterfit.report.parts import cell, key_values, metrics_table, note, table

VERDICTS: dict[str, Tone] = {"pass": "good", "fail": "bad", "invalid": "warn"}
KINDS = {
    "measure": "measured",
    "double": "doubled",
    "bisect": "bisected",
    "verify": "verified",
    "certify": "for the certificate",
    "soak": "soaked",
    "fault": "with faults",
}
SHAPES = {
    "closed": "closed loop, users",
    "poisson": "open loop, at random moments, requests/s",
    "constant": "open loop, at even intervals, requests/s",
}


BESIDE = {
    "latency_p50_ratio": ("Median latency", "slower", "faster"),
    "latency_p95_ratio": ("95th percentile", "slower", "faster"),
    "latency_p99_ratio": ("99th percentile", "slower", "faster"),
    "sustained_rps_ratio": ("Sustained rate", "carries less", "carries more"),
    "error_rate_difference": ("Share that failed", "fails more", "fails less"),
}
"""What is compared with a baseline, and how it is worse and better."""


def load(record: LoadtestRecord) -> tuple[Block, ...]:
    """Return what the served model did under requests."""
    blocks: list[Block] = [*_promise(record), _summary(record)]
    if record.baseline:
        blocks.append(beside(record))
    measured = [metric for metric in record.metrics if metric.name not in record.verdicts]
    if measured:
        scoped = any(m.scope for m in measured)
        blocks.append(metrics_table(measured, caption="Measured", scope=scoped))
    blocks += [chart for chart in (_by_rate(record.steps), _quantiles(record)) if chart]
    blocks += _over_time(record.windows)
    if record.grid:
        blocks.append(_grid(record.grid, record.chosen))
    if record.scaling is not None:
        blocks += _scaling(record.scaling)
    if record.steps:
        blocks.append(Details("Every run of the generator", (_steps(record.steps),)))
    return tuple(blocks)


def certificate_text(certificate: Certificate) -> str:
    """Return what is certain: ``At least 412 requests/s at p99 <= 50 ms, with 99 % …``."""
    space = number.HARD_SPACE
    objective = f"p{certificate.quantile * 100:g} ≤ {number.plain(certificate.limit_ms)}{space}ms"
    independent = number.count(round(certificate.n_effective))
    rate = number.plain(_rounded(certificate.rate, math.floor))
    upper = _rounded(certificate.upper * 100, math.ceil)
    return (
        f"At least {rate} requests/s at {objective}, with "
        f"{certificate.confidence * 100:g}{space}% confidence. "
        f"{number.count(certificate.misses)} of {number.plural(certificate.n, 'request')} "
        f"missed it, worth {independent} independent ones, so at most "
        f"{upper:.3g}{space}% do. It holds for this hardware, this version and "
        f"these settings."
    )


def _rounded(value: float, towards: Callable[[float], int]) -> float:
    """Return three digits of a number, never more than was certified: rounded up it would be."""
    if value <= 0:
        return value
    scale = 10.0 ** (math.floor(math.log10(value)) - 2)
    # What is a whole number of the last digit stays one, whatever the division leaves.
    return float(towards(round(value / scale, 6)) * scale)


def _promise(record: LoadtestRecord) -> list[Block]:
    """Return the certificate in words, or what was found without one."""
    if record.certificate is not None:
        return [note(certificate_text(record.certificate), "good")]
    led = [_lead(finding) for finding in record.findings if _leads(finding)]
    if record.slo and record.sustained_rps is not None:
        rate = number.metric_text(record.sustained_rps)
        held = note(f"Up to {rate} within {record.slo}; nothing is certified of it.", "warn")
        return [held, *led]
    if not led and record.slo and record.steps:
        led = [note(f"Nothing is known of how much holds {record.slo}.", "warn")]
    return led


def _leads(finding: Finding) -> bool:
    """Return whether a finding says why there is no rate: the server, the generator, the time."""
    if finding.code == "L008":
        return finding.outcome in ("issue", "skipped")
    return finding.code in {"L005", "L006", "L007"} and finding.outcome == "issue"


def _lead(finding: Finding) -> Block:
    text = finding.message
    tone: Tone = "bad" if finding.severity == "high" else "warn"
    return note(f"{text[:1].upper()}{text[1:]}.", tone)


def beside(record: LoadtestRecord) -> Table:
    """Return what is faster, slower, or not to be told from the baseline."""
    rows = []
    for metric in (m for m in record.metrics if m.name in record.verdicts):
        title, worse, better = BESIDE[metric.name]
        verdict = record.verdicts[metric.name]
        words = {"worse": Cell(worse, "bad"), "better": Cell(better, "good")}
        told = metric.scope if metric.value is not None else metric.method
        rows.append(
            [
                title,
                words.get(verdict, Cell("cannot tell", "muted")),
                number.plain(metric.value),
                number.interval_text(metric) or None,
                number.count(metric.n) if metric.n else None,
                told,
            ]
        )
    columns = ("", "Verdict", "Now to baseline", "99 % interval", "n", "Of")
    remark = "" if rows else "They were not measured alike, so nothing is compared: see L022."
    caption = f"Beside the baseline {record.baseline[:12]}"
    return table(columns, rows, caption=caption, numeric=(2, 3, 4), note=remark)


def _summary(record: LoadtestRecord) -> Block:
    share = record.errors / record.requests if record.requests else 0.0
    errors = (
        f"{number.count(record.errors)} of {number.count(record.requests)} "
        f"({share * 100:.2f}{number.HARD_SPACE}%)"
    )
    asked = [("Target", record.target)] if record.target else []
    asked += [("Objective", record.slo)] if record.slo else []
    return key_values(
        *asked,
        ("Schedule", schedule_text(record.schedule)),
        ("Requests", record.requests),
        ("Not answered with 200", Cell(errors, "bad" if record.errors else "good")),
        ("Duration", number.seconds(record.duration_s)),
        ("Rate", f"{number.plain(record.rate)} requests/s"),
        ("Server settings", _settings(record.settings)),
    )


def schedule_text(schedule: str) -> str:
    """Return a schedule in words; one of many numbers stands as it is written."""
    if schedule == "search":
        return "open loop at random moments, at rates that were searched"
    kind, _, amount = schedule.partition(":")
    if kind == "closed" and amount.isdigit():
        return f"closed loop, {number.plural(int(amount), 'user')} without think time"
    if kind in SHAPES and amount:
        return f"{SHAPES[kind]}: {amount}"
    return schedule


def _settings(settings: dict[str, int]) -> str:
    told = ", ".join(f"{name} = {value}" for name, value in sorted(settings.items()))
    return told or "unknown: it runs elsewhere"


def _quantiles(record: LoadtestRecord) -> Chart | None:
    if not record.quantiles:
        return None
    wanted = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)
    rows = [
        [f"{quantile * 100:g} %", f"{number.plain(ms)} ms"]
        for quantile, ms in record.quantiles
        if any(abs(quantile - want) < 1e-9 for want in wanted)
    ] or [[f"{quantile * 100:g} %", f"{number.plain(ms)} ms"] for quantile, ms in record.quantiles]
    return Chart(
        title="Latency, to the tail",
        description=f"Milliseconds by share of {number.plural(record.requests, 'request')}.",
        drawing=Quantiles(record.quantiles),
        table=table(
            ("Share of requests", "Answered within"),
            [[cell(v) for v in row] for row in rows],
            numeric=(1,),
        ),
    )


def _by_rate(steps: Sequence[LoadStep]) -> Chart | None:
    """Return latency by rate, of the runs that count; None for fewer than two rates."""
    known = sorted(
        (step for step in steps if step.verdict != "invalid" and step.rate > 0),
        key=lambda step: step.rate,
    )
    lines = []
    for quantile, name in ((0.5, "median"), (0.99, "99th percentile")):
        points = [(step.rate, ms) for step in known if (ms := _at(step.latency_ms, quantile))]
        if len({rate for rate, _ in points}) > 1:
            rates, times = zip(*points, strict=True)
            lines.append(Line(name, tuple(rates), tuple(times)))
    if not lines:
        return None
    rows = [
        [step.rate, _ms(step.latency_ms, 0.5), _ms(step.latency_ms, 0.99), step.requests]
        for step in known
    ]
    return Chart(
        title="Latency by rate",
        description="Milliseconds from when a request was due, on a logarithmic scale.",
        drawing=Lines(tuple(lines), "requests/s asked", "ms", log_y=True),
        table=table(("Requests/s", "Median", "99th percentile", "n"), rows, numeric=range(4)),
    )


def _over_time(windows: Sequence[LoadWindow]) -> Iterable[Chart]:
    """Yield latency and rate over the time of the run."""
    if len(windows) < 2:
        return
    at = tuple(window.start_s for window in windows)
    timed = [w for w in windows if w.p50_ms is not None and w.p99_ms is not None]
    rows = [[w.start_s, w.due_rps, w.good_rps, w.errors, w.p50_ms, w.p99_ms] for w in windows]
    columns = ("Second", "Due, requests/s", "Good, requests/s", "Errors", "p50, ms", "p99, ms")
    told = table(columns, rows, numeric=range(6))
    if len(timed) > 1:
        when = tuple(w.start_s for w in timed)
        median = Line("median", when, tuple(w.p50_ms or 0.0 for w in timed))
        tail = Line("99th percentile", when, tuple(w.p99_ms or 0.0 for w in timed))
        yield Chart(
            title="Latency over time",
            description="Milliseconds from when a request was due, by second of the run.",
            drawing=Lines((median, tail), "second", "ms", log_y=True),
            table=told,
        )
    due = Line("due", at, tuple(w.due_rps for w in windows), reference=True)
    good = Line("answered well", at, tuple(w.good_rps for w in windows))
    yield Chart(
        title="Rate over time",
        description="Requests/s that were due, and those that had a good answer.",
        drawing=Lines((due, good), "second", "requests/s"),
        table=told,
        repeats=True,
    )


def _grid(points: Sequence[GridPoint], chosen: ServingSettings | None) -> Table:
    rows = []
    for point in points:
        told = Cell(str(point.settings) or "as the server chooses")
        best = chosen is not None and _same(point.settings, chosen)
        each = None if point.sustained_rps is None else point.sustained_rps / point.cores
        rows.append(
            [
                told,
                Cell("chosen", "good") if best else "",
                point.sustained_rps,
                each,
                point.p50_ms,
                point.p99_ms,
                number.size(point.memory_bytes) if point.memory_bytes else None,
                point.n,
                point.why,
            ]
        )
    columns = (
        *("Settings", "", "Sustained, requests/s", "For each core"),
        *("p50, ms", "p99, ms", "Memory", "n", "Remark"),
    )
    common = next((p.common_rps for p in points if p.common_rps), None)
    note = "" if common is None else f"Latencies at {number.plain(common)} requests/s."
    return table(columns, rows, caption="Settings that were tried", numeric=range(2, 8), note=note)


def _same(one: ServingSettings, other: ServingSettings) -> bool:
    names = ("workers", "intra_op", "batch_cap")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _scaling(scaling: Scaling) -> list[Block]:
    points = scaling.points
    at = tuple(float(point.workers) for point in points)
    band = Line(
        "fitted law",
        at,
        tuple(point.value for point in points),
        low=tuple(point.low for point in points),
        high=tuple(point.high for point in points),
    )
    rows = [
        [p.workers, p.value, _span(p.low, p.high), "measured" if p.measured else "foretold"]
        for p in points
    ]
    level = f"{scaling.level * 100:g}{number.HARD_SPACE}%"
    peak, low, high = scaling.peak
    return [
        key_values(
            ("One worker", f"{_bounded(scaling.one_rps)} requests/s"),
            ("Work that waits for others", _percent(scaling.contention)),
            ("Cost of agreeing, per pair", _percent(scaling.coherency)),
            ("More workers do less beyond", _span(low, high) if peak else "not seen"),
        ),
        Chart(
            title="Throughput by workers",
            description=f"The universal scalability law with its {level} band, n = {scaling.n}.",
            drawing=Lines((band,), "workers", "requests/s"),
            table=table(
                ("Workers", "Requests/s", f"{level} interval", ""), rows, numeric=(0, 1, 2)
            ),
        ),
    ]


def _steps(steps: Sequence[LoadStep]) -> Table:
    rows = [
        [
            KINDS.get(step.kind, step.kind),
            step.rate,
            step.achieved_rps,
            step.requests,
            Cell(number.count(step.errors), "bad" if step.errors else ""),
            Cell(number.count(step.wrong), "bad" if step.wrong else ""),
            step.misses,
            _ms(step.latency_ms, 0.99),
            _ms(step.service_ms, 0.99),
            step.lag_p99_ms,
            Cell(step.verdict, VERDICTS.get(step.verdict, "")),
            step.why,
        ]
        for step in steps
    ]
    columns = (
        *("For", "Requests/s asked", "Good", "n", "Errors", "Wrong", "Missed"),
        *("p99 from due, ms", "p99 from written, ms", "Generator late, p99 ms", "Verdict", "Why"),
    )
    return table(columns, rows, numeric=range(1, 10))


def _at(pairs: Iterable[tuple[float, float]], quantile: float) -> float | None:
    return next((ms for each, ms in pairs if abs(each - quantile) < 1e-9), None)


def _ms(pairs: Iterable[tuple[float, float]], quantile: float) -> Cell:
    found = _at(pairs, quantile)
    return Cell("∞", "bad") if found is None else cell(found)


def _span(low: float | None, high: float | None) -> str:
    return f"[{number.plain(low)}, {'∞' if high is None else number.plain(high)}]"


def _bounded(values: tuple[float, float, float]) -> str:
    return f"{number.plain(values[0])} {_span(*values[1:])}"


def _percent(values: tuple[float, float, float]) -> str:
    shown = tuple(100 * value for value in values)
    return f"{number.plain(shown[0])}{number.HARD_SPACE}% {_span(shown[1], shown[2])}"
