"""``afterfit version cases``: what a version failed at, as commands and as tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.core.digest import short
from afterfit.core.shell import shell_word
from afterfit.report.cases import cases_page
from afterfit.report.text import render
from afterfit.robustness.kept import told_case
from afterfit.workspace.case_book import portable
from afterfit.workspace.exported import TESTS

NONE = Common()


def cases(
    ref: str,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    real_rows: Annotated[
        bool,
        Parameter(name="--with-real-rows", negative="", help="Cases that only real rows show."),
    ] = False,
    common: Common = NONE,
) -> Answer:
    """List what a version failed at in its smallest form, or write it as tests.

    With a folder: cases.json, a curl command for each case, and a file for pytest that asks them
    again of a server (AFTERFIT_URL) or of a version of the workspace.

    Parameters
    ----------
    ref
        A version, such as churn@champion or churn@3.
    output
        A folder to write to; a list on stdout without it.
    real_rows
        Write and show values of real rows too: where only they show a case, it is left out else.

    """
    with opened(common) as space:
        version = space.registry.resolve(ref)
        document = space.cases(ref)
        shown = portable(document, real_rows=real_rows)
        held = len(document.cases) - len(shown)
        if output is not None:
            space.export_cases(ref, output, real_rows=real_rows)
    told = [told_case(case, real_rows=real_rows) for case in document.cases]
    result = {"version": str(version), "cases": msgspec.to_builtins(told), "left_out": held}
    left = f"{held} of {len(told)} cases have values of real rows, left out: --with-real-rows"
    warnings = [left] if held else []
    if output is None:
        examples = document.examples if real_rows else ()
        page = cases_page(str(version), short(version.digest), told, examples)
        return Answer(result, render(page), warnings=warnings)
    tests = shell_word(output / TESTS)
    done = f"{len(shown)} cases in {output}: AFTERFIT_URL=http://127.0.0.1:8080 pytest {tests}"
    return Answer({**result, "written": str(output)}, done, warnings=warnings)
