"""A script: do something to copies of a workspace, each killed before another system call.

``python crash_points.py BASE OUT BUNDLE ACTION`` copies the folder BASE to OUT/1, OUT/2 … and in
the k-th copy kills the process that acts (SIGKILL) just before its k-th call that changes the disk,
for odd k of ``os.write`` after half of the bytes. It stops after the first that ran to its end.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afterfit.registry.registry import Registry
from afterfit.store.blobs import BlobStore

CALLS = ("fsync", "ftruncate", "link", "replace", "truncate", "unlink", "write")


def kill_at(point: int) -> None:
    """Let this process die before its ``point``-th call that changes the disk."""
    seen = 0

    def deadly(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == point:
                if name == "write" and point % 2:
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, deadly(name, getattr(os, name)))


def act(registry: Registry, action: str, bundle: Path) -> None:
    """Do one thing to the registry."""
    if action == "register":
        registry.register("churn", bundle, who="ana", evidence={"assess": "a" * 64})
    elif action == "evidence":
        registry.attach(registry.resolve("churn@1"), who="ana", evidence={"assess": "b" * 64})
    elif action == "promote":
        registry.promote("churn", 3, who="ana")
    elif action == "rollback":
        registry.rollback("churn", who="ana", why="errors")
    else:  # "repair": opening mends what an earlier crash left
        Registry(registry.folder, registry.blobs)


def main(base: Path, out: Path, bundle: Path, action: str) -> None:
    """Kill at 1, 2, 3 … until the action runs to its end."""
    for point in range(1, 200):
        folder = out / str(point)
        shutil.copytree(base, folder)
        child = os.fork()
        if child == 0:
            kill_at(point)
            act(Registry(folder, BlobStore(folder)), action, bundle)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))
        assert os.WTERMSIG(status) == signal.SIGKILL
    sys.exit("the action never ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
