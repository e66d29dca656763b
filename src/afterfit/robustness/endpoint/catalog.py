"""The list of checks in the order in which they run: what may do harm comes last."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.errors import UsageError
from afterfit.robustness.endpoint.check import EndpointCheck, checks_of
from afterfit.robustness.endpoint.checks import (
    connections,
    payloads,
    requests,
    rows,
    service,
    values,
)

_MODULES = (service, rows, requests, values, connections, payloads)
CHECKS: tuple[EndpointCheck, ...] = tuple(
    check for module in _MODULES for check in checks_of(module)
)


def chosen(names: Sequence[str]) -> tuple[EndpointCheck, ...]:
    """Return the checks of these names or groups, all where none is named; raises UsageError."""
    known = {check.id for check in CHECKS} | {group_of(check) for check in CHECKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"no check is called {', '.join(map(repr, unknown))}",
            where="--only",
            why=f"the groups are {', '.join(dict.fromkeys(map(group_of, CHECKS)))}",
            fix="--only request   # or one check, such as request.missing-field",
        )
    return tuple(c for c in CHECKS if not names or c.id in names or group_of(c) in names)


def group_of(check: EndpointCheck) -> str:
    """Return the first word of a check's name."""
    return check.id.partition(".")[0]
