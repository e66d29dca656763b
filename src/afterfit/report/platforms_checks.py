"""The constraints of a choice of platforms: who passes what, and what has to be confirmed."""

from __future__ import annotations

from afterfit.records.platforms import OfferOutcome, PlatformsRecord
from afterfit.report import number
from afterfit.report.page import Block, Cell, Table, Tone
from afterfit.report.parts import code, table

__all__ = ["constraints"]

OUTCOMES: dict[str, Tone] = {"pass": "good", "fail": "bad", "unknown": "warn"}
MOST_MATRIX, MOST_CONFIRMED = 12, 4


def constraints(record: PlatformsRecord) -> tuple[Block, ...]:
    """Return what is to be confirmed, who passes what, and what failed first."""
    shown = [each for each in record.outcomes if each.checks][:MOST_MATRIX]
    names = list(dict.fromkeys(check.name for each in shown for check in each.checks))
    if not names:
        return ()
    rows = []
    for each in shown:
        told = {check.name: check.outcome for check in each.checks}
        words = {"pass": "yes", "fail": "no", "unknown": "confirm"}
        rows.append(
            [each.title, *(Cell(words[told[n]], OUTCOMES[told[n]]) if n in told else None
                           for n in names)]
        )  # fmt: skip
    columns = ("Offer", *(name.replace("_", " ") for name in names))
    remark = "“confirm” is not known: it passes once somebody has confirmed it."
    matrix = table(columns, rows, caption="What each offer passes", note=remark)
    return (*_to_confirm(record), matrix, *_failed(record))


def _to_confirm(record: PlatformsRecord) -> tuple[Table, ...]:
    rows = {
        (each.title, check.name): [each.title, what or check.why, check.source,
                                   code(f"--confirm {key or check.name}")]
        for each in _worth_confirming(record)
        for check in each.checks
        if check.outcome == "unknown"
        for key, _, what in [check.confirm.partition(": ")]
    }  # fmt: skip
    if not rows:
        return ()
    columns = ("Offer", "To be confirmed", "Source", "Then")
    return (table(columns, list(rows.values()), caption="To be confirmed"),)


def _worth_confirming(record: PlatformsRecord) -> list[OfferOutcome]:
    """Return the choice and what would come near it: the first few that have a cost."""
    unsure = [each for each in record.outcomes if each.score is not None and each.eligible == "if"]
    return unsure[:MOST_CONFIRMED]


def _failed(record: PlatformsRecord) -> tuple[Table, ...]:
    rows = [
        [name.replace("_", " "), count]
        for name, count in sorted(record.failed.items(), key=lambda item: -item[1])
        if count
    ]
    if not rows:
        return ()
    caption = f"What failed first, of {number.plural(record.considered, 'offer')}"
    return (table(("Constraint", "Offers"), rows, caption=caption, numeric=(1,)),)
