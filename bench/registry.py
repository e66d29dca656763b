"""What a promotion and a rollback take, beside hashing the bytes.

    python bench/registry.py [--megabytes 50] [--versions 200] [--repeats 30]

A registry with many versions of a model, all of whose moves stand in the log, is promoted and
rolled back; the time to hash one version is measured by itself. The result is written to
bench/results/registry.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from afterfit.core.bundle import write_manifest
from afterfit.registry.registry import Registry
from afterfit.registry.verification import check_version
from afterfit.store.blobs import BlobStore
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "registry.json"


def filled(folder: Path, megabytes: int, versions: int) -> Registry:
    """Return a registry of versions that share one big file; each was champion once."""
    registry = Registry(folder / ".afterfit", BlobStore(folder / ".afterfit"))
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "model.bin").write_bytes(os.urandom(megabytes * 1_000_000))
    for number in range(1, versions + 1):
        (bundle / "variant.json").write_text(json.dumps({"number": number}))
        write_manifest(bundle)
        registry.register("churn", bundle, who="bench")
        if number > versions - 20:
            registry.promote("churn", number, who="bench")
    return registry


def milliseconds(action: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return the median and the greatest time of an action, in ms."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        spent.append((time.perf_counter() - start) * 1000)
    return {"median_ms": statistics.median(spent), "max_ms": max(spent), "n": repeats}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--versions", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        registry = filled(Path(folder), options.megabytes, options.versions)
        champion = registry.resolve("churn")

        def there_and_back() -> None:
            registry.rollback("churn", who="bench", why="bench")
            registry.promote("churn", champion.number, who="bench")

        hashing = milliseconds(lambda: check_version(registry.blobs, champion), options.repeats)
        both = milliseconds(there_and_back, options.repeats)
        measured = {
            "hash_one_version": hashing,
            "rollback_and_promote": both,
            "rollback_and_promote_beside_hashing_ms": both["median_ms"] - 2 * hashing["median_ms"],
            "resolve": milliseconds(lambda: registry.resolve("churn"), options.repeats),
            "verify_log": milliseconds(registry.verify_log, options.repeats),
            "log_lines": registry.verify_log().lines,
        }
    env = current_environment()
    machine = {"cpu": env.cpu, "cores": env.cores, "python": env.python, "system": env.system}
    result = {"arguments": vars(options), "machine": machine, **measured}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
