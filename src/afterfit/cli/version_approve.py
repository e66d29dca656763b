"""``afterfit version approve``: agree to a version that somebody else shall promote."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.workspace.approving import approve as approve_version

NONE = Common()


def approve(
    ref: str,
    *,
    why: Annotated[str, Parameter(help="What you looked at, for the audit log.")],
    common: Common = NONE,
) -> Answer:
    """Approve a version: its bytes, with what its gates say now.

    Where `[approvals]` asks for it, a version is promoted only after others have approved it. New
    evidence that changes what a gate says needs a new approval.

    Parameters
    ----------
    ref
        A version, such as churn@3.

    """
    with opened(common) as space:
        version, entry = approve_version(space, ref, why=why)
        required = space.config.approvals.required
    gates = entry.details["gates"]
    said = ", ".join(f"{each['gate']}: {each['outcome']}" for each in gates) or "there are no gates"
    text = f"{entry.who} approves {version}\n{said}"
    if not required:
        text += "\n[approvals] asks for none: set approvals.required"
    return Answer(msgspec.to_builtins(entry), text, warnings=space.warnings)
