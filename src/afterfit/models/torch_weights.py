"""Files of bare weights: safetensors, which run nothing, and pickles of PyTorch, which do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from afterfit.core.shell import shell_word
from afterfit.errors import AfterfitError, ModelError, UntrustedError
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import RefusedError

__all__ = ["audit_safetensors", "needs_factory", "no_weights", "pickled_network"]

MOST_HEADER = 100 << 20
"""The largest header that the library itself reads, in bytes."""

SHOWN = 5
EXPORT = (
    "torch.export.save(torch.export.export(net.eval(), (example,), dynamic_shapes=({0: "
    "torch.export.Dim('rows')},)), 'net.pt2')   # where the network is at hand"
)
SAFE = "safetensors.torch.save_file(net.state_dict(), 'net.safetensors')"


def audit_safetensors(data: memoryview, rules: Rules) -> None:  # noqa: ARG001 - as each audit
    """Do nothing for a whole file of named tensors; raises RefusedError."""
    length = int.from_bytes(data[:8], "little")
    if length > MOST_HEADER:
        raise RefusedError("its header is larger than any honest one")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise RefusedError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise RefusedError("its header names no tensors")
    end = len(data) - 8 - length
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets: Any = entry.get("data_offsets") if isinstance(entry, dict) else None
        plain = isinstance(offsets, list) and all(type(each) is int for each in offsets)
        if not plain or len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= end:
            raise RefusedError(f"the tensor {name[:60]} does not lie in the file")


def needs_factory(path: Path) -> ModelError:
    """Return the error for weights whose network nobody named."""
    return ModelError(
        "the file holds weights, and not the network that they belong to",
        where=str(path),
        why="what is computed with them is written in Python code",
        fix=f"name the function that builds it before the file: module:function@{shell_word(path)} "
        "--code FOLDER",
        code="weights",
    )


def no_weights(path: Path, form: str) -> ModelError:
    """Return the error for a file after ``module:factory@`` that holds more than weights."""
    return ModelError(
        f"a factory needs a file of weights, and this one is {form}",
        where=str(path),
        why="only safetensors holds weights and nothing that runs",
        fix=SAFE,
        code="weights",
    )


def pickled_network(path: Path, names: tuple[str, ...] = ()) -> AfterfitError:
    """Return the error for a file of ``torch.save``, which only unpickling could read."""
    shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    kind: type[AfterfitError] = UntrustedError if names else ModelError
    told = f" ({shown})" if shown else ""
    why = "it is a pickle of Python objects" if names else "it is a pickle of weights alone"
    return kind(
        "files of torch.save are not loaded",
        where=str(path),
        why=f"{why}{told}, and whoever wrote it decides what loading does",
        fix=f"{EXPORT}; or {SAFE}, then name module:function@net.safetensors --code FOLDER",
        code="pickled_network",
    )
