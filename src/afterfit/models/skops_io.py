"""The library that reads and writes skops files, imported without what it does not need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["skops_io"]

# To list the estimators, skops imports every package below scikit-learn. These hold none, and bring
# whole frameworks with them: torch took 1.3 s of the 2.2 s before the smallest file was open.
_WRAPPERS = tuple(
    f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask.array", "torch")
)


def skops_io() -> Any:
    """Return ``skops.io``."""
    with _hidden(_WRAPPERS):
        from skops import io
    return io


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Make these modules raise ImportError meanwhile, those that are there already excepted."""
    hidden = [name for name in names if name not in sys.modules]
    # None is how a module says that it must not be looked for.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
