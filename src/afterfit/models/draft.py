"""What the native variant of a model needs in a bundle: its files and its packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from afterfit.core.bundle import Variant
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Signature
from afterfit.errors import IntegrityError, ModelError
from afterfit.models.audit import audit
from afterfit.models.code import code_files, tree_digest
from afterfit.models.loaded import LoadedModel

__all__ = ["native_files", "serving_requirements"]

_SUFFIXES = {
    "catboost": ".cbm",
    "cloudpickle": ".pkl",
    "joblib": ".joblib",
    "lightgbm-text": ".txt",
    "onnx": ".onnx",
    "pickle": ".pkl",
    "safetensors": ".safetensors",
    "skops": ".skops",
    "torch-export": ".pt2",
    "torchscript": ".pt",
    "xgboost-json": ".json",
    "xgboost-ubj": ".ubj",
}
_ROOTS = {
    "catboost": ("catboost", "joblib", "pandas"),
    "function": ("pandas",),
    "lightgbm": ("lightgbm", "pandas"),
    "onnx": ("onnxruntime",),
    "torch": ("torch",),
    "sklearn": ("scikit-learn", "pandas", "joblib", "skops", "cloudpickle"),
    "xgboost": ("xgboost", "pandas"),
}
# The same code under several names of distribution.
_ALSO_CALLED = {"xgboost": ("xgboost-cpu",), "lightgbm": (), "onnxruntime": ("onnxruntime-gpu",)}
_NOT_SERVED = frozenset({"afterfit", "pip", "pytest", "setuptools", "wheel"})


def native_files(
    loaded: LoadedModel, signature: Signature | None = None
) -> tuple[Variant, dict[str, Path]]:
    """Return the variant that runs the model as it is, and bundle path to file for its files.

    ``signature`` gives an ONNX graph of a single tensor the names of its columns. Raises
    IntegrityError where the user's code was changed since the model was opened.
    """
    files: dict[str, Path] = {}
    if loaded.code is not None:
        _require_unchanged(loaded, loaded.code)
        files.update({f"code/{name}": path for name, path in code_files(loaded.code).items()})
    if loaded.path is None:
        return _function_variant(loaded, files), files
    name = f"model/model{_SUFFIXES.get(loaded.format, '.bin')}"
    files[name] = loaded.path
    if loaded.format == "onnx":
        return _graph_variant(loaded, name, signature), files
    variant = Variant(
        name="native",
        runtime="native",
        framework=loaded.description.framework,
        file=name,
        format=loaded.format,
        code=loaded.code is not None,
        function=loaded.function,
        trusted=_let_in(loaded.path, loaded.trusted),
    )
    return variant, files


def _let_in(path: Path, trusted: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the names that the audit alone does not let in."""
    if not trusted:
        return ()
    found = audit(path)
    needed = {*found.unknown, *(name for name, _ in found.dangerous)} & set(trusted)
    enough = audit(path, allow=frozenset(needed)).verdict == "clean"
    return tuple(sorted(needed)) if enough else trusted


def _require_unchanged(loaded: LoadedModel, code: Path) -> None:
    """Do nothing where the code is what the model answered with; raises IntegrityError."""
    if tree_digest(code) != loaded.code_digest:
        raise IntegrityError(
            "the code folder changed after the model was opened",
            where=str(code),
            why="what was examined would not be what ships",
            fix="run the command again",
        )


def _function_variant(loaded: LoadedModel, files: dict[str, Path]) -> Variant:
    module = loaded.function.partition(":")[0].replace(".", "/")
    candidates = (f"code/{module}.py", f"code/{module}/__init__.py")
    file = next((name for name in candidates if name in files), "")
    if not file:
        raise ModelError(
            f"the code folder does not hold the module of {loaded.function}",
            where=str(loaded.code),
            why=f"looked for {' and '.join(name.removeprefix('code/') for name in candidates)}",
            fix="name the folder that the module lies in: --code src/",
        )
    return Variant(
        name="native",
        runtime="native",
        framework="function",
        file=file,
        format="function",
        code=True,
        function=loaded.function,
    )


def _graph_variant(loaded: LoadedModel, file: str, signature: Signature | None) -> Variant:
    features = signature.names if signature is not None else loaded.description.features
    if not features:
        raise ModelError("the graph does not name its columns", fix="inspect it with data first")
    form = loaded.call("afterfit.models.onnx:graph_form", features=list(features))
    return Variant(
        name="native",
        runtime="onnx",
        framework="onnx",
        file=file,
        format="onnx",
        inputs=tuple(form["inputs"]),
        output=form["output"],
    )


def serving_requirements(description: ModelDescription, framework: str = "") -> list[str]:
    """Return ``name==version`` for what the native variant imports, dependencies included, sorted.

    A booster without the class around it needs its own library only: ``framework`` says so.
    The versions are those installed here, without the name of a build (``2.13.0+cpu``); raises
    ModelError for a library that is not.
    """
    known = description.installed
    if framework and framework != description.framework:
        known = {name: known[name] for name in (framework,) if name in known}
    waiting = list(_ROOTS.get(framework or description.framework, ())) + list(known)
    if description.categorical and "xgboost" in known:
        # XGBoost reads and recodes its categories through Arrow.
        waiting.append("pyarrow")
    found: dict[str, str] = {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in _NOT_SERVED or name in found:
            continue
        package = _distribution(name)
        if package is None:
            if name in known:
                raise ModelError(f"{name} is not installed", fix=f"pip install {name}")
            continue
        real = canonicalize_name(package.metadata["Name"])
        found[name] = f"{real}=={package.version.partition('+')[0]}"
        waiting += [need for need in _needs(package) if not _of_build(name, need)]
    return sorted(set(found.values()))


def _distribution(name: str) -> Distribution | None:
    for candidate in (name, *_ALSO_CALLED.get(name, ())):
        try:
            return distribution(candidate)
        except PackageNotFoundError:
            continue
    return None


def _of_build(name: str, need: str) -> bool:
    """Return whether a dependency is that of one build alone, so that pip adds it with the build.

    PyTorch is built for CPUs and for each kind of GPU under one version; a bundle is the same
    whichever is installed here.
    """
    return name == "torch" and need.startswith(("cuda", "nvidia", "triton", "pytorch-triton"))


def _needs(package: Distribution) -> Iterator[str]:
    for line in package.requires or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
