"""What following an alias costs at each look: a pointer, or a version with every byte hashed.

    python bench/registry/follow.py [--megabytes 50] [--repeats 20]

Both are timed in one run for files and for PostgreSQL with blobs in a folder, on a version that
does not change: "pointer" is what a server asks twice a second, "checkout" what it asks when the
pointer has moved. The result is written to bench/results/registry_follow.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from scale import bundle, times
from team import team_url

from afterfit.config import Config
from afterfit.store.environment import current_environment
from afterfit.workspace import Workspace

RESULT = Path(__file__).parents[1] / "results" / "registry_follow.json"


def measured(told: str, folder: Path, megabytes: int, repeats: int) -> dict[str, Any]:
    """Return what one kind of storage takes for a look."""
    space = Workspace(told, config=Config())
    space.registry.register("churn", bundle(folder, 1, megabytes * 1_000_000), who="bench")
    space.registry.promote("churn", 1, who="bench")
    ref = "churn@champion"
    space.version(ref)
    return {
        "pointer": times(lambda: space.registry.pointed(ref), repeats),
        "checkout": times(lambda: space.version(ref), repeats),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    sizes = (options.megabytes, options.repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with team_url(folder) as url:
            result = {
                "files": measured(str(folder / ".afterfit"), folder / "one", *sizes),
                "postgres": measured(url, folder / "two", *sizes),
            }
    env = current_environment()
    machine = {"load_average": os.getloadavg()[0], "cpu": env.cpu, "cores": env.cores}
    told = {"arguments": vars(options), "machine": machine, **result}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
