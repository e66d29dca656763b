"""Models as ONNX graphs, in the process that holds the model.

Converting proves nothing: a graph that was made may still answer otherwise. Whoever calls this
compares the answers (``afterfit.optimize.parity``) before believing them.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, Literal

import msgspec

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.signature import Signature
from afterfit.errors import DependencyError, ModelError
from afterfit.models.convert_trees import Trees, table
from afterfit.models.convert_words import brief, plain
from afterfit.models.native import NativeModel, family

__all__ = ["Attempt", "Converted", "attempts", "brief", "thresholds", "to_onnx"]


BOOSTERS = ("catboost", "lightgbm", "xgboost")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One way to convert.

    ``precision`` is that of numeric inputs and arithmetic. ``trees`` says who writes trees:
    ``exact`` (ours, in double precision) or ``library`` (the common converters). ``layout`` is one
    tensor for all numeric columns (``grouped``) or one a column.
    """

    name: str
    precision: Literal["float64", "float32"] = "float64"
    trees: Literal["exact", "library"] = "exact"
    layout: Literal["grouped", "columns"] = "grouped"


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """A graph's bytes, what it takes and gives, and what was mended on the way.

    ``error`` is set where there is none: the converter's first words. ``format`` is ``onnx``, or
    that of a native file whose bytes ``data`` then holds. ``notes`` are lines for people.
    """

    data: bytes = b""
    format: str = "onnx"
    notes: tuple[str, ...] = ()
    inputs: tuple[TensorInput, ...] = ()
    output: GraphOutput | None = None
    repaired: tuple[str, ...] = ()
    error: str = ""


def attempts(native: NativeModel) -> list[Attempt]:
    """Return the ways worth trying, the one most likely to be exact first.

    Single precision is left out where a last digit can move a row one step, and no row would show
    it: trees are probed beside their thresholds only where nothing but scaling is in front of them.
    """
    if is_network(native):
        return [Attempt(name="onnx-float32", precision="float32", trees="library")]
    if family(native.estimator, "onnxruntime") or not _convertible(native.estimator):
        return []
    exact = [
        Attempt(name="onnx-float64"),
        Attempt(name="onnx-float64-columns", layout="columns"),
    ]
    library = [
        Attempt(name="onnx-float32", precision="float32", trees="library"),
        Attempt(
            name="onnx-float32-columns", precision="float32", trees="library", layout="columns"
        ),
    ]
    if getattr(native, "own_labels", False):
        return exact[:1]
    exact = exact if _has_columns(native.estimator) else exact[:1]
    if _unprobed_steps(native.estimator) or family(native.estimator, "catboost"):
        return exact
    return exact + library[: len(exact)]


def to_onnx(
    native: NativeModel, signature: Signature, attempt: Attempt, missing: str = ""
) -> Converted:
    """Return the model as an ONNX graph, or why it could not be converted.

    ``missing`` is the text that stands for a missing value in string tensors; it must not occur
    in the data. The model itself is never changed: repairs are made on a copy.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return _convert(native, signature, attempt, missing)
    except ImportError as error:
        fix = "pip install 'afterfit[lightgbm,torch,xgboost]'"
        raise DependencyError("a converter is not installed", why=str(error), fix=fix) from None
    except Exception as error:  # noqa: BLE001 - converters raise anything, and none of it is fatal
        return Converted(error=plain(error))


def thresholds(native: NativeModel, signature: Signature) -> dict[str, Any]:
    """Return {feature, split} of the numbers that the model's trees compare with; empty for none.

    Features are indices into what reaches the trees; ``columns`` maps them to input columns where
    every step before the trees leaves numbers alone or scales them (``scale`` and ``shift`` then
    turn a threshold into the column's own unit).
    """
    from afterfit.models.convert_probe import mapped

    trees = _trees_of(native.estimator)
    if trees is None:
        return {}
    return mapped(native, signature, table(trees))


def is_network(native: NativeModel) -> bool:
    """Return whether the model is a network of PyTorch."""
    return native.description.framework == "torch"


def _convertible(estimator: Any) -> bool:
    return any(family(estimator, package) for package in ("sklearn", *BOOSTERS))


def _has_columns(estimator: Any) -> bool:
    from afterfit.models.convert_sklearn import first_columns

    return family(estimator, "sklearn") and first_columns(estimator) is not None


def _convert(
    native: NativeModel, signature: Signature, attempt: Attempt, missing: str
) -> Converted:
    if is_network(native):
        from afterfit.models.torch_export import export

        network: Any = native
        inputs = network.tensors(signature.names)
        module = network.program or network.estimator
        return export(module, signature, inputs, activation=network.activation)
    estimator = native.estimator
    if getattr(native, "own_labels", False):
        raise ModelError("the model decides its labels by itself, and a graph by probabilities")
    if _is_booster(estimator) or (_reads_categories(estimator) and attempt.trees == "exact"):
        from afterfit.models.convert_booster import booster_to_onnx

        return booster_to_onnx(native, signature, attempt, missing)
    from afterfit.models.convert_sklearn import sklearn_to_onnx

    return sklearn_to_onnx(native, signature, attempt, missing)


def _is_booster(estimator: Any) -> bool:
    """Return whether the model is of a boosting library, in a pipeline or not in one."""
    return any(family(estimator, package) for package in BOOSTERS)


def _reads_categories(estimator: Any) -> bool:
    """Return whether a HistGradientBoosting model takes categories without a step before it."""
    return hasattr(estimator, "_predictors") and vars(estimator).get("_preprocessor") is not None


def _unprobed_steps(estimator: Any) -> bool:
    """Return whether answers jump at values that no row is tried beside."""
    from afterfit.models.convert_repair import walk

    alone = not hasattr(estimator, "steps") and _trees_of(estimator) is not None
    linear_tree = not hasattr(estimator, "steps") and _is_booster(estimator)
    return not (alone or linear_tree) and any(map(_jumps, walk(estimator)))


def _jumps(part: Any) -> bool:
    if type(part).__name__ in {"KBinsDiscretizer", "Binarizer"} or _is_booster(part):
        return True
    if getattr(part, "method", "") == "isotonic" and hasattr(part, "calibrated_classifiers_"):
        return True
    return hasattr(part, "tree_") or hasattr(part, "_predictors") or hasattr(part, "init_")


def _trees_of(estimator: Any) -> Trees | None:
    from afterfit.models.convert_booster import read_booster
    from afterfit.models.convert_trees_sklearn import read_sklearn

    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    try:
        if _is_booster(final):
            return read_booster(final)
        if family(final, "sklearn"):
            return read_sklearn(final)
    except (ModelError, AttributeError, TypeError, ValueError, KeyError, IndexError):
        return None
    return None
