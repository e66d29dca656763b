"""Pages as one self-contained HTML file: no script, no network, light and dark, printable."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.errors import UsageError
from afterfit.report.number import HARD_SPACE, needed
from afterfit.report.page import STATE_TONES, STATE_WORDS, Chart, Page
from afterfit.report.printable import clipped

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LONGEST_TEXT = 2000
LONGEST_WORD = 16
TEMPLATES = Path(__file__).parent / "templates"
# Where a long word may go on in the next line: a name at its parts, a digest at its quarters.
_BREAKS = re.compile(
    r"(?<=\w[_/])(?=\w)|(?<=[a-z])(?=[A-Z][a-z])"
    r"|(?<=^[0-9a-f]{16})(?=[0-9a-f]{48}$)|(?<=^[0-9a-f]{32})(?=[0-9a-f]{32}$)"
    r"|(?<=^[0-9a-f]{48})(?=[0-9a-f]{16}$)"
)
# Where none may break: before a per cent sign, and in the number of rows.
_HELD = re.compile(r"(?<=\d) (?=%)|(?<=\bn) (?== \d)|(?<=\bn =) (?=\d)")
OUTCOME_WORDS = {
    "issue": "issue",
    "tip": "tip",
    "passed": "passed",
    "not_applicable": "does not apply",
    "skipped": "not checked",
    "ignored": "ignored",
}


def render(page: Page) -> str:
    """Return the page as a whole HTML document with its style and drawings inside."""
    return str(environment().get_template("page.html.j2").render(page=page))


@cache
def environment() -> Environment:
    """Return the Jinja environment of the page's parts, escaping on; the dashboard uses it too."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["svg"] = drawing
    found.filters["command"] = is_command
    found.filters["needed"] = needed
    found.filters["breakable"] = breakable
    found.filters["parts"] = parts
    found.globals.update(
        style=style, state_words=STATE_WORDS, state_tones=STATE_TONES, outcome_words=OUTCOME_WORDS
    )
    return found


def _shown(value: object) -> object:
    """Return what a template prints; a plain text loses the characters that nobody can see."""
    return clipped(value, LONGEST_TEXT) if type(value) is str else value


@cache
def style() -> Markup:
    """Return the style sheet; it is a file of ours and holds nothing of a record."""
    from markupsafe import Markup

    return Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704


def require_charts() -> None:
    """Do nothing where charts can be drawn; raises UsageError under ``python -OO``."""
    if sys.flags.optimize > 1:
        raise UsageError(
            "no page can be drawn under python -OO",
            where="PYTHONOPTIMIZE" if os.environ.get("PYTHONOPTIMIZE") else "-OO",
            why="Altair reads docstrings while it is imported, and -OO leaves them out",
            fix="unset PYTHONOPTIMIZE, or run python with -O or without",
        )


def drawing(chart: Chart) -> Markup:
    """Return a chart's SVG; its texts were escaped when its XML was written. Raises UsageError."""
    from markupsafe import Markup

    require_charts()

    from afterfit.report.chart import svg

    return Markup(svg(chart.drawing, chart.title, chart.description))  # noqa: S704


def breakable(text: str) -> Markup:
    """Return a text, escaped, of which long names and digests may break at their parts."""
    from markupsafe import Markup

    held = _HELD.sub(HARD_SPACE, clipped(text, LONGEST_TEXT))
    words = re.split(r"(\s+)", held)
    pieces = (_BREAKS.split(word) if len(word) > LONGEST_WORD else [word] for word in words)
    return Markup("").join(Markup("<wbr>").join(word) for word in pieces)


def parts(text: str) -> list[str]:
    """Return a number and the interval or count behind it: a line may break between them only."""
    return re.split(r" (?=[\[(])", text)


def is_command(text: str) -> bool:
    """Return whether a fix is a command to paste rather than a sentence."""
    return text.startswith(("afterfit ", "pip ", "git ", "python ", "--"))
