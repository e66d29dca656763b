"""Pages as plain text for a terminal: no colour, no control characters, at most 96 columns."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from afterfit.core.finding import Finding
from afterfit.report import number
from afterfit.report.html import OUTCOME_WORDS
from afterfit.report.page import (
    STATE_WORDS,
    Block,
    Chart,
    Commands,
    Details,
    FindingList,
    KeyValue,
    Page,
    Section,
    Table,
    Text,
    Verdict,
)
from afterfit.report.printable import printable
from afterfit.report.text_table import table_lines

WIDTH = 96
LEAST_WIDTH = 40
MOST_POINTS = 14


def render(page: Page, *, width: int | None = None) -> str:
    """Return the page as text of at most ``width`` columns (40 or more), ending in a newline.

    Without a width it is that of the terminal, at most 96; a command and a digest are never broken.
    """
    width = max(LEAST_WIDTH, _terminal() if width is None else width)
    lines = [printable(page.title), *_wrapped(page.subtitle, width)]
    if page.verdict is not None:
        lines += ["", *_verdict(page.verdict, width)]
    if page.figures:
        lines += ["", *_figures(page, width)]
    if page.steps:
        lines += ["", *_steps(page, width)]
    for section in page.sections:
        lines += ["", *_section(section, width)]
    lines += ["", *_wrapped(page.footer, width)]
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _terminal() -> int:
    """Return the columns of the terminal; what goes to a file or a pipe is the same everywhere."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _verdict(verdict: Verdict, width: int) -> list[str]:
    lines = _wrapped(f"{verdict.word.upper()}: {verdict.sentence}", width)
    if verdict.tallies:
        lines += _wrapped(", ".join(tally.text for tally in verdict.tallies), width)
    if verdict.gates is not None:
        lines += ["", *table_lines(verdict.gates, width)]
    return lines


def _figures(page: Page, width: int) -> Iterator[str]:
    label = max(len(printable(figure.label)) for figure in page.figures)
    for figure in page.figures:
        text = f"{printable(figure.label):<{label}}  {figure.value}"
        yield from _wrapped(f"{text}  ({figure.detail})" if figure.detail else text, width)


def _steps(page: Page, width: int) -> Iterator[str]:
    name = max(len(step.step) for step in page.steps)
    for step in page.steps:
        word = STATE_WORDS[step.state]
        shown = word.upper() if step.state == "not_run" else word
        line = f"  {step.step:<{name}}  {shown:<9}"
        yield _cut(f"{line}  {printable(step.detail)}", width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _section(section: Section, width: int) -> list[str]:
    state = "" if section.state in ("ran", "reused") else f" ({STATE_WORDS[section.state]})"
    title = printable(section.title) + state
    lines = []
    if section.why:
        prefix = "not run: " if section.state == "not_run" else ""
        lines += _wrapped(prefix + section.why, width)
    for block in section.blocks:
        lines += _block(block, width)
    return [title, "-" * min(len(title), width), *lines] if lines else []


def _block(block: Block, width: int) -> list[str]:
    writers: dict[type[Any], Callable[[Any, int], list[str]]] = {
        Table: _spaced_table,
        KeyValue: _key_values,
        Text: lambda text, size: _wrapped(text.text, size),
        Commands: _commands,
        Chart: _chart,
        FindingList: _findings,
        Details: _details,
    }
    return writers[type(block)](block, width)


def _spaced_table(block: Table, width: int) -> list[str]:
    return [*table_lines(block, width), ""]


def _commands(block: Commands, width: int) -> list[str]:
    """Return each command in one line, however long: a wrapped one cannot be pasted."""
    del width
    return [
        line
        for what, command in block.items
        for line in (printable(what), f"  {printable(command)}")
    ]


def _chart(block: Chart, width: int) -> list[str]:
    """Return a chart's few numbers; of many, only how many there are."""
    if block.repeats:
        return []
    lines = _wrapped(f"{block.title}: {block.description}", width)
    if len(block.table.rows) > MOST_POINTS:
        return [*lines, f"  {len(block.table.rows)} points are in the page.", ""]
    return [*lines, *table_lines(block.table, width), ""]


def _details(block: Details, width: int) -> list[str]:
    """Return what is folded on a screen: findings in one line each, and no tables."""
    lines = []
    for part in block.blocks:
        if isinstance(part, FindingList):
            for _, finding in part.items:
                lines.append(
                    _cut(f"  {finding.code} {printable(finding.message)}{_where(finding)}", width)
                )
    return [printable(block.summary), *lines] if lines else []


def _where(finding: Finding) -> str:
    needed = finding.evidence.get("needed_n")
    where = f" [{printable(finding.where)}]" if finding.where else ""
    return where + (f" (needs {number.needed(needed)})" if needed is not None else "")


def _findings(block: FindingList, width: int) -> list[str]:
    lines = []
    for step, finding in block.items:
        word = finding.severity if finding.outcome == "issue" else OUTCOME_WORDS[finding.outcome]
        head = f"{word.upper():<7} {finding.code} {finding.message}{_where(finding)} ({step})"
        lines += textwrap.wrap(
            printable(head), width, subsequent_indent=" " * 8, break_on_hyphens=False
        )
        if finding.fix:
            lines += textwrap.wrap(
                f"fix: {printable(finding.fix)}",
                width,
                initial_indent=" " * 8,
                subsequent_indent=" " * 13,
                break_on_hyphens=False,
            )
    if block.left_out:
        lines.append(f"{block.left_out} more in the records.")
    return [*lines, ""] if lines else lines


def _key_values(block: KeyValue, width: int) -> list[str]:
    if not block.items:
        return []
    names = min(24, max(len(name) for name, _ in block.items))
    lines = []
    for name, item in block.items:
        value = printable(item.text)
        if max(map(len, value.split()), default=0) > width - names - 2:
            lines += [*_wrapped(name, width), *_wrapped(value, width, "  ")]
            continue
        text = f"{printable(name):<{names}}  {value}"
        lines += textwrap.wrap(
            text, width, subsequent_indent=" " * (names + 2), break_on_hyphens=False
        )
    return [*lines, ""]
