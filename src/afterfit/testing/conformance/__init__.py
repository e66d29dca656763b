"""A conformance suite for servers of the Open Inference Protocol, version 2, over REST.

``run(url, model=…)`` returns a :class:`Report`; ``CHECKS`` lists what is checked.
"""

from __future__ import annotations

from afterfit.testing.conformance.catalog import CHECKS
from afterfit.testing.conformance.check import Check, Outcome
from afterfit.testing.conformance.run import Report, run

__all__ = ["CHECKS", "Check", "Outcome", "Report", "run"]
