"""``afterfit explain CODE``: the page of one kind of finding."""

from __future__ import annotations

import importlib
import textwrap
from importlib.resources import files
from importlib.resources.abc import Traversable

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.core.finding import Check
from afterfit.errors import NotFoundError

WIDTH = 88


def explain(code: str = "", *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Print what a finding looks for, why it matters, and how to mend it.

    Parameters
    ----------
    code
        A code such as A003; without one, all codes are listed.

    """
    checks = load_checks()
    if not code:
        rows = [(name, check.severity, check.title) for name, check in sorted(checks.items())]
        return Answer(
            [
                {"code": name, "severity": severity, "title": title}
                for name, severity, title in rows
            ],
            table(rows, ("code", "severity", "title")),
        )
    check = checks.get(code.upper())
    if check is None:
        raise NotFoundError(
            f"no finding has the code {code!r}", fix="afterfit explain   # lists them all"
        )
    page = check.page()
    text = f"{check.code}  {check.title}  (severity: {check.severity})\n\n{_laid_out(page)}"
    result = {"code": check.code, "title": check.title, "severity": check.severity}
    return Answer(result | {"page": _named(page)}, text)


def _laid_out(page: dict[str, str]) -> str:
    """Return the page as paragraphs, each behind its label."""
    paragraphs = (f"{label}: {text}" if label else text for label, text in page.items())
    return "\n\n".join(textwrap.fill(each, WIDTH, break_on_hyphens=False) for each in paragraphs)


def _named(page: dict[str, str]) -> dict[str, str]:
    return {label.lower().replace(" ", "_") or "summary": text for label, text in page.items()}


def _load(folder: Traversable, package: str) -> None:
    """Import the findings of a package, where it has some."""
    if folder.joinpath("findings.py").is_file() or folder.joinpath("findings").is_dir():
        importlib.import_module(f"{package}.findings")


def load_checks() -> dict[str, type[Check]]:
    """Return every kind of finding by its code, of all steps."""
    for folder in files("afterfit").iterdir():
        if folder.is_dir():
            _load(folder, f"afterfit.{folder.name}")
            for inner in folder.iterdir():
                if inner.is_dir() and inner.name != "findings":
                    _load(inner, f"afterfit.{folder.name}.{inner.name}")
    return dict(Check.registry)
