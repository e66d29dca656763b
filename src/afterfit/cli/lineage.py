"""``afterfit version lineage``: from the data of a version to the endpoints that have it."""

from __future__ import annotations

import msgspec

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.errors import ForbiddenError

NONE = Common()


def lineage(ref: str, *, common: Common = NONE) -> Answer:
    """Show where a version came from and where it went, and draw it on a page.

    Data with its DVC hash, commit, model, records, version, packages, and the endpoints of this
    machine.

    Parameters
    ----------
    ref
        A version, such as churn@3.

    """
    from afterfit.registry.lineage.chain import told
    from afterfit.workspace.lineage import chain_of, write_diagram

    with opened(common) as space:
        chain = chain_of(space, ref)
        page = ""
        try:
            page = str(write_diagram(space, chain))
        except ForbiddenError as error:
            space.warnings.append(f"the page was not written: {error.message}")
    result = {**msgspec.to_builtins(chain), "page": page}
    text = told(chain) + (f"\n\nPage: {page}" if page else "")
    return Answer(result, text, warnings=space.warnings)
