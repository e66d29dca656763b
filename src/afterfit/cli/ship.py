"""``afterfit ship``: the whole line, from a model file to a promoted version."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.lossy import Lossy
from afterfit.cli.output import Answer
from afterfit.cli.sources import Tables
from afterfit.report import text
from afterfit.workspace.release import Release


def ship(
    model: str,
    *,
    name: str = "",
    promote: Annotated[bool, Parameter(help="Promote it if every gate passes.")] = True,
    override: Annotated[str | None, Parameter(help="Why to promote in spite of the gates.")] = None,
    tables: Tables = Tables(),  # noqa: B008 - frozen
    lossy: Lossy = Lossy(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Walk the line: inspect, assess, optimize, package, robustness, loadtest, register, promote.

    Exit 0: promoted (or registered, with --no-promote). Exit 1: a gate failed; it is registered
    but not promoted. There is always a page that says what was seen.

    Parameters
    ----------
    model
        A model file, or module:function with --code.
    name
        What the model is called; its file's name by default.

    """
    with opened(common, tables.overrides() | lossy.overrides(), create=True) as space:
        data = space.config.data
        release = space.ship(
            model,
            data.data or None,
            data.target or None,
            train=data.train or None,
            name=name,
            promote=promote,
            override=override,
            fresh=tables.fresh,
        )
    return Answer(as_result(release), head(release), release.exit_code)


def head(release: Release) -> str:
    """Return what a person needs first: verdict, gates and problems; the page has all of it."""
    page = dataclasses.replace(release.page, sections=release.page.sections[:1])
    name = f"{release.record.name}@{release.record.version}"
    return "\n".join(
        [
            text.render(page),
            f"Page: {release.path}",
            f"The whole of it here: afterfit report {name} --format text",
        ]
    )


def as_result(release: Release) -> dict[str, Any]:
    """Return a release as the ``result`` of ``--json``."""
    return {
        "name": release.record.name,
        "version": release.record.version,
        "digest": release.record.bundle,
        "verdict": release.verdict,
        "why": release.record.why,
        "gates": msgspec.to_builtins(release.gates),
        "records": release.record.records,
        "reused": list(release.record.reused),
        "skipped": release.record.skipped,
        "report": str(release.path),
    }
