"""Pages as one self-contained HTML file: no script, no network, light and dark, printable."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.report.page import STATE_TONES, STATE_WORDS, Chart, Page
from afterfit.report.printable import clipped

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LONGEST_TEXT = 2000
TEMPLATES = Path(__file__).parent / "templates"
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


def drawing(chart: Chart) -> Markup:
    """Return a chart's SVG; its texts were escaped when its XML was written."""
    from markupsafe import Markup

    from afterfit.report.chart import svg

    return Markup(svg(chart.drawing, chart.title, chart.description))  # noqa: S704


def is_command(text: str) -> bool:
    """Return whether a fix is a command to paste rather than a sentence."""
    return text.startswith(("afterfit ", "pip ", "git ", "python ", "--"))
