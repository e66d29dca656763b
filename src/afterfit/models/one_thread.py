"""One thread for small fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let small fits take one processor, and leave the rest to servers.

    Threads that wait for one another on a few thousand rows cost more than what they share. The
    limit reaches libraries that are loaded, so scikit-learn is loaded first.
    """
    import sklearn.ensemble  # noqa: F401 - loads OpenMP
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        yield
