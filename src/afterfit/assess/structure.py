"""How the rows of a table hang together, by the columns that its owner named."""

from __future__ import annotations

from afterfit.assess import findings
from afterfit.assess.splits import members_of, seconds_of
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.stats.units import FEW_UNITS, Units, blocks, groups

__all__ = ["about_structure", "units_of"]


def units_of(data: Dataset) -> Units | None:
    """Return what is drawn whole: groups, entities that come twice, or blocks in time.

    None where rows are independent as far as anybody said. Rows without a group are one group.
    Raises InputError for times that have no order.
    """
    for role, column in (("group", data.group), ("entity", data.entity)):
        if column is not None and len(column):
            found = groups(members_of(column), data.roles.get(role, role))
            if found is not None:
                return found
    if data.time is None:
        return None
    return blocks(seconds_of(data.time), data.roles.get("time", "time"))


def about_structure(units: Units | None, main: Metric | None) -> Finding:
    """Return what the intervals know of the rows; ``main`` is the metric that counts."""
    check = findings.RowsTogether
    if units is None:
        text = "no group, entity or time is named: rows are taken as independent"
        return check.not_applicable(text)
    what = "groups" if units.kind == "groups" else "blocks of neighbours in time"
    text = f"intervals draw whole {what} of the column {units.column!r}"
    if main is None or main.low is None:
        return check.skipped(f"{text}, which gave none: {main.method if main else 'no metric'}")
    text = f"{text}; {main.name}: {main.method}"
    if main.method.endswith("approximate") and units.kind == "groups" and units.count < FEW_UNITS:
        fix = "label rows of other groups"
        return check.tip(f"{text}: {units.count} are few", fix=fix, groups=units.count)
    return check.passed(text, kind=units.kind)
