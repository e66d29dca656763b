"""``python -m afterfit`` is the command line."""

from afterfit.cli import main

main()
