"""``afterfit report``: the page of a release, as HTML, text or Markdown, or its summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.report import ci, markdown, text
from afterfit.store.files import write_bytes
from afterfit.workspace.publish import write_page
from afterfit.workspace.release import Release

Form = Literal["html", "text", "markdown", "ci"]


def report(
    ref: str,
    *,
    format: Annotated[Form, Parameter(name="--format")] = "html",  # noqa: A002 - the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Write the page of a release: verdict first, then problems with fixes, then the evidence.

    Exit 1 with --format ci where a gate did not pass, also if nobody asked for the promotion.

    Parameters
    ----------
    ref
        A version, such as churn@champion or churn@3.
    format
        html, text or markdown; ci is a short Markdown summary for a pull request or a job's page.
    output
        Where to write it; all but HTML go to stdout without it.

    """
    with opened(common) as space:
        release = space.release(ref)
    page = release.page
    code = ci.exit_code(release.record) if format == "ci" else 0
    content = _content(release, format)
    path = output or (release.path if format == "html" else None)
    if output is not None:
        write_bytes(output, content.encode())
    elif path is not None:
        write_page(release)
    result = {"report": None if path is None else str(path), "page": page.as_dict()}
    return Answer(result, content if path is None else f"Page: {path}", code)


def _content(release: Release, form: Form) -> str:
    if form == "html":
        return release.html
    if form == "ci":
        return ci.summary(release.page, ci.exit_code(release.record))
    return {"text": text.render, "markdown": markdown.render}[form](release.page)
