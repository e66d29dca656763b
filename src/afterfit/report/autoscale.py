"""The section of ``autoscale``: policies side by side, settings with reasons, and time."""

from __future__ import annotations

from afterfit.core.metric import Metric, find
from afterfit.records.autoscale import AutoscaleRecord, Floor, PolicyOutcome
from afterfit.report import number
from afterfit.report.page import (
    Block,
    Cell,
    Chart,
    Details,
    KeyValue,
    Line,
    Lines,
    Table,
    Text,
    Tone,
)
from afterfit.report.parts import cell, key_values, note, table

NEVER = 1e-6
"""A smaller share comes of the tail of a formula, and no trace is long enough to show it."""

MOST_LINES = 4
PLANNED = ("static", "scheduled", "hpa-as-is")
SETTINGS = {
    "min": ("replicas at the least", ""),
    "max": ("replicas at the most", ""),
    "replicas": ("replicas", ""),
    "rate": ("requests/s a replica", ""),
    "cpu_percent": ("CPU", " %"),
    "concurrency": ("requests inside a replica", ""),
    "ongoing": ("ongoing requests a replica", ""),
    "lead_s": ("started ahead by", " s"),
}
"""What each setting is called, and its unit."""
QUEUES = (
    "each replica has its own, and chance sends a request to one, as a Service of Kubernetes does"
)


def autoscaled(record: AutoscaleRecord) -> tuple[Block, ...]:
    """Return what shows how many replicas the traffic needs, by each policy."""
    chosen = record.policy(record.chosen)
    blocks: list[Block] = [_recommended(record, chosen), _comparison(record), _reasons(record)]
    if chosen is not None:
        blocks.append(_settings(chosen))
        if chosen.floors:
            blocks.append(_floors(chosen.floors))
    blocks += [_traffic(record), _replicas(record)]
    if any(any(policy.timeline.missed) for policy in record.policies):
        blocks.append(_missed(record))
    if record.what_ifs:
        blocks.append(_what_ifs(record))
    blocks.append(_basis(record))
    blocks += [
        Details(f"Settings of {policy.title}", (_settings(policy), *_only(policy)))
        for policy in record.policies
        if policy is not chosen
    ]
    return tuple(blocks)


def _recommended(record: AutoscaleRecord, chosen: PolicyOutcome | None) -> Text:
    if chosen is None:
        return note("No policy holds the objective: see what would, above.", "bad")
    told = ", ".join(
        f"{SETTINGS[name][0]} {number.plain(value)}{SETTINGS[name][1]}"
        for name, value in chosen.settings.items()
    )
    cost = f" and {_shown(chosen, 'cost_usd').text}" if record.usd_h is not None else ""
    return note(
        f"Recommended{_version(record)}: {chosen.title} ({told}). It holds {record.slo} with "
        f"{_shown(chosen, 'replica_hours').text} replica-hours{cost} in {_hours(record)} h.",
        "good",
    )


def _version(record: AutoscaleRecord) -> str:
    return f" for {record.name}@{record.number}" if record.name else ""


def _reasons(record: AutoscaleRecord) -> Table:
    rows = [[policy.title, policy.why] for policy in record.policies]
    return table(("Policy", "Why it wins or loses"), rows)


def _only(policy: PolicyOutcome) -> tuple[Table, ...]:
    return (_floors(policy.floors),) if policy.floors else ()


def _comparison(record: AutoscaleRecord) -> Table:
    priced = record.usd_h is not None
    rows = []
    for policy in record.policies:
        tone: Tone = "good" if policy.name == record.chosen else "" if policy.holds else "bad"
        rows.append(
            [
                Cell("holds" if policy.holds else "does not hold", tone),
                policy.title,
                _shown(policy, "violation_minutes"),
                _share(policy),
                _shown(policy, "latency_slo_ms"),
                _shown(policy, "replica_hours"),
                *([_shown(policy, "cost_usd")] if priced else []),
                _shown(policy, "most_replicas"),
            ]
        )
    quantile = record.slo.partition(" ")[0]
    columns = ("Objective", "Policy", "Minutes that break it", "Requests that miss it",
               f"{quantile} latency", "Replica-hours", *(["Cost"] if priced else []),
               "Most replicas")  # fmt: skip
    price = f" A replica-hour costs {record.usd_h:g} USD." if priced else ""
    remark = (
        f"Means of {record.runs} runs with 95 % intervals (Student's t; none where all runs "
        f"are alike), of {_hours(record)} h. "
        f"Simulated {_engine(record)}.{price}"
    )
    caption = f"Policies that are to hold {record.slo}"
    return table(columns, rows, caption=caption, numeric=range(2, len(columns)), note=remark)


def _engine(record: AutoscaleRecord) -> str:
    return "request by request" if record.engine == "exact" else "in means, a step at a time"


def _hours(record: AutoscaleRecord) -> str:
    return number.plain(record.trace.seconds / 3600)


def _metric(policy: PolicyOutcome, name: str) -> Metric | None:
    return find(policy.metrics, name)


def _shown(policy: PolicyOutcome, name: str) -> Cell:
    metric = _metric(policy, name)
    if metric is None or metric.value is None:
        return Cell("none: too many lost" if metric else number.NOTHING, "warn")
    spread = number.interval_text(metric)
    # All runs alike, to the digits that are shown.
    if metric.unit == "replicas" and metric.value == round(metric.value):
        return Cell(number.count(round(metric.value)))
    same = number.plain(metric.value)
    spread = "" if spread == f"[{same}, {same}]" else spread
    unit = {"replicas": "", "h": "", "min": ""}.get(metric.unit, metric.unit)
    return Cell(f"{number.number(metric.value, unit)} {spread}".rstrip())


def _share(policy: PolicyOutcome) -> Cell:
    metric = _metric(policy, "miss_share")
    if metric is None or metric.value is None:
        return Cell(number.NOTHING, "muted")
    if (metric.high or metric.value) < NEVER:
        return Cell("< 0.0001 %")
    text = f"{metric.value * 100:.2g} %"
    if metric.low is not None and metric.high is not None:
        low, high = f"{metric.low * 100:.2g}", f"{metric.high * 100:.2g}"
        text += "" if text == f"{low} %" == f"{high} %" else f" [{low}, {high}]"
    return Cell(text)


def _settings(policy: PolicyOutcome) -> Table:
    rows = []
    for name, value in policy.settings.items():
        title, unit = SETTINGS.get(name, (name, ""))
        rows.append([title, Cell(f"{number.plain(value)}{unit}"), policy.reasons.get(name, "")])
    return table(
        ("Setting", "Value", "Why"), rows, caption=f"{policy.title}: settings", numeric=(1,)
    )


def _floors(floors: tuple[Floor, ...]) -> Table:
    rows = [
        [_clock(floor.start_s), _clock(floor.end_s), Cell(str(floor.least))] for floor in floors
    ]
    return table(
        ("From", "To", "Replicas at the least"), rows, caption="Schedule, in time of the trace",
        numeric=(2,),
    )  # fmt: skip


def _clock(seconds: float) -> str:
    day, rest = divmod(round(seconds), 86400)
    hours = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}"
    return f"day {day + 1}, {hours}" if day else hours


def _traffic(record: AutoscaleRecord) -> Chart:
    hours, rates = zip(*record.rates, strict=True)
    start = f" from {record.trace.start[:16]} UTC" if record.trace.start else ""
    return Chart(
        title="Traffic",
        description=f"Requests/s of {record.trace.name}{start}, by hours since its start.",
        drawing=Lines((Line("requests/s", hours, rates),), "hours", "requests/s"),
        table=_points((("requests/s", hours, rates),), "Requests/s"),
    )


def _replicas(record: AutoscaleRecord) -> Chart:
    reacts = next((p.name for p in record.policies if p.name not in PLANNED), "")
    wanted = (record.chosen, reacts, "static", "hpa-as-is")
    shown = [p for p in record.policies if p.name in wanted] or list(record.policies[:MOST_LINES])
    lines = tuple(
        Line(p.title, p.timeline.hours, p.timeline.ready, reference=p.name == "static")
        for p in shown
    )
    left = len(record.policies) - len(shown)
    more = f" {number.plural(left, 'more policy', 'more policies')} in the record." if left else ""
    return Chart(
        title="Replicas that answer",
        description=f"Ready replicas by hours since the start of the trace.{more}",
        drawing=Lines(lines, "hours", "replicas"),
        table=_points(tuple((x.name, x.x, x.y) for x in lines), "Replicas"),
    )


def _missed(record: AutoscaleRecord) -> Chart:
    worst = sorted(record.policies, key=lambda p: -sum(p.timeline.missed))[: MOST_LINES - 1]
    chosen = [p for p in record.policies if p.name == record.chosen and p not in worst]
    lines = tuple(
        Line(p.title, p.timeline.hours, tuple(100 * share for share in p.timeline.missed))
        for p in (*chosen, *worst)
    )
    return Chart(
        title="When the objective is missed",
        description=f"Requests that miss {record.slo}, in %, by hours since the start: those "
        "policies that miss it most, and the chosen one.",
        drawing=Lines(lines, "hours", "requests that miss it, %"),
        table=_points(tuple((x.name, x.x, x.y) for x in lines), "Missed, %"),
    )


def _points(
    lines: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...], title: str
) -> Table:
    rows = []
    for name, xs, ys in lines:
        step = max(1, len(xs) // 12)
        picked = list(zip(xs, ys, strict=True))[::step]
        rows += [[name, number.plain(x), number.plain(y)] for x, y in picked]
    remark = "Every few points; the record has all."
    return table(("Of", "Hours", title), rows, numeric=(1, 2), note=remark)


def _what_ifs(record: AutoscaleRecord) -> Table:
    rows = [
        [
            each.what,
            Cell("holds" if each.holds else "does not hold", "" if each.holds else "bad"),
            cell(each.violation_minutes),
            cell(each.replica_hours),
            ", ".join(f"{SETTINGS[n][0]} {v:g}" for n, v in each.settings.items()),
        ]
        for each in record.what_ifs
    ]
    columns = ("With", "Objective", "Minutes that break it", "Replica-hours", "Settings")
    return table(columns, rows, caption="What a shorter cold start would be worth",
                 numeric=(2, 3), note="One run each, n = 1.")  # fmt: skip


def _basis(record: AutoscaleRecord) -> KeyValue:
    replica, trace = record.replica, record.trace
    spread = ""
    if replica.low is not None and replica.high is not None:
        spread = f" [{replica.low:.4g}, {replica.high:.4g}]"
    service = f"{replica.service_ms:.3g} ms, {replica.loaded_ms:.3g} ms"
    requests = f"{trace.requests:,.0f} requests in {_hours(record)} h"
    rates = f"{trace.mean:.4g} requests/s on average, {trace.peak:.4g} at the peak"
    return key_values(
        ("One replica holds the objective up to", f"{replica.rate:.4g} requests/s{spread}"),
        ("Where that is from", replica.source),
        ("Service time, quiet and loaded", f"{service} (varies by {replica.cv:.2g} of the mean)"),
        ("At a time, and waiting at the most", f"{replica.concurrency}, {replica.queue}"),
        ("Cold start", f"{replica.cold_start_s:.3g} s"),
        ("Trace", f"{trace.name}: {requests}, {rates}"),
        ("Done to it", "; ".join(trace.notes)),
        ("Queues", QUEUES),
    )
