"""The techniques that propose variants, by the names of their functions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from afterfit.core.signature import Signature
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal

__all__ = ["PROPOSERS", "collect"]

PROPOSERS: tuple[str, ...] = (
    "afterfit.optimize.quantize:proposals",
    "afterfit.models.prune_trees:proposals",
    "afterfit.models.distil:proposals",
    "afterfit.models.prune_network:proposals",
    "afterfit.models.distil_network:proposals",
)
"""Each is a `Propose` as ``module:function``, imported in the model's process only."""


def collect(
    native: NativeModel, targets: list[str], signature: Signature, *, labelled: bool, rows: int
) -> dict[str, Any]:
    """Return {proposals, absent}: what the techniques propose, and which could not be imported.

    Runs in the model's process. A technique that is not there, or fails, proposes nothing and is
    told; of two proposals with one name the first counts.
    """
    found: dict[str, Proposal] = {}
    absent: list[str] = []
    for target in targets:
        module, _, name = target.partition(":")
        try:
            propose = getattr(import_module(module), name)
            for item in propose(native, signature=signature, labelled=labelled, rows=rows):
                found.setdefault(item.name, item)
        except Exception as error:  # noqa: BLE001 - one technique's failure is not the others'
            words = str(error).strip().splitlines()[:1] or [""]
            absent.append(f"{module}: {type(error).__name__}: {words[0][:200]}")
    return {"proposals": list(found.values()), "absent": absent}
