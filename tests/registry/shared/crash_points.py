"""A script: change a shared registry in children that are killed before their k-th step outward.

``python crash_points.py WORKSPACE.toml BUNDLES STEP [prune]`` kills the first child before its
first statement, upload or removal, the second STEP of them later …, until one runs to its end.
Each pushes a bundle of its own, promotes it, attaches evidence, rolls back, and, where asked,
prunes what nothing stands on. Prints the number of children.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afterfit.config import Config
from afterfit.registry.retention import Policy
from afterfit.registry.shared import database
from afterfit.store.remote import objects
from afterfit.workspace import Workspace
from afterfit.workspace.pruning import prune


def kill_at(point: int) -> None:
    """Let this process die before its ``point``-th statement, upload or removal."""
    seen = 0

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for owner, name in (
        (database.Database, "_asked"),
        (database.Database, "run"),
        (objects.Objects, "put"),
        (objects.Objects, "remove"),
        (objects, "replacing"),
    ):
        setattr(owner, name, deadly(getattr(owner, name)))


def act(told: str, bundle: Path, *, prunes: bool) -> None:
    """Change all that can be changed."""
    space = Workspace(told, config=Config())
    registry = space.registry
    version = registry.register("churn", bundle, who="child", evidence={"assess": "a" * 64})
    registry.promote("churn", version.number, who="child")
    registry.attach(version, who="child", evidence={"assess": "b" * 64})
    registry.rollback("churn", who="child", why="test")
    if prunes:
        prune(space, Policy(keep=1, older=0, grace=0), really=True)


def main(told: str, bundles: Path, step: int, *, prunes: bool) -> int:
    """Return how many children it took."""
    for index, folder in enumerate(sorted(bundles.iterdir())):
        child = os.fork()
        if child == 0:
            kill_at(1 + index * step)
            act(told, folder, prunes=prunes)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return index + 1
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"child {index} ended with {status}")
    sys.exit("the action never ended")


if __name__ == "__main__":
    prunes = sys.argv[4:] == ["prune"]
    print(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), prunes=prunes))  # noqa: T201 - the answer to the test
