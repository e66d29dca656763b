"""The sizes of the inputs that a trace was made with, read without PyTorch."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any, NamedTuple

__all__ = ["Traced", "traced_inputs"]


class Traced(NamedTuple):
    """One tensor: its sizes, the first that of the rows, and its numbers."""

    shape: tuple[int, ...]
    dtype: str


_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "BoolStorage": "bool",
}


class _Sizes(pickle.Unpickler):
    """Reads a description of tensors: each name it may import stands for a harmless function."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; raises UnpicklingError for any but these."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return _untagged
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """Return the numbers of a storage; its bytes stay where they are."""
        return _DTYPES[pid[1]]


def _tensor(dtype: str, _offset: int, sizes: tuple[int, ...], *_rest: Any) -> Traced:
    return Traced(tuple(int(size) for size in sizes), dtype)


def _untagged(value: Any, _tag: str) -> Any:
    return value


def traced_inputs(data: bytes) -> tuple[Traced, ...] | None:
    """Return the tensors of an audited trace; None for what is none, or tells no sizes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next((n for n in archive.namelist() if n.endswith("/traced_inputs.pkl")), "")
        if not name:
            return None
        content = archive.read(name)
    try:
        found = _Sizes(io.BytesIO(content)).load()["forward"]
    except Exception:  # noqa: BLE001 - without an example, the network's attributes are asked
        return None
    plain = isinstance(found, list | tuple) and all(isinstance(each, Traced) for each in found)
    return tuple(found) if plain else None
