"""Ten thousand versions, in files and in PostgreSQL: list, promote, roll back; and verify bytes.

    python bench/registry/scale.py [--versions 10000] [--megabytes 2000] [--repeats 20]

The versions are lines of one log; the last two have real bundles, which are promoted and rolled
back in turn, and the time to hash one is measured beside it. "first" is a registry that was just
opened, as each command does. While the lines are filled in, nothing is brought to the disk; while
it is measured, everything is. The result is written to bench/results/registry_scale.json.
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
from typing import Any
from unittest import mock

from team import team_url

from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.registry.registry import Registry
from afterfit.registry.shared.opening import open_stores
from afterfit.registry.verification import check_version
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parents[1] / "results" / "registry_scale.json"


def bundle(folder: Path, number: int, size: int) -> Path:
    """Return the folder of a bundle with a file of ``size`` bytes."""
    folder.mkdir()
    variant = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model.bin")
    (folder / "variant.json").write_bytes(canonical_json(variant))
    with (folder / "model.bin").open("wb") as stream:
        for _ in range(max(1, size // 1_000_000)):
            stream.write(os.urandom(min(size, 1_000_000)))
    (folder / "number").write_text(str(number))
    write_manifest(folder)
    return folder


def filled(registry: Registry, versions: int, folder: Path) -> None:
    """Add lines of versions without bytes, then two with bytes; each tenth was champion once."""
    storage = registry.storage
    for begin in range(1, versions - 1, 1000):
        with storage.changing():
            for number in range(begin, min(begin + 1000, versions - 1)):
                digest = sha256_bytes(str(number).encode())
                details: dict[str, Any] = {"digest": digest, "evidence": {"assess": "a" * 64}}
                words = {"who": "bench", "name": "churn", "to": str(number)}
                storage.shelf.apply(storage.audit.append("register", details=details, **words))
                if number % 10 == 0:
                    details = {"alias": "champion", "digest": digest}
                    source = str(number - 10) if number > 10 else ""
                    line = storage.audit.append("promote", details=details, source=source, **words)
                    storage.shelf.apply(line)
    for number in (1, 2):
        registry.register("churn", bundle(folder / f"b{number}", number, 1000), who="bench")


def times(action: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return the median and the greatest time of an action, and its own CPU time, in ms."""
    spent, used = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        action()
        spent.append((time.perf_counter() - start) * 1000)
        used.append((time.process_time() - cpu) * 1000)
    median = statistics.median
    return {"median_ms": median(spent), "max_ms": max(spent), "cpu_ms": median(used), "n": repeats}


def measured(told: str | Path, folder: Path, versions: int, repeats: int) -> dict[str, Any]:
    """Return what one kind of storage takes."""
    registry = open_stores(told).registry
    with mock.patch("os.fsync"):
        filled(registry, versions, folder)
    last = registry.list("churn")[-1]
    registry.promote("churn", last.number - 1, who="bench")

    def promote() -> None:
        registry.promote("churn", last.number, who="bench")

    def rollback() -> None:
        registry.rollback("churn", who="bench", why="bench")

    def there_and_back() -> None:
        promote()
        open_stores(told).registry.rollback("churn", who="bench", why="bench")

    promoting, rolling = [], []
    for _ in range(repeats):
        promoting.append(times(promote, 1)["median_ms"])
        rolling.append(times(rollback, 1)["median_ms"])
    hashing = times(lambda: check_version(registry.blobs, last), repeats)
    return {
        "versions": len(registry.list()),
        "log_lines": registry.verify_log().lines,
        "list_first": times(lambda: open_stores(told).registry.list("churn"), repeats),
        "list_again": times(lambda: registry.list("churn"), repeats),
        "resolve": times(lambda: registry.resolve("churn"), repeats),
        "hash_one_version": hashing,
        "promote": {
            "median_ms": statistics.median(promoting),
            "max_ms": max(promoting),
            "n": repeats,
        },
        "rollback": {"median_ms": statistics.median(rolling), "max_ms": max(rolling), "n": repeats},
        "opened_promoted_and_rolled_back": times(there_and_back, repeats),
        "verify_log": times(registry.verify_log, 3),
    }


def verified(folder: Path, megabytes: int) -> dict[str, float]:
    """Return how fast the bytes of four versions are verified by one process."""
    registry = open_stores(folder / ".afterfit").registry
    for number in range(4):
        registry.register(
            "churn", bundle(folder / f"v{number}", number, megabytes * 250_000), who="bench"
        )
    start, cpu = time.perf_counter(), time.process_time()
    found = registry.verify()
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    rate = found.size_bytes / 1e6
    return {"megabytes": rate, "wall_s": wall, "cpu_s": used, "mb_per_s": rate / wall,
            "mb_per_cpu_s": rate / used}  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("files", "postgres", "bytes"):
            (folder / each).mkdir()
        with team_url(folder) as url:
            sizes = (options.versions, options.repeats)
            result = {
                "files": measured(folder / "files" / ".afterfit", folder / "files", *sizes),
                "postgres": measured(url, folder / "postgres", *sizes),
                "verify": verified(folder / "bytes", options.megabytes),
            }
    env = current_environment()
    load = os.getloadavg()[0]
    machine = {
        "load_average": load,
        "cpu": env.cpu,
        "cores": env.cores,
        "python": env.python,
        "system": env.system,
    }
    told = {"arguments": vars(options), "machine": machine, **result}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
