"""The page of ``platforms``: where to run a version, what it costs, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import find, in_percent
from afterfit.records.platforms import (
    OfferOutcome,
    PlatformsRecord,
    Range,
)
from afterfit.report import number
from afterfit.report.page import (
    Block,
    Cell,
    Commands,
    Details,
    Figure,
    KeyValue,
    Section,
    Tone,
    Verdict,
)
from afterfit.report.parts import code, key_values, note, table
from afterfit.report.platforms_charts import (
    PARTS,
    cost_chart,
    front_chart,
    tornado_chart,
    traffic_charts,
    wins_chart,
)
from afterfit.report.platforms_checks import constraints

__all__ = ["decision", "decision_figures", "decision_sections", "decision_verdict"]

WORDS: dict[str, tuple[str, Tone]] = {
    "yes": ("Decided", "good"),
    "if": ("Decided, once confirmed", "warn"),
    "close": ("Too close to call", "warn"),
    "none": ("Nothing passes", "bad"),
}
BASES: dict[str, Tone] = {
    "measured": "good", "same tier": "", "cross tier": "warn", "unknown": "muted",
}  # fmt: skip
CRITERIA = ("cost", "latency", "scalability", "integration", "security")


def decision_verdict(record: PlatformsRecord, tallies: tuple[Cell, ...]) -> Verdict:
    """Return the head: what was decided, in the sentences of the record."""
    word, tone = WORDS[record.decided]
    considered = number.plural(record.considered, "offer")
    passing = record.considered - sum(record.failed.values())
    told = Cell(f"{number.count(passing)} of {considered} pass or may pass", "info")
    return Verdict(word, record.said, tone, None, (told, *tallies))


def decision_figures(record: PlatformsRecord) -> tuple[Figure, ...]:
    """Return up to four numbers: cost, latency, machines, and how often it wins."""
    best = _choice(record)
    if best is None:
        return ()
    found = [Figure("Cost a month", usd(best.usd_per_month), spread(best.usd_per_month, " USD"))]
    if best.p99_ms is not None:
        value = number.number(best.p99_ms.value, "ms")
        found.append(Figure(f"{_quantile(record)} latency", value, spread(best.p99_ms, " ms")))
    if best.machines is not None:
        least, mean, most = map(_whole, best.machines)
        told = "all the time" if least == most else f"on average, {least} to {most}"
        found.append(Figure("Machines", mean, told))
    share = find(record.metrics, "win_share")
    if share is not None and share.value is not None:
        found.append(
            Figure("Wins", in_percent(share.value), f"of weightings, {number.level_text(share)}")
        )
    return tuple(found)


def decision(record: PlatformsRecord) -> tuple[Block, ...]:
    """Return all blocks of the decision, for where they stand in one section."""
    return tuple(block for section in decision_sections(record) for block in section.blocks)


def decision_sections(record: PlatformsRecord) -> tuple[Section, ...]:
    """Return the sections of the page, in the order of reading; those without blocks stay out."""
    made = [
        Section("decision", "The finalists", (*_finalists(record), *_bound(record))),
        Section("cost", "What it costs", _costs(record)),
        Section("sure", "How sure that is", _sure(record)),
        Section("why-not", "Why not the others", _why_not(record)),
        Section("confirm", "Constraints, and what to confirm", constraints(record)),
        Section("traffic", "Traffic and machines", _traffic(record)),
        Section("again", "When to decide again", _again(record)),
        Section("sources", "Where the numbers are from", _sources(record)),
    ]
    return tuple(section for section in made if section.blocks)


def usd(amount: Range | None) -> str:
    """Return a cost per month for a person: ``312 USD``."""
    return number.NOTHING if amount is None else number.number(amount.value, "USD")


def spread(amount: Range | None, unit: str = "") -> str:
    """Return bounds: ``between 250 and 400 USD``; a number that is certain has none."""
    if amount is None or amount.low == amount.high:
        return ""
    return f"between {number.plain(amount.low)} and {number.plain(amount.high)}{unit}"


def bounded(amount: Range | None) -> str | None:
    """Return a number with its bounds: ``312 [250, 400]``; None for one that is not known."""
    if amount is None:
        return None
    low, high = number.plain(amount.low), number.plain(amount.high)
    value = number.plain(amount.value)
    return value if low == high == value else f"{value} [{low}, {high}]"


def _quantile(record: PlatformsRecord) -> str:
    """Return the percentile of the objective: ``p99``."""
    return record.slo.partition(" ")[0] or "p99"


def _choice(record: PlatformsRecord) -> OfferOutcome | None:
    return next((each for each in record.outcomes if each.id == record.choice), None)


def _finalists(record: PlatformsRecord) -> tuple[Block, ...]:
    shown = [each for each in record.outcomes if each.score is not None]
    if not shown:
        return (note("No offer passes and has a cost: see why, below.", "bad"),)
    rows = []
    for each in shown:
        chosen = each.id == record.choice
        tone: Tone = "good" if chosen else ""
        basis: Tone = BASES.get(each.basis, "")
        wins = None if each.wins is None else in_percent(each.wins)
        rows.append(
            [
                Cell(each.title, tone),
                _standing(record, each),
                bounded(each.usd_per_month),
                bounded(each.p99_ms),
                bounded(each.capacity),
                Cell(each.basis, basis),
                _machines(each),
                Cell(number.plain(each.score, places=2)),
                wins,
            ]
        )
    columns = ("Offer", "Standing", "USD a month", f"{_quantile(record)}, ms",
               "Requests/s a machine", "Known by", "Machines", "Score", "Wins")  # fmt: skip
    remark = (
        "Brackets hold the least and the most that it may be. Decisions are made by the least that "
        "a machine carries. A score runs from 0 to 1 between fixed anchors; wins are shares of "
        "drawn weightings."
    )
    return (
        table(columns, rows, caption=f"Best first, to hold {record.slo}",
              numeric=(2, 3, 4, 6, 7, 8), note=remark),
        _values(record, shown),
    )  # fmt: skip


def _standing(record: PlatformsRecord, each: OfferOutcome) -> Cell:
    if each.id == record.choice:
        return Cell("choice", "good")
    if each.id in record.probe:
        return Cell("measure it", "warn")
    if each.eligible == "if":
        return Cell("if confirmed", "warn")
    return Cell("beaten by none everywhere" if each.front else "loses", "muted")


def _machines(each: OfferOutcome) -> str | None:
    if each.machines is None:
        return None
    least, mean, most = each.machines
    return _whole(mean) if least == most else f"{_whole(mean)} [{_whole(least)}, {_whole(most)}]"


def _whole(value: float) -> str:
    """Return a number of machines; whole ones without decimals."""
    return number.count(round(value)) if value == round(value) else number.plain(value)


def _values(record: PlatformsRecord, shown: Sequence[OfferOutcome]) -> Details:
    rows = [
        [each.title, *(Cell(number.plain(each.values[name], places=2)) for name in CRITERIA)]
        for each in shown
        if each.values
    ]
    weights = ["weight", *(Cell(in_percent(record.weights.get(name, 0))) for name in CRITERIA)]
    anchors = ["from 1 to 0", *(Cell(_anchor(record, name)) for name in CRITERIA)]
    made = table(
        ("Offer", *CRITERIA), [weights, anchors, *rows], numeric=range(1, len(CRITERIA) + 1),
        note="Cost in USD a month and latency in ms, both by their logarithms. What is not known "
        "of a service is worth nothing until it is confirmed.",
    )  # fmt: skip
    return Details("What the scores are made of", (made,))


def _anchor(record: PlatformsRecord, name: str) -> str:
    best, worst = record.anchors.get(name, (1.0, 0.0))
    return f"{number.plain(best)} to {number.plain(worst)}"


def _bound(record: PlatformsRecord) -> tuple[Block, ...]:
    best = _choice(record)
    found = best.commit if best else None
    if found is None or not found.machines:
        return ()
    return (
        note(
            f"Bind {number.plural(found.machines, 'machine')} on {found.term.replace('_', ' ')} "
            f"({in_percent(found.discount)} below on demand): "
            f"{number.number(found.usd_per_month, 'USD')} a month in place of "
            f"{number.number(found.on_demand_usd_per_month, 'USD')}. {found.why}".strip(),
            "info",
        ),
    )


def _costs(record: PlatformsRecord) -> tuple[Block, ...]:
    priced = [each for each in record.outcomes if each.costs]
    if not priced:
        return ()
    used = [name for name in PARTS if any(each.costs.get(name) for each in priced)]
    rows = [
        [each.title, *(_amount(each.costs.get(name, 0.0)) for name in used),
         Cell(bounded(each.usd_per_month) or number.NOTHING)]
        for each in priced
    ]  # fmt: skip
    columns = ("Offer", *(PARTS[name] for name in used), "Sum")
    remark = (
        "Busy machines are filled by the traffic, spare ones stand for a loss, idle ones because "
        "machines come whole and late; premium is what managing costs. List prices before tax; a "
        "month has 730 hours."
    )
    parts = table(columns, rows, numeric=range(1, len(columns)), caption="USD a month, in parts",
                  note=remark)  # fmt: skip
    front = front_chart(record)
    return (cost_chart(priced), *((front,) if front else ()), parts)


def _amount(value: float) -> Cell:
    return Cell(number.plain(value), "" if value else "muted")


def _sure(record: PlatformsRecord) -> tuple[Block, ...]:
    if not record.choice:
        return ()
    charts = [wins_chart(record), tornado_chart(record)]
    blocks: list[Block] = [*_probes(record), *(chart for chart in charts if chart)]
    if record.flips:
        rows = [
            [
                flip.what,
                Cell(_in_unit(flip.now, flip.unit)),
                Cell(_in_unit(flip.value, flip.unit)),
                flip.title or flip.winner,
            ]
            for flip in record.flips
        ]
        blocks.append(
            table(
                ("What", "Now", "Changes at", "Then wins"), rows, numeric=(1, 2),
                caption="At what another offer wins",
            )
        )  # fmt: skip
    return tuple(blocks)


def _in_unit(value: float, unit: str) -> str:
    return in_percent(value) if unit == "share" else number.number(value, unit)


def _probes(record: PlatformsRecord) -> list[Block]:
    if not record.probe:
        return []
    titles, ref = {each.id: each.title for each in record.outcomes}, record.ref or "NAME@champion"
    named = "; ".join(titles.get(each, each) for each in record.probe)
    return [
        note(f"Measure before you decide, the first one first: {named}.", "warn"),
        Commands((("Write the kit that measures them", f"afterfit platforms probe {ref}"),)),
    ]


def _why_not(record: PlatformsRecord) -> tuple[Block, ...]:
    rows = [
        [each.title, each.why_not, each.change, ", ".join(each.lost)]
        for each in record.outcomes
        if each.id != record.choice and (each.why_not or each.change)
    ]
    if not rows:
        return ()
    columns = ("Offer", "Why not", "What would make it the choice", "What it lacks beside it")
    remark = "Each change was evaluated again before it was written here."
    return (table(columns, rows, caption="The best of each service", note=remark),)


def _traffic(record: PlatformsRecord) -> tuple[Block, ...]:
    return (*traffic_charts(record), _basis(record))


def _basis(record: PlatformsRecord) -> KeyValue:
    replica, trace = record.replica, record.traffic
    items: list[tuple[str, object]] = []
    if replica is not None:
        cores = number.plural(round(replica.cores), "vCPU") if replica.cores >= 1 else (
            f"{replica.cores:g} vCPU")  # fmt: skip
        where = f" on {replica.cpu}" if replica.cpu else ""
        items += [
            ("One replica holds the objective up to", f"{bounded(replica.rate)} requests/s"),
            ("It was measured with", f"{cores}, {replica.memory_gib:g} GiB{where}"),
            ("Its processor multiplies with", replica.tier),
            ("Where that is from", replica.source),
        ]
    if trace is not None:
        hours = number.plain(trace.seconds / 3600)
        mean, peak = number.plain(trace.mean), number.plain(trace.peak)
        items += [
            ("Traffic", f"{trace.name}, {hours} h, taken for a month"),
            ("On average, and at the peak", f"{mean} and {peak} requests/s"),
            ("Done to it", "; ".join(trace.notes)),
        ]  # fmt: skip
    return key_values(*items)


def _again(record: PlatformsRecord) -> tuple[Block, ...]:
    if not record.redecide:
        return ()
    rows = [[code(each.gate), each.why] for each in record.redecide]
    return (
        table(
            ("Decide again when this no longer holds", "Why"), rows,
            note="latency_p99_ms may stand as a gate of [alarms] in afterfit.toml; rate and cost "
            "may too, as figures of yours there. A gate on loadtest stops a promotion.",
        ),
    )  # fmt: skip


def _sources(record: PlatformsRecord) -> tuple[Block, ...]:
    used = {name for each in record.outcomes for name in each.sources}
    rows = [
        [
            code(source.name),
            source.text,
            source.date or "undated",
            None if source.age_days is None else f"{source.age_days} days",
            Cell(source.confidence, "warn" if source.confidence == "low" else ""),
            source.licence,
            source.link,
        ]
        for source in record.sources
    ]
    if not rows:
        return ()
    columns = ("Source", "What it is", "Date", "Age", "Confidence", "Licence", "Link")
    by_offer = [
        [each.title, ", ".join(each.sources)] for each in record.outcomes if each.sources and used
    ]
    made: list[Block] = [table(columns, rows, caption=f"Catalog of {record.catalog_date}")]
    if by_offer:
        made.append(
            Details(
                "Which source each offer's numbers have", (table(("Offer", "Sources"), by_offer),)
            )
        )
    return tuple(made)
