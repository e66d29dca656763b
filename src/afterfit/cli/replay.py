"""``afterfit replay``: what another version would have said of rows that were served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.durations import seconds_of
from afterfit.cli.output import Answer
from afterfit.errors import UsageError
from afterfit.report.build import record_page
from afterfit.report.html import render as as_html
from afterfit.report.text import render
from afterfit.store.files import write_bytes
from afterfit.workspace.replaying import replay as score_again

NONE = Common()


def replay(
    name: str,
    *,
    on: Annotated[str, Parameter(help="The version that is asked now: a number or an alias.")],
    since: Annotated[str, Parameter(help="How far back: 7d, 12h; all without it.")] = "",
    log: Annotated[
        Path | None, Parameter(help="A table of inputs in place of events; the champion is asked.")
    ] = None,
    events: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="Where servers write: a folder, s3://…, postgresql://….",
        ),
    ] = "",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="A page.")] = None,
    common: Common = NONE,
) -> Answer:
    """Score rows that were served with another version, offline, and compare the answers.

    Where labels came both are judged on the same rows; elsewhere you see how often they disagree.
    The inputs are those that events captured (`serve --capture all`), or a table.

    Parameters
    ----------
    name
        The model's name.

    """
    if since and log is not None:
        raise UsageError("a table has no time to look back", fix="leave out --since, or --log")
    if events and log is not None:
        raise UsageError("rows are of events or of a table", fix="leave out --events, or --log")
    back = _back(since) if since else None
    with opened(common) as space:
        stored = score_again(space, name, on, since_s=back, log=log, events=events)
    page = record_page(stored)
    if output is not None:
        write_bytes(output, as_html(page).encode())
    text = render(page) if output is None else f"Page: {output}"
    return Answer(msgspec.to_builtins(stored), text, warnings=space.warnings)


def _back(text: str) -> float:
    """Return seconds; days are told as ``7d``."""
    if text.endswith("d") and text[:-1].replace(".", "", 1).isdigit() and float(text[:-1]):
        return 86_400 * float(text[:-1])
    return seconds_of(text, "--since")
