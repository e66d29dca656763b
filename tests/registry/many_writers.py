"""A script: register a bundle of one's own and a shared one, then promote one's own.

``python many_writers.py WORKSPACE OWN SHARED GATE`` waits for the file GATE, so that many start at
once, and prints the number of its own version.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from afterfit.errors import ConflictError
from afterfit.registry.shared.opening import open_stores


def main(folder: Path, own: Path, shared: Path, gate: Path) -> int:
    """Return the number of its own version."""
    while not gate.exists():
        time.sleep(0.001)
    registry = open_stores(folder).registry
    who = f"process-{os.getpid()}"
    number = registry.register("churn", own, who=who).number
    registry.register("churn", shared, who=who, evidence={who: "a" * 64})
    while True:
        try:
            registry.promote("churn", number, who=who)
        except ConflictError:
            continue
        return number


if __name__ == "__main__":
    print(main(*map(Path, sys.argv[1:])))  # noqa: T201 - the answer to the test
