"""Reads ``MLmodel``, and says which file of a model folder is the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from afterfit.errors import InputError, ModelError
from afterfit.registry.lineage.block_yaml import read_yaml
from afterfit.store.files import read_bytes

__all__ = ["Chosen", "choose", "read_mlmodel"]

# The keys under which a flavor names its file, by the flavors of MLflow 2 and 3; the order counts.
_FLAVORS: dict[str, tuple[str, ...]] = {
    "sklearn": ("pickled_model",),
    "xgboost": ("data",),
    "lightgbm": ("data",),
    "catboost": ("data",),
    "onnx": ("data",),
    "pytorch": ("model_data",),
}
_IN_FOLDER = ("model.pt2", "model.pth", "model.pt")


@dataclass(frozen=True)
class Chosen:
    """The file to load, of which flavor, and the folder of the user's own code beside it."""

    flavor: str
    file: str
    code: str = ""
    saved_with: str = ""


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return what ``MLmodel`` says; raises InputError where there is none or it is unreadable."""
    path = folder / "MLmodel"
    if not path.is_file():
        raise InputError(
            "there is no MLmodel among the files",
            where=str(folder),
            why="log_model writes one; what log_artifact sends is no model of MLflow",
            fix="name the folder that holds it: mlflow:runs:/RUN/PATH",
        )
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "MLmodel is no text", where=str(path), why=str(error), fix="log the model again"
        ) from None
    told = read_yaml(text, str(path))
    if not isinstance(told, dict) or not isinstance(told.get("flavors"), dict):
        raise InputError(
            "MLmodel names no flavors", where=str(path), why="it is no model of MLflow",
            fix="log it with log_model",
        )  # fmt: skip
    return told


def choose(folder: Path) -> Chosen:
    """Return the file of the model that an adapter loads.

    Raises ModelError for flavors that none loads, InputError for a file that is not there.
    """
    told = read_mlmodel(folder)
    flavors: dict[str, Any] = told["flavors"]
    python = flavors.get("python_function")
    code = _plain(python.get("code")) if isinstance(python, dict) else ""
    for name, keys in _FLAVORS.items():
        flavor = flavors.get(name)
        if isinstance(flavor, dict):
            file = _file(folder, name, [_plain(flavor.get(key)) for key in keys])
            version = _plain(flavor.get(f"{name}_version") or flavor.get(f"{name[:3]}_version"))
            return Chosen(name, file, code or _plain(flavor.get("code")), version)
    raise _no_adapter(folder, flavors, code)


def _file(folder: Path, flavor: str, named: list[str]) -> str:
    for name in named:
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            continue
        places = (name, *(f"{name}/{inner}" for inner in _IN_FOLDER))
        for place in places:
            if (folder / place).is_file():
                return place
    raise InputError(
        f"the file of the flavor {flavor} is not there",
        where=str(folder / "MLmodel"),
        why=f"it names {', '.join(filter(None, named)) or 'none'}",
        fix="log the model again; its folder is not whole",
    )


def _no_adapter(folder: Path, flavors: dict[str, Any], code: str) -> ModelError:
    known = ", ".join(sorted(_FLAVORS))
    named = ", ".join(sorted(map(str, flavors))) or "none"
    if "python_function" not in flavors or set(flavors) - {"python_function"}:
        return ModelError(
            f"no flavor of it is loaded here: {named}",
            where=str(folder / "MLmodel"),
            why=f"loaded are {known}",
            fix="write a function that loads and asks it, and ship module:function --code FOLDER",
        )
    python = flavors["python_function"]
    loader = _plain(python.get("loader_module")) if isinstance(python, dict) else ""
    place = f"--code {folder / code}" if code else "--code FOLDER"
    return ModelError(
        "the model is Python code of its own (pyfunc), which runs only where you say so",
        where=str(folder / "MLmodel"),
        why=f"{loader or 'it'} would load it; what its code does, no audit can judge",
        fix=f"read the code below {folder}, then: afterfit ship module:function {place}",
        code="pyfunc",
    )


def _plain(told: Any) -> str:
    return str(told) if isinstance(told, str | int | float) else ""
