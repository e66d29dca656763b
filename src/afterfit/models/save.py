"""Saves a model from the user's own process into a file that can be carried."""

from __future__ import annotations

import io
import json
import site
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

import msgspec

from afterfit.errors import ModelError
from afterfit.models.native import adapter_for_object

__all__ = ["Saved", "cloudpickle_bytes", "save_object", "skops_bytes"]

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_VALUE_LOADERS = frozenset({"JsonNode", "TypeNode", "FunctionNode", "PartialNode"})
"""Immutable values: whether two equal ones are one object depends on the interpreter's history."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A model's file, its format, and the names that the user's own process vouches for."""

    path: Path
    format: str
    trusted: tuple[str, ...] = ()


def save_object(model: Any, folder: Path) -> Saved:
    """Return the file that holds an in-memory model; raises ModelError if it cannot be saved.

    Boosters and ONNX models keep their own formats. Estimators become ``.skops`` (equal models
    give equal bytes) where every type can be named, else a cloudpickle that carries the classes
    of the notebook or script by value.
    """
    folder.mkdir(parents=True, exist_ok=True)
    special = adapter_for_object(model)
    writer = getattr(special, "save_object", None)
    if writer is not None:
        path, form = writer(model, folder)
        return Saved(path=path, format=form)
    try:
        data, names = _skops_with_names(model)
    except _NOT_FOR_SKOPS:
        return _save_cloudpickle(model, folder)
    path = folder / "model.skops"
    path.write_bytes(data)
    return Saved(path=path, format="skops", trusted=names)


# skops refuses what it has no node for with any of these.
_NOT_FOR_SKOPS = (TypeError, ValueError, AttributeError, LookupError, ImportError, RecursionError)


def _save_cloudpickle(model: Any, folder: Path) -> Saved:
    path = folder / "model.pkl"
    try:
        path.write_bytes(cloudpickle_bytes(model))
    except Exception as error:  # noqa: BLE001  # __reduce__ of any class may raise anything
        raise ModelError(
            f"the {type(model).__name__} cannot be saved",
            why=f"{type(error).__name__}: {error}",
            fix="remove open files, locks and connections from the model, "
            "or wrap it in a function and name it module:function",
        ) from None
    return Saved(path=path, format="cloudpickle")


def _skops_with_names(model: Any) -> tuple[bytes, tuple[str, ...]]:
    from afterfit.models.skops_io import skops_io

    data = skops_bytes(model)
    names = tuple(skops_io().get_untrusted_types(data=data))
    by_value = [name for name in names if _travels_by_value(name)]
    if by_value:
        raise TypeError(f"{by_value[0]} is not part of an installed package")
    skops_io().loads(data, trusted=list(names))
    return data, names


def _travels_by_value(name: str) -> bool:
    module_name = name.rpartition(".")[0]
    while module_name and module_name not in sys.modules:
        module_name = module_name.rpartition(".")[0]
    module = sys.modules.get(module_name)
    return module is None or not _installed(module)


def skops_bytes(model: Any) -> bytes:
    """Return a skops file whose bytes depend on the model alone.

    skops names members and objects by memory address and stamps the time; here they are renamed
    in the order of traversal, with a fixed date.
    """
    from afterfit.models.skops_io import skops_io

    with zipfile.ZipFile(io.BytesIO(skops_io().dumps(model))) as source:
        schema = json.loads(source.read("schema.json"))
        renaming = _Renaming()
        renaming.walk(schema)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
            for old, new in renaming.files.items():
                _write(target, new, source.read(old))
            _write(target, "schema.json", json.dumps(schema, indent=1).encode())
    return buffer.getvalue()


def _write(target: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_ZIP_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    target.writestr(entry, data)


class _Renaming:
    """Gives the ids and member files of a skops schema their numbers in traversal order."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._ids: dict[int, int] = {}
        self._next = 1

    def walk(self, node: Any) -> None:
        """Rename in place, below and including ``node``."""
        if isinstance(node, list):
            for item in node:
                self.walk(item)
            return
        if not isinstance(node, dict):
            return
        if node.get("__loader__") == "SetNode" and isinstance(node.get("content"), list):
            node["content"].sort(key=_without_ids)
        if isinstance(node.get("__id__"), int):
            node["__id__"] = self._number(node)
        if isinstance(node.get("file"), str) and "__loader__" in node:
            node["file"] = self._file(node["file"])
        for key, item in node.items():
            if key not in {"__id__", "file"}:
                self.walk(item)

    def _number(self, node: dict[str, Any]) -> int:
        old = node["__id__"]
        if node.get("__loader__") in _VALUE_LOADERS or old not in self._ids:
            number = self._next
            self._next += 1
            if node.get("__loader__") not in _VALUE_LOADERS:
                self._ids[old] = number
            return number
        return self._ids[old]

    def _file(self, old: str) -> str:
        suffix = Path(old).suffix
        return self.files.setdefault(old, f"{len(self.files)}{suffix}")


def _without_ids(node: Any) -> str:
    def strip(item: Any) -> Any:
        if isinstance(item, dict):
            kept = {key: value for key, value in item.items() if key not in {"__id__", "file"}}
            return {key: strip(value) for key, value in kept.items()}
        return [strip(each) for each in item] if isinstance(item, list) else item

    return json.dumps(strip(node), sort_keys=True)


def cloudpickle_bytes(model: Any) -> bytes:
    """Return a pickle that carries by value every class of no installed package."""
    import cloudpickle

    # By name: some modules stand under several, and each is registered once.
    own = {module.__name__: module for module in list(sys.modules.values()) if _is_users(module)}
    known = set(cloudpickle.list_registry_pickle_by_value())
    fresh = [module for name, module in own.items() if name not in known]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(model)
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)
    return data


def _is_users(module: object) -> TypeGuard[ModuleType]:
    if not isinstance(module, ModuleType) or module.__name__.partition(".")[0] == "afterfit":
        return False
    registered = sys.modules.get(module.__name__) is module
    return registered and module.__name__ != "__main__" and not _installed(module)


def _installed(module: ModuleType) -> bool:
    """Return whether a module comes with Python or from an installed package."""
    if module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        spec = getattr(module, "__spec__", None)
        parent = sys.modules.get(module.__name__.rpartition(".")[0])
        if spec is None and parent is not None:
            # Made by the module above it, as pyexpat makes pyexpat.model.
            return _installed(parent)
        # Built into the interpreter, frozen, or a namespace package.
        locations = list(getattr(spec, "submodule_search_locations", None) or [])
        return spec is not None and all(_below_install(place) for place in locations)
    return _below_install(file)


def _below_install(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(root) for root in _roots())


def _roots() -> list[Path]:
    paths = sysconfig.get_paths()
    places = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    return [Path(place).resolve() for place in places]
