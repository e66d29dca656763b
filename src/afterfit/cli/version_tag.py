"""``afterfit version tag``: a tag of Git that names a version's digest."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer

NONE = Common()


def tag(
    ref: str,
    *,
    commit: Annotated[str, Parameter(help="Which; by default the one it was shipped from.")] = "",
    common: Common = NONE,
) -> Answer:
    """Put an annotated tag NAME/N, with the digest, on the commit that a version was shipped from.

    It is put into the Git repository of this folder, and not pushed.

    Parameters
    ----------
    ref
        A version, such as churn@3.

    """
    from afterfit.workspace.lineage import tagged

    with opened(common) as space:
        made = tagged(space, ref, commit=commit)
    state = "is now" if made.new else "was already"
    text = f"{made.name} {state} on {made.commit[:12]}, with sha256:{made.digest}"
    text += f"\nTo push it: git push origin {made.name}" if made.new else ""
    return Answer(msgspec.to_builtins(made), text, warnings=space.warnings)
