"""Kill -9 at random moments: no version is torn or lost, and the chain is whole.

    python bench/registry/killed.py [--points 200] [--seed 0]

For each kind of storage (files; PostgreSQL with blobs in a folder) a child process pushes,
promotes, adds evidence, rolls back and prunes all but the newest versions, over and over, and is
killed after a random time; then the workspace is opened anew and verified whole: every byte of
every version that was not pruned, the chain, the tables or files against the log, and that all that
the child had been told was done is there. The result is written to
bench/results/registry_killed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from team import team_url

from afterfit.config import Config
from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.errors import ConflictError, NotFoundError
from afterfit.registry.retention import Policy
from afterfit.registry.shared.opening import open_stores
from afterfit.workspace import Workspace
from afterfit.workspace.pruning import prune

RESULT = Path(__file__).parents[1] / "results" / "registry_killed.json"
LONGEST_S = 0.25
MENDING = {"recover", "repair"}


def bundle(folder: Path, number: int) -> Path:
    """Return the folder of a small bundle."""
    folder.mkdir()
    variant = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model.bin")
    (folder / "variant.json").write_bytes(canonical_json(variant))
    (folder / "model.bin").write_bytes(f"{number}".encode() * 5_000)
    write_manifest(folder)
    return folder


def work(told: str, folder: Path, point: int, pipe: int) -> None:
    """Push, promote, add evidence, roll back and prune until killed; tell what is done."""
    space = Workspace(told, config=Config())
    registry = space.registry
    os.write(pipe, b"r")
    number = 0
    while True:
        number += 1
        version = registry.register(
            "churn", bundle(folder / f"{point}-{number}", point * 1000 + number), who="child"
        )
        os.write(pipe, f"register {version.number}\n".encode())
        registry.promote("churn", version.number, who="child")
        os.write(pipe, f"promote {version.number}\n".encode())
        registry.attach(version, who="child", evidence={"assess": f"{number:064x}"})
        os.write(pipe, f"evidence {version.number}\n".encode())
        with suppress(NotFoundError, ConflictError):
            registry.rollback("churn", who="child", why="bench")
            os.write(pipe, b"rollback 0\n")
        for _ in prune(space, Policy(keep=2, older=0, grace=0), really=True).going:
            os.write(pipe, b"prune 0\n")


def killed(told: str, folder: Path, point: int, wait_s: float) -> tuple[list[str], list[str]]:
    """Return what the killed child said that it did, and the actions that the log gained."""
    before = len(open_stores(told).registry.log())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(told, folder, point, writing)
        except BaseException as error:  # noqa: BLE001 - the parent shows it
            os.write(writing, f"failed {error}\n".encode())
        finally:
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        said = stream.read().splitlines()
    # A database may still commit what the child had sent: whoever changes something waits for it.
    with open_stores(told).registry.storage.changing():
        pass
    return said, [entry.action for entry in open_stores(told).registry.log()[before:]]


def check(told: str, said: list[str], gained: list[str]) -> None:
    """Raise where anything is torn, lost or out of order."""
    space = Workspace(told, config=Config())
    registry = space.registry
    require(not any(line.startswith("failed") for line in said), said)
    done = [line.partition(" ")[0] for line in said]
    real = [action for action in gained if action not in MENDING]
    # One more than it could tell may be done, or all lines of one prune, and nothing less.
    more = real[len(done) :]
    once = len(more) <= 1 or set(more) == {"prune"}
    require(real[: len(done)] == done and once, (done, real))
    # A prune that was cut short is ended by the next; then every byte that stays is hashed.
    prune(space, Policy(keep=2, older=0, grace=0), really=True)
    found = registry.verify()
    numbers = [version.number for version in registry.list("churn")] if registry.names() else []
    require(numbers == list(range(1, len(numbers) + 1)), numbers)
    require(found.versions == len(numbers), found)
    moved = registry.moves("churn")
    champions = [v.number for v in registry.list() if "champion" in v.aliases]
    require(champions == ([moved[-1].to] if moved else []), champions)


def require(holds: object, told: object) -> None:
    """Raise what was found where something does not hold."""
    if not holds:
        raise SystemExit(f"damaged: {told}")


def run(told: str, folder: Path, points: int, seed: int) -> dict[str, object]:
    """Return how many kills came where, all of them without damage."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    open_stores(told)
    cut: Counter[str] = Counter()
    lines = 0
    for point in range(points):
        said, gained = killed(told, folder, point, chance.uniform(0, LONGEST_S))
        check(told, said, gained)
        lines += len(gained)
        cut["mended" if MENDING & set(gained) else "clean"] += 1
        cut["untold" if len(gained) > len(said) else "told"] += 1
        print(f"\r{point + 1}/{points}", end="", file=sys.stderr, flush=True)
    return {"points": points, "lines": lines, **cut}


def main() -> None:
    """Kill, check, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bundles-files").mkdir()
        (folder / "bundles-postgres").mkdir()
        with team_url(folder) as url:
            local = str(folder / ".afterfit")
            result = {
                "files": run(local, folder / "bundles-files", options.points, options.seed),
                "postgres": run(url, folder / "bundles-postgres", options.points, options.seed),
            }
    told = {"arguments": vars(options), **result}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
