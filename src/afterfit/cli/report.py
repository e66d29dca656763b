"""``afterfit report``: the page of a release, as HTML, text or Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.report import markdown, text
from afterfit.store.files import write_bytes
from afterfit.workspace.publish import write_page

Form = Literal["html", "text", "markdown"]


def report(
    ref: str,
    *,
    format: Annotated[Form, Parameter(name="--format")] = "html",  # noqa: A002 - the option's name
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Write the page of a release: verdict first, then problems with fixes, then the evidence.

    Parameters
    ----------
    ref
        A version, such as churn@champion or churn@3.
    format
        html, text or markdown.
    output
        Where to write it; text and Markdown go to stdout without it.

    """
    with opened(common) as space:
        release = space.release(ref)
    page = release.page
    shown = {"text": text.render, "markdown": markdown.render}
    content = release.html if format == "html" else shown[format](page)
    path = output or (release.path if format == "html" else None)
    if output is not None:
        write_bytes(output, content.encode())
    elif path is not None:
        write_page(release)
    result = {"report": None if path is None else str(path), "page": page.as_dict()}
    return Answer(result, content if path is None else f"Page: {path}")
