"""``afterfit incident``: what changed, whom it touched, the way back, and the proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.durations import seconds_of
from afterfit.cli.output import Answer
from afterfit.report import html, markdown, text
from afterfit.report.incident import incident_page
from afterfit.store.files import write_bytes
from afterfit.workspace.incidents import incident as look

Form = Literal["text", "html", "markdown"]


def incident(
    alarm: str = "",
    *,
    since: Annotated[str, Parameter(help="How far back instead: 2h, 30m.")] = "",
    model: Annotated[str, Parameter(help="One model; all without it.")] = "",
    format: Annotated[Form, Parameter(name="--format")] = "text",  # noqa: A002 - the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Gather what is known of an alarm, or of the last hours, without changing anything.

    What changed (audit log, endpoints, configuration, data, certificate, platform), which requests
    were touched, what the version before says of them where inputs were captured, the command that
    goes back, and the proof: head of the audit log and digests, every byte hashed.

    Parameters
    ----------
    alarm
        The id of an alarm, as `afterfit monitor alarms` shows it.
    format
        text, html (a page with plots) or markdown.
    output
        Where to write it; a page goes to reports/ of the workspace without it.

    """
    with opened(common) as space:
        back = seconds_of(since, "--since") if since else None
        found = look(space, alarm, since_s=back, model=model)
        name = f"incident-{found.until[:19].replace(':', '')}.html"
        place = output or (space.reports / name if format == "html" else None)
    page = incident_page(found)
    if format == "html":
        html.require_charts()
    shown = {"text": text.render, "html": html.render, "markdown": markdown.render}[format](page)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, shown.encode())
    result = {**msgspec.to_builtins(found), "page": None if place is None else str(place)}
    return Answer(result, shown if place is None else f"Page: {place}", warnings=space.warnings)
