"""``afterfit trust``: see what a model file holds, and let something in on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, folder_of, opened
from afterfit.cli.output import Answer
from afterfit.models.audit import audit as look


def trust(
    file: Path,
    *,
    allow: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    i_know_it_runs_code: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Show what a model file holds without loading it; let names in with --allow.

    What is let in is bound to the file's digest and written to the audit log.

    Parameters
    ----------
    file
        The model file.
    allow
        Names to let in, such as mypkg.Encoder.
    i_know_it_runs_code
        Let in names, too, that are known to be dangerous, such as posix.system.

    """
    allowed: frozenset[str] = frozenset()
    if allow or folder_of(common).is_dir():
        with opened(common, create=bool(allow)) as space:
            audit, allowed = space.trust(file, tuple(allow or ()), hostile=i_know_it_runs_code)
    else:
        # To look comes first, before there is a workspace; nothing is let in by looking.
        audit = look(file)
    clean = audit.verdict == "clean" and not audit.let_in
    verdict = audit.verdict if clean or audit.verdict != "clean" else "hostile, let in by you"
    lines = [f"{file}: {audit.format}, sha256 {audit.digest}", f"verdict: {verdict}"]
    lines += [f"  let in, though it {reason}: {name}" for name, reason in audit.let_in]
    lines += [f"  hostile: {name} ({reason})" for name, reason in audit.dangerous]
    lines += [f"  unknown: {name}" for name in audit.unknown]
    lines += [f"  note: {note}" for note in audit.notes]
    lines += [f"  allowed for this file: {name}" for name in sorted(allowed)]
    told = "hostile" if audit.let_in else audit.verdict
    result = {**msgspec.to_builtins(audit), "verdict": told, "allowed": sorted(allowed)}
    return Answer(result, "\n".join(lines))
