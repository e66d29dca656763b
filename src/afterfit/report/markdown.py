"""Pages as Markdown (the common subset of CommonMark and GitHub), every text escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator

from afterfit.core.finding import Finding
from afterfit.report import number
from afterfit.report.html import OUTCOME_WORDS, is_command
from afterfit.report.page import (
    STATE_WORDS,
    Block,
    Cell,
    Chart,
    Commands,
    FindingList,
    KeyValue,
    Page,
    Section,
    Table,
    Text,
)
from afterfit.report.printable import printable

# What can begin markup, a mention or an issue number anywhere, and what can at the start of a line.
_MARKUP = re.compile(r"([\\`*_{}\[\]#!|~@])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")
_MARKS = {"good": "✅ ", "bad": "❌ ", "warn": "⚠️ ", "muted": "", "info": "", "": ""}


def render(page: Page) -> str:
    """Return the whole page as Markdown, ending in a newline."""
    lines = [f"# {escape(page.title)}", "", escape(page.subtitle), ""]
    lines += head(page)
    for section in page.sections:
        lines += _section(section)
    lines += ["---", "", escape(page.footer)]
    return "\n".join(lines).rstrip() + "\n"


def head(page: Page) -> list[str]:
    """Return the verdict, the gates, the figures and the steps."""
    lines: list[str] = []
    if page.verdict is not None:
        verdict = page.verdict
        mark = _MARKS[verdict.tone]
        lines += [f"**{mark}{escape(verdict.word)}.** {escape(verdict.sentence)}", ""]
        if verdict.tallies:
            lines += [escape(", ".join(tally.text for tally in verdict.tallies)), ""]
        if verdict.gates is not None:
            lines += table(verdict.gates)
    for figure in page.figures:
        detail = f" ({escape(figure.detail)})" if figure.detail else ""
        lines.append(f"- {escape(figure.label)}: **{escape(figure.value)}**{detail}")
    if page.figures:
        lines.append("")
    return lines + _steps(page)


def escape(text: str) -> str:
    """Return a text in which nothing is markup; control characters become spaces."""
    plain = printable(text)
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _LINE_START.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", escaped))
    return escaped.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def code(text: str) -> str:
    """Return inline code whose fence is longer than any run of backticks inside."""
    plain = printable(text).replace("|", "¦")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def table(block: Table) -> list[str]:
    """Return a table, numbers to the right."""
    lines = [f"**{escape(block.caption)}**", ""] if block.caption else []
    rule = [("---:" if place in block.numeric else "---") for place in range(len(block.columns))]
    lines.append("| " + " | ".join(escape(column) for column in block.columns) + " |")
    lines.append("| " + " | ".join(rule) + " |")
    lines += ["| " + " | ".join(_cell(item) for item in row) + " |" for row in block.rows]
    return [*lines, "", *([escape(block.note), ""] if block.note else [])]


def finding_line(step: str, finding: Finding) -> str:
    """Return one finding as an item of a list."""
    word = finding.severity if finding.outcome == "issue" else OUTCOME_WORDS[finding.outcome]
    where = f" ({code(finding.where)})" if finding.where else ""
    needed = finding.evidence.get("needed_n")
    needs = f" (needs {escape(number.needed(needed))})" if needed is not None else ""
    fix = ""
    if finding.fix:
        fix = f" Fix: {code(finding.fix) if is_command(finding.fix) else escape(finding.fix)}"
    head = f"- **{word}** {code(finding.code)} {escape(finding.message)}{where}{needs}"
    return f"{head} _{escape(step)}._{fix}"


def _cell(item: Cell) -> str:
    if item.tone == "muted" and item.text:
        return f"_{escape(item.text)}_"
    return _MARKS[item.tone] + (code(item.text) if item.code and item.text else escape(item.text))


def _steps(page: Page) -> list[str]:
    if not page.steps:
        return []
    lines = ["| Step | State | |", "| --- | --- | --- |"]
    for step in page.steps:
        word = STATE_WORDS[step.state]
        shown = f"**{word}**" if step.state in ("not_run", "failed", "partial") else word
        lines.append(f"| {escape(step.step)} | {shown} | {escape(step.detail)} |")
    return [*lines, ""]


def _section(section: Section) -> Iterator[str]:
    state = "" if section.state in ("ran", "reused") else f" ({STATE_WORDS[section.state]})"
    yield f"## {escape(section.title)}{state}"
    yield ""
    if section.why:
        yield f"{'Not run: ' if section.state == 'not_run' else ''}{escape(section.why)}"
        yield ""
    for block in section.blocks:
        yield from _block(block)


def _chart(block: Chart) -> list[str]:
    if block.repeats:
        return []
    return [f"**{escape(block.title)}**: {escape(block.description)}", "", *table(block.table)]


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from table(block)
    elif isinstance(block, KeyValue):
        yield from (f"- {escape(name)}: {_cell(item)}" for name, item in block.items)
        yield ""
    elif isinstance(block, Text):
        yield from (f"{_MARKS[block.tone]}{escape(block.text)}", "")
    elif isinstance(block, Commands):
        for what, command in block.items:
            yield from (escape(what), "", f"    {printable(command)}", "")
    elif isinstance(block, Chart):
        yield from _chart(block)
    elif isinstance(block, FindingList):
        yield from (finding_line(step, finding) for step, finding in block.items)
        yield ""
        if block.left_out:
            yield from (f"{block.left_out} more in the records.", "")
    else:
        yield from (f"**{escape(block.summary)}**", "")
        for part in block.blocks:
            yield from _block(part)
