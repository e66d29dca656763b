"""endpoint.yml and deployment.yml of a folder, read by Azure's own library."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

logging.disable(logging.ERROR)


def main() -> int:
    """Print what was found; return how many files are bad."""
    from azure.ai.ml import load_online_deployment, load_online_endpoint

    folder, bad = Path(sys.argv[1]), 0
    readers = {"endpoint.yml": load_online_endpoint, "deployment.yml": load_online_deployment}
    for name, read in readers.items():
        try:
            read(folder / name)
            print(f"ok {name}")  # noqa: T201 - this is how it answers
        except Exception as error:  # noqa: BLE001 - whatever the library objects to
            bad += 1
            print(f"bad {name}: {' '.join(str(error).split())[:600]}")  # noqa: T201
    return bad


if __name__ == "__main__":
    sys.exit(main())
