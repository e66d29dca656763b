"""The ML Test Score of a version: no point without evidence that anybody can look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from afterfit.core.digest import short
from afterfit.core.finding import Finding
from afterfit.core.gate import GateResult
from afterfit.records.codec import Stored
from afterfit.records.ship import ShipRecord
from afterfit.report import number
from afterfit.report.page import Cell, Page, Section, Table, Tone, Verdict
from afterfit.report.parts import table
from afterfit.report.score_items import ITEMS, SECTIONS, Item

__all__ = ["Attestation", "Line", "Score", "score", "score_page"]

Standing = Literal["evidence", "attested", "expired", "failed", "not run"]
AUTOMATED, BY_HAND = 1.0, 0.5
WORDS: dict[Standing, tuple[str, Tone]] = {
    "evidence": ("evidence", "good"),
    "attested": ("attested", "info"),
    "expired": ("expired", "warn"),
    "failed": ("failed", "bad"),
    "not run": ("not run", "muted"),
}
READING = (
    (0.0, "more of a research project than a production system"),
    (1.0, "not without tests, but there may be serious holes in its reliability"),
    (2.0, "a first pass at production; more can be done"),
    (3.0, "reasonably tested; more of it may be automated"),
    (5.0, "strong automated testing and monitoring"),
    (float("inf"), "exceptional automated testing and monitoring"),
)
"""What the authors say of a score up to each number."""


@dataclass(frozen=True)
class Attestation:
    """A person's word that an item is looked after: a line of the audit log.

    ``line`` is its number there; ``made`` and ``expires`` are days in UTC.
    """

    item: str
    owner: str
    made: date
    expires: date
    why: str
    line: int


@dataclass(frozen=True)
class Line:
    """One item: how it stands, its points, and where the evidence is."""

    item: Item
    standing: Standing
    points: float
    why: str


@dataclass(frozen=True)
class Score:
    """All items; the score is that of the weakest section."""

    lines: tuple[Line, ...]

    @property
    def sections(self) -> dict[str, float]:
        """The points of each section."""
        return {
            key: sum(line.points for line in self.lines if line.item.section == key)
            for key in SECTIONS
        }

    @property
    def total(self) -> float:
        """The least of the sections."""
        return min(self.sections.values())

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "score": self.total,
            "sections": self.sections,
            "items": [
                {
                    "item": line.item.key,
                    "section": line.item.section,
                    "title": line.item.title,
                    "standing": line.standing,
                    "points": line.points,
                    "why": line.why,
                }
                for line in self.lines
            ],
        }


def score(
    records: Mapping[str, Stored],
    attestations: Iterable[Attestation] = (),
    *,
    today: date,
    rolled_back: int = 0,
) -> Score:
    """Return how each of the 28 items stands.

    ``records`` are the version's evidence by step, with that of ``ship`` among them;
    ``rolled_back`` is the line of the audit log in which the model was last rolled back, or 0. A
    check that failed gets no point, whoever vouches for it.
    """
    words = {each.item: each for each in sorted(attestations, key=lambda each: each.line)}
    return Score(
        tuple(_line(item, records, words.get(item.key), today, rolled_back) for item in ITEMS)
    )


def _line(
    item: Item,
    records: Mapping[str, Stored],
    word: Attestation | None,
    today: date,
    rolled_back: int,
) -> Line:
    standing, why = _answer(item, records, rolled_back)
    if standing == "evidence":
        return Line(item, standing, AUTOMATED, why)
    if standing == "failed" or word is None:
        return Line(item, standing, 0.0, why)
    told = f"{word.owner}, {word.made}: {word.why} (audit log, line {word.line})"
    if word.expires < today:
        return Line(item, "expired", 0.0, f"on {word.expires}; {told}")
    return Line(item, "attested", BY_HAND, f"until {word.expires}; {told}")


def _answer(item: Item, records: Mapping[str, Stored], rolled_back: int) -> tuple[Standing, str]:
    stored, ship = records.get(item.step), records.get("ship")
    if item.rule == "rollback" and rolled_back:
        return "evidence", f"audit log, line {rolled_back}"
    if item.rule == "findings" and stored is not None:
        return _by_findings(item, stored)
    if item.rule == "record" and stored is not None and stored.body.status == "complete":
        return "evidence", f"record {short(stored.digest)}"
    if item.rule in {"gates", "line"} and ship is not None and isinstance(ship.body, ShipRecord):
        return _by_ship(item, ship.body, f"record {short(ship.digest)}")
    if item.rule == "rollback":
        return "not run", "nothing was rolled back yet: afterfit version rollback NAME"
    return "not run", "" if item.rule else "nothing here can show it; vouch for it: version attest"


def _by_ship(item: Item, ship: ShipRecord, where: str) -> tuple[Standing, str]:
    if item.rule == "gates":
        return _by_gates(item, ship.gates, where)
    if ship.records and not ship.skipped:
        return "evidence", f"{', '.join(sorted(ship.records))}; {where}"
    return "not run", f"skipped: {', '.join(sorted(ship.skipped))}"


def _by_findings(item: Item, stored: Stored) -> tuple[Standing, str]:
    """Return whether every check passed; one that did not apply shows nothing."""
    found = [finding for finding in stored.body.findings if finding.code in item.codes]
    where = f"record {short(stored.digest)}"
    bad = [each for each in found if each.outcome in {"issue", "tip"}]
    if bad:
        return "failed", f"{_told(bad[0])}; {where}"
    passed = {each.code for each in found if each.outcome == "passed"}
    if passed == set(item.codes):
        return "evidence", f"{', '.join(item.codes)} passed; {where}"
    left = next((each for each in found if each.outcome != "passed"), None)
    return "not run", f"{', '.join(item.codes)}: not checked" if left is None else _told(left)


def _told(finding: Finding) -> str:
    return f"{finding.code} {finding.message}".strip()


def _by_gates(item: Item, gates: Sequence[GateResult], where: str) -> tuple[Standing, str]:
    mine = [gate for gate in gates if gate.step == item.step]
    if not mine:
        return "not run", f"no gate of {item.step} is set: gates in afterfit.toml"
    bad = [gate for gate in mine if gate.outcome != "pass"]
    if bad:
        return "failed", f"gate {bad[0].gate}: {bad[0].outcome}; {where}"
    return "evidence", f"{number.plural(len(mine), 'gate')} passed; {where}"


def score_page(title: str, subtitle: str, found: Score) -> Page:
    """Return the page: the score, then each section with its items."""
    points = found.sections
    reading = next(text for limit, text in READING if found.total <= limit)
    weakest = ", ".join(SECTIONS[key] for key in SECTIONS if points[key] == found.total)
    tone: Tone = "bad" if found.total < 1 else "warn" if found.total < 3 else "good"
    return Page(
        kind="record",
        title=f"ML Test Score of {title}",
        subtitle=subtitle,
        verdict=Verdict(
            f"{found.total:g}",
            f"The least of four sections ({weakest}): {reading}.",
            tone,
            None,
            tuple(Cell(f"{SECTIONS[key]}: {points[key]:g} of 7") for key in SECTIONS),
        ),
        sections=tuple(
            Section(key, f"{words}: {points[key]:g} of 7", (_items(found, key),))
            for key, words in SECTIONS.items()
        ),
        footer="After Breck et al. (2017), IEEE Big Data. An automated check that passed counts 1, "
        "a person's word with a date 0.5, anything else nothing.",
    )


def _items(found: Score, section: str) -> Table:
    rows = [
        [line.item.key, line.item.title, Cell(*WORDS[line.standing]), line.points, line.why]
        for line in found.lines
        if line.item.section == section
    ]
    return table(("Item", "What it asks", "Standing", "Points", "Evidence"), rows, numeric=(3,))
