"""``afterfit version score|attest|card``: what a version can show, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.core.digest import short
from afterfit.report import html, markdown, text
from afterfit.report.page import Page
from afterfit.report.score import score_page
from afterfit.store.files import write_bytes

Form = Literal["text", "markdown", "html"]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
NONE = Common()
RENDERERS = {"text": text.render, "markdown": markdown.render, "html": html.render}


def score(
    ref: str,
    *,
    format: Annotated[Form, Parameter(name="--format")] = "text",  # noqa: A002 - the option's name
    output: Output = None,
    common: Common = NONE,
) -> Answer:
    """Count what a version can show of the 28 items of the ML Test Score.

    The score is that of the weakest of four sections. An automated check that passed counts 1, a
    person's word with a date 0.5; what was not run counts nothing.

    Parameters
    ----------
    ref
        A version, such as churn@champion or churn@3.
    format
        text, markdown or html.
    output
        Where to write it; stdout without it.

    """
    with opened(common) as space:
        version = space.registry.resolve(ref)
        found = space.score(ref)
    page = score_page(str(version), short(version.digest), found)
    return _answer(found.as_dict(), page, RENDERERS[format](page), output)


def attest(
    ref: str,
    item: str,
    *,
    why: str,
    days: int = 180,
    common: Common = NONE,
) -> Answer:
    """Vouch for an item of the ML Test Score that no check can show.

    Your name, the day and the reason become a line of the audit log; the word expires.

    Parameters
    ----------
    ref
        A model or one of its versions, such as churn@champion.
    item
        The item's name, as `afterfit version score` shows it.
    why
        Where it can be seen: a document, a merge request, a test run.
    days
        For how many days the word is good, 366 at most.

    """
    with opened(common) as space:
        word = space.attest(ref, item, why=why, days=days)
    result = {
        "item": word.item,
        "owner": word.owner,
        "made": word.made.isoformat(),
        "expires": word.expires.isoformat(),
        "why": word.why,
        "line": word.line,
    }
    told = (
        f"{word.owner} vouches for {word.item} until {word.expires} (audit log, line {word.line})"
    )
    return Answer(result, told)


def card(
    ref: str,
    *,
    format: Annotated[Form, Parameter(name="--format")] = "markdown",  # noqa: A002 - as above
    output: Output = None,
    common: Common = NONE,
) -> Answer:
    """Write the model card of a version from its records and from [card] of afterfit.toml.

    Markdown begins with the metadata that Hugging Face reads.

    Parameters
    ----------
    ref
        A version, such as churn@champion or churn@3.
    format
        markdown, html or text.
    output
        Where to write it; stdout without it.

    """
    with opened(common) as space:
        page, whole = space.card(ref)
    if format != "markdown":
        whole = RENDERERS[format](page)
    return _answer({"page": page.as_dict()}, page, whole, output)


def _answer(result: dict[str, object], page: Page, content: str, output: Path | None) -> Answer:
    if output is None:
        return Answer(result, content)
    write_bytes(output, content.encode())
    return Answer({**result, "written": str(output)}, f"{page.title}: {output}")
