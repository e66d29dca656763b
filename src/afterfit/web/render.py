"""Pages as HTML in the frame of the dashboard, and as JSON."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.web.parts import Plot, View

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["AREAS", "context", "html", "json", "warm"]

TEMPLATES = Path(__file__).parent / "templates"
AREAS = {
    "/": "Models",
    "/endpoints": "Endpoints",
    "/rollouts": "Rollouts",
    "/signals": "Signals",
    "/alarms": "Alarms",
    "/loads": "Load",
    "/records": "Records",
}


def html(view: View, *, user: str = "") -> str:
    """Return a page as a whole document; ``user`` is the name of the key that was shown."""
    template = environment().get_template(view.template)
    return template.render(view=view, areas=AREAS, user=user)


def context(view: View) -> dict[str, Any]:
    """Return what a page says, by the names of its fields; its HTML is made from nothing else."""
    return {each.name: getattr(view, each.name) for each in fields(view)}


def json(view: View) -> bytes:
    """Return a page as JSON: ``{page, title, data}``; numbers that are none are null."""
    told = {"page": type(view).__name__, "title": view.title, "data": context(view)}
    return msgspec.json.encode(told, enc_hook=str)


@cache
def environment() -> Environment:
    """Return the environment of the reports with the frame of the dashboard around it."""
    import jinja2

    from afterfit.report.html import environment as reports

    found = reports().overlay()
    found.loader = jinja2.ChoiceLoader(
        [jinja2.FileSystemLoader(TEMPLATES), found.loader or jinja2.DictLoader({})]
    )
    found.filters = {**found.filters, "svg": drawing}
    return found


def drawing(chart: Any) -> Markup:
    """Return a chart's SVG: of ours for plots of the dashboard, else that of the reports."""
    from markupsafe import Markup

    if isinstance(chart, Plot):
        from afterfit.web.draw import svg

        return Markup(svg(chart.drawing, chart.title, chart.description))  # noqa: S704 - made as a tree
    from afterfit.report.html import drawing as of_report

    return of_report(chart)


def warm() -> None:
    """Load what the first chart of a report needs, which takes seconds; for a thread of its own."""
    from afterfit.report.chart import svg
    from afterfit.report.page import Bars

    svg(Bars(("a",), (1.0,), "b"), "", "")
