"""What is wrong and how to mend it, from the findings of all steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afterfit.core.finding import SEVERITIES, Finding, Outcome
from afterfit.records.codec import Stored
from afterfit.report import number
from afterfit.report.page import Block, Cell, Details, FindingList, Section, Text, Tone

MOST_FINDINGS = 60

Located = tuple[str, Finding]


def findings_of(records: Mapping[str, Stored], outcome: Outcome) -> list[Located]:
    """Return (step, finding) of one outcome, the worst first, then in the order of the line."""
    found = [
        (step, finding)
        for step, stored in records.items()
        for finding in stored.body.findings
        if finding.outcome == outcome
    ]
    return sorted(found, key=lambda item: -SEVERITIES.index(item[1].severity))


def tallies(records: Mapping[str, Stored]) -> tuple[Cell, ...]:
    """Return how many findings there are by what they mean, for the head of the page."""
    issues = findings_of(records, "issue")
    high = sum(finding.severity == "high" for _, finding in issues)
    cells = []
    if issues:
        cells.append(Cell(number.plural(len(issues), "issue"), "bad" if high else "warn"))
    counts: list[tuple[Outcome, str, str]] = [
        ("tip", "tip", "tips"),
        ("passed", "check passed", "checks passed"),
    ]
    for outcome, word, words in counts:
        if found := findings_of(records, outcome):
            tone: Tone = "good" if outcome == "passed" else "info"
            cells.append(Cell(number.plural(len(found), word, words), tone))
    if skipped := findings_of(records, "skipped"):
        cells.append(Cell(f"{number.count(len(skipped))} not checked", "muted"))
    return tuple(cells)


def problems(records: Mapping[str, Stored]) -> Section:
    """Return the section of issues and tips; what was not checked is not what passed."""
    blocks: list[Block] = []
    issues, tips = findings_of(records, "issue"), findings_of(records, "tip")
    if issues:
        blocks.append(_list(issues))
    else:
        blocks.append(_no_issue(records))
    if tips:
        blocks.append(_list(tips))
    folded: list[tuple[Outcome, str]] = [
        ("skipped", "Not checked"),
        ("ignored", "Ignored on purpose"),
        ("not_applicable", "Does not apply here"),
        ("passed", "Checks that passed"),
    ]
    for outcome, title in folded:
        if found := findings_of(records, outcome):
            blocks.append(Details(f"{title} ({number.count(len(found))})", (_list(found),)))
    return Section("problems", "Problems and fixes", tuple(blocks))


def _list(found: Sequence[Located]) -> FindingList:
    left = max(0, len(found) - MOST_FINDINGS)
    return FindingList(tuple(found[:MOST_FINDINGS]), left)


def _no_issue(records: Mapping[str, Stored]) -> Text:
    ran = sum(len(findings_of(records, outcome)) for outcome in ("passed", "tip"))
    if not ran:
        return Text("Nothing was checked, so nothing is known to be right or wrong.", "warn")
    return Text(f"No issue in the {number.plural(ran, 'check')} that ran.", "good")
