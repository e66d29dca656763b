"""Everything after ``.fit()``: from a trained model to a service that is proven ready.

``ship`` walks the whole line, ``load`` opens a version in this process, and ``Workspace`` has one
method per step. Names load on first use, so ``import afterfit`` is quick and has no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afterfit.api import load, ship
    from afterfit.workspace import Workspace

__version__ = "0.1.0"

__all__ = ["Workspace", "__version__", "load", "ship"]

_LAZY = {
    "Workspace": "afterfit.workspace:Workspace",
    "load": "afterfit.api:load",
    "ship": "afterfit.api:ship",
}


def __getattr__(name: str) -> object:
    """The public object of that name, imported now and kept (PEP 562)."""
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    module, _, attribute = _LAZY[name].partition(":")
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
