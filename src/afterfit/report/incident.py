"""The page of an incident: what to do first, then what changed, whom it touched, and the proof."""

from __future__ import annotations

from afterfit.core.metric import Metric, in_percent
from afterfit.records.incident import Affected, IncidentReport
from afterfit.report import number
from afterfit.report.page import (
    Block,
    Cell,
    Chart,
    Commands,
    Figure,
    Intervals,
    Page,
    Range,
    Section,
    Verdict,
)
from afterfit.report.parts import code, digest_cell, key_values, metrics_table, note, table

__all__ = ["incident_page"]


def incident_page(found: IncidentReport) -> Page:
    """Return the page; what could not be looked at is said, not left out."""
    return Page(
        kind="record",
        title=f"Incident: {found.about}",
        subtitle=f"{found.since} to {found.until}; changes from {found.looked_from} on",
        verdict=_verdict(found),
        figures=_figures(found),
        sections=(_back(found), _changes(found), _requests(found), _replay(found), _proof(found)),
        footer="Nothing was changed by this look. That something changed shortly before does not "
        "make it the cause.",
    )


def _verdict(found: IncidentReport) -> Verdict:
    if found.proof.broken:
        return Verdict("cannot be proven", "; ".join(found.proof.broken), "bad")
    worse = [each for each in found.affected if _surely(each.gap)]
    told = f"{number.plural(len(found.changes), 'change')} to look at"
    if worse:
        names = ", ".join(f"{each.model}@{each.version} ({each.role})" for each in worse)
        return Verdict(
            "answers fail more", f"{names} surely fails more than before; {told}.", "bad"
        )
    if not found.affected:
        return Verdict("nothing seen", f"No requests were written in the window; {told}.", "warn")
    return Verdict("no more failures", f"Answers do not surely fail more than before; {told}.",
                   "info")  # fmt: skip


def _surely(gap: Metric) -> bool:
    return gap.low is not None and gap.low > 0


def _figures(found: IncidentReport) -> tuple[Figure, ...]:
    rows = sum(each.rows for each in found.affected)
    flagged = sum(sum(each.flags.values()) for each in found.affected)
    return (
        Figure("Rows in the window", number.count(rows)),
        Figure("Flags on rows", number.count(flagged)),
        Figure("Changes", number.count(len(found.changes))),
    )


def _back(found: IncidentReport) -> Section:
    blocks: list[Block] = [Commands(found.rollback)] if found.rollback else []
    if not found.rollback:
        blocks.append(note("There is no earlier version to go back to.", "warn"))
    return Section("back", "The way back", tuple(blocks))


def _changes(found: IncidentReport) -> Section:
    rows = [
        (each.at or "since it was proven", each.kind, each.what, each.who, each.why, each.source)
        for each in found.changes
    ]
    columns = ("When", "Of", "What", "Who", "Why", "Written in")
    blocks: list[Block] = [table(columns, rows)] if rows else [note("Nothing is known to change.")]
    blocks += [note(f"Not looked at: {text}") for text in found.notes]
    return Section("changes", "What changed", tuple(blocks))


def _requests(found: IncidentReport) -> Section:
    if not found.affected:
        why = "no events of these models in the window"
        return Section("requests", "Which requests", state="not_run", why=why)
    rows = [
        (
            f"{each.model}@{each.version}",
            each.role,
            each.rows,
            _share(each.failed),
            _share(each.before),
            Cell(_share(each.gap), "bad" if _surely(each.gap) else "muted"),
            ", ".join(f"{name} {count}" for name, count in each.flags.items()),
            f"{each.first} to {each.last}",
        )
        for each in found.affected
    ]
    columns = ("Version", "Role", "Rows", "Not answered", "Before", "Difference", "Flags", "Time")
    told = "Not answered: failed or refused rows; before: a window as long just before. 95 %."
    blocks: list[Block] = [table(columns, rows, numeric=(2, 3, 4, 5), note=told)]
    errors = [
        (f"{each.model}@{each.version}", text, count)
        for each in found.affected
        for text, count in each.errors.items()
    ]
    if errors:
        blocks.append(table(("Version", "Error", "Rows"), errors, numeric=(2,), caption="Errors"))
    chart = _chart(found.affected)
    return Section("requests", "Which requests", (*blocks, *([chart] if chart else [])))


def _chart(affected: tuple[Affected, ...]) -> Chart | None:
    ranges = [
        Range(f"{each.model}@{each.version} {each.role}", series, m.value, m.low, m.high)
        for each in affected
        for series, m in (("before", each.before), ("in the window", each.failed))
        if m.value is not None and m.low is not None and m.high is not None
    ]
    if not ranges:
        return None
    rows = [(r.label, r.series, r.value, r.low, r.high) for r in ranges]
    return Chart(
        title="Rows that were not answered",
        description="The share that failed or was refused, before and in the window.",
        drawing=Intervals(tuple(ranges), x_title="share of rows"),
        table=table(("Version", "When", "Share", "Low", "High"), rows, numeric=(2, 3, 4)),
        repeats=True,
    )


def _share(metric: Metric) -> str:
    if metric.value is None:
        return number.NOTHING
    low, high = (100 * (bound or 0.0) for bound in (metric.low, metric.high))
    return f"{in_percent(metric.value, 2)} [{low:.2f}, {high:.2f}]"


def _replay(found: IncidentReport) -> Section:
    if not found.replayed:
        return Section("replay", "Another version", state="not_run", why=found.replay_note)
    told = note(found.replay_note, "")
    return Section("replay", "Another version", (told, metrics_table(found.replayed)))


def _proof(found: IncidentReport) -> Section:
    proof = found.proof
    rows = [(name, digest_cell(digest), "every byte hashed") for name, digest in
            proof.digests.items()]  # fmt: skip
    chain = key_values(
        ("Lines of the audit log", proof.lines), ("Head of the chain", code(proof.head))
    )
    blocks: list[Block] = [chain]
    if rows:
        blocks.append(table(("Version", "Digest", "Checked"), rows))
    blocks += [note(text, "bad") for text in proof.broken]
    return Section("proof", "Proof", tuple(blocks))
