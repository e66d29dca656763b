"""``afterfit explain CODE``: the page of one kind of finding."""

from __future__ import annotations

import importlib
import inspect
from importlib.resources import files

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.core.finding import Check
from afterfit.errors import NotFoundError


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
    page = inspect.getdoc(check) or ""
    text = f"{check.code}  {check.title}  (severity: {check.severity})\n\n{page}"
    return Answer({"code": check.code, "title": check.title, "page": page}, text)


def load_checks() -> dict[str, type[Check]]:
    """Return every kind of finding by its code, of all steps."""
    for folder in files("afterfit").iterdir():
        if folder.is_dir() and folder.joinpath("findings.py").is_file():
            importlib.import_module(f"afterfit.{folder.name}.findings")
    return dict(Check.registry)
