"""The list of checks, in the order in which they run."""

from __future__ import annotations

from afterfit.testing.conformance.check import Check, checks_of
from afterfit.testing.conformance.checks import (
    afterwards,
    answers,
    binary,
    binary_faults,
    clients,
    connections,
    faults,
    metadata,
    requests,
)

__all__ = ["CHECKS"]

_MODULES = (
    metadata,
    answers,
    requests,
    faults,
    clients,
    binary,
    binary_faults,
    connections,
    afterwards,
)
CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in checks_of(module))
