"""A short Markdown summary for a pull request or a job page, and what the exit code means."""

from __future__ import annotations

from afterfit.core.finding import Finding
from afterfit.records.ship import ShipRecord
from afterfit.report.markdown import escape, finding_line, head
from afterfit.report.page import FindingList, Page

MOST_ISSUES = 10

EXIT_PASS = 0
EXIT_GATE_FAILED = 1


def exit_code(ship: ShipRecord) -> int:
    """Return 0 where nothing stopped the release, 1 where a gate did."""
    failed = ship.verdict == "stopped" or any(gate.outcome != "pass" for gate in ship.gates)
    return EXIT_GATE_FAILED if failed else EXIT_PASS


def exit_meaning(code: int) -> str:
    """Return what an exit code of Afterfit means."""
    meanings = {
        0: "every gate passed",
        1: "a gate failed or had no number, so nothing was promoted",
        2: "wrong usage, or a file or a service that could not be read",
        101: "a defect of Afterfit",
        130: "interrupted",
    }
    return meanings.get(code, "unknown")


def summary(page: Page, code: int) -> str:
    """Return the page's head and its worst issues as Markdown, ending in a newline.

    Evidence of a finding stays out: rows of data do not belong in a pull request.
    """
    lines = [f"### {escape(page.title)}", ""]
    if page.subtitle:
        lines += [escape(page.subtitle), ""]
    lines += head(page)
    issues = _issues(page)
    if issues:
        lines += [finding_line(step, finding) for step, finding in issues[:MOST_ISSUES]]
        if len(issues) > MOST_ISSUES:
            lines.append(f"- {len(issues) - MOST_ISSUES} more in the report")
        lines.append("")
    lines.append(f"Exit {code}: {exit_meaning(code)}.")
    return "\n".join(lines) + "\n"


def _issues(page: Page) -> list[tuple[str, Finding]]:
    return [
        item
        for section in page.sections
        for block in section.blocks
        if isinstance(block, FindingList)
        for item in block.items
        if item[1].outcome == "issue"
    ]
