"""``afterfit version diff``: what changes from one version to another, and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.records.diff import RowsCompared
from afterfit.registry.diff import VersionDiff
from afterfit.report import html, markdown, text
from afterfit.report.page import Page
from afterfit.report.version_diff import Sides, diff_page
from afterfit.store.files import write_bytes
from afterfit.workspace.comparing import compare_on_rows, full_reference

Form = Literal["text", "html", "markdown"]
NONE = Common()


def diff(
    first: str,
    second: str,
    *,
    data: Annotated[
        Path | None, Parameter(help="Rows, best labelled ones, to ask both versions for.")
    ] = None,
    format: Annotated[Form, Parameter(name="--format")] = "text",  # noqa: A002 - the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = NONE,
) -> Answer:
    """Say what changes from one version to another: for callers, in answers, speed and contents.

    With --data both are asked for the same rows: each metric has a paired interval and is
    improved, regressed or cannot be told; decisions that flip are counted, and parts of the rows
    where more of them flip are searched for. Exit 0 whatever it says: a gate decides, not a diff.

    Parameters
    ----------
    first
        The older one, such as churn@1; 1 where there is one model.
    second
        The newer one, such as churn@2.
    format
        text, html (a page with plots) or markdown.
    output
        Where to write it; a page goes to reports/ of the workspace without it.

    """
    with opened(common) as space:
        old, new = (full_reference(space, ref) for ref in (first, second))
        found = space.registry.diff(old, new, records=space.records)
        rows = None if data is None else compare_on_rows(space, old, new, data)
        page = diff_page(_sides(found, rows))
        numbers = f"{found.old.name}-{found.old.number}-{found.new.number}"
        place = output or (space.reports / f"{numbers}-diff.html" if format == "html" else None)
    content = _content(page, format)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content.encode())
    result: dict[str, Any] = msgspec.to_builtins(found)
    result |= {
        "breaking": bool(found.breaking),
        "rows": msgspec.to_builtins(rows),
        "page": None if place is None else str(place),
    }
    return Answer(result, content if place is None else f"Page: {place}")


def _content(page: Page, form: Form) -> str:
    if form == "html":
        html.require_charts()
    return {"text": text.render, "html": html.render, "markdown": markdown.render}[form](page)


def _sides(found: VersionDiff, rows: RowsCompared | None) -> Sides:
    return Sides(
        old=f"{found.old.name}@{found.old.number}",
        new=f"{found.new.name}@{found.new.number}",
        digests=(found.old.digest, found.new.digest),
        signature=found.signature,
        variant=found.variant,
        dependencies=found.dependencies,
        settings=found.settings,
        files=[(f.path, f.state, f.old_size, f.new_size) for f in found.files],
        metrics=[(m.step, m.name, m.scope, m.old, m.new) for m in found.metrics],
        sizes=found.sizes,
        skipped=found.skipped,
        rows=rows,
    )
