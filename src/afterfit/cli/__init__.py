"""The command line: one thin file per command; ``output`` owns streams, JSON and exit codes."""

from __future__ import annotations

import sys

from afterfit.cli import interrupt

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    interrupt.listen()
    try:
        from afterfit.cli.app import run
    except BaseException as error:  # noqa: BLE001 - ctrl-C comes during an import too, as any error
        from afterfit.cli.output import as_afterfit_error, print_error

        code = print_error("", as_afterfit_error(error), as_json="--json" in sys.argv)
    else:
        code = run(sys.argv[1:])
    interrupt.finish()
    sys.exit(code)
