"""The command line: one thin file per command; ``output`` owns streams, JSON and exit codes."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from afterfit.cli.app import run

    sys.exit(run(sys.argv[1:]))
