"""Write ``src/afterfit/models/allow.txt``: what honest model files import and do with it.

Run as ``PYTHONPATH=src:tools python tools/make_allow_list.py`` with every supported framework
installed. It follows small fitted models of all scikit-learn estimators and of the wrappers of
XGBoost, LightGBM and CatBoost, written with pickle protocols 0 to 5 and with joblib, with
Afterfit's own reader (nothing is loaded). Only names of ``PACKAGES`` are kept, calls only where
``REVIEWED_CALLS`` names the function: a new kind of call is printed and left out until a person has
read what it does when it is given hostile arguments. ``FORBIDDEN`` names are never written.
Names that moved between versions are added under their older and newer homes. ``methods.txt`` gets
the names of the methods of these classes, which no state may put a callable under.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
from allow_corpus import compositions, estimators, values, wrappers
from sklearn.utils import all_estimators

from afterfit.models.opcodes import follow
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import RefusedError

TARGET = Path(__file__).parent.parent / "src/afterfit/models/allow.txt"
METHODS = TARGET.with_name("methods.txt")
_PACKAGES = (
    "builtins collections copyreg _codecs datetime decimal joblib numpy scipy sklearn pandas"
    " xgboost lightgbm catboost _catboost _loss"
)
PACKAGES = _PACKAGES.split()
_BUILTINS = (
    "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple"
    " type max min sum abs round len sorted Ellipsis NotImplemented"
)
BUILTINS = _BUILTINS.split()
# Read in the sources of the versions at hand (compiled pandas and Cython's template in their
# repositories): with the arguments that ``call_guards.py`` lets through, each makes an object or
# raises. The C code of numpy and of the standard library was not read.
REVIEWED_CALLS = re.compile(
    r"builtins\.(bytearray|bytes|complex|frozenset|set|slice|range)"
    r"|collections\.(OrderedDict|defaultdict|deque|Counter)|_codecs\.encode|copyreg\._reconstructor"
    r"|datetime\.(date|datetime|timedelta|timezone)"
    r"|numpy\.dtype|numpy\.(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|numpy\.ma\.core\._mareconstruct"
    r"|numpy\.random\._pickle\.__(randomstate|generator|bit_generator)_ctor"
    r"|numpy\.random\.bit_generator\.__pyx_unpickle_SeedSequence"
    r"|pandas\._libs\.(arrays\.__pyx_unpickle_NDArrayBacked|internals\._unpickle_block)"
    r"|pandas\._libs\.tslibs\.(nattype\._nat|timedeltas\._timedelta)_unpickle"
    r"|pandas\._libs\.tslibs\.timestamps\._unpickle_timestamp"
    r"|pandas\.(Interval|StringDtype|core\.index\._new_Index)"
    r"|pandas\.core\.internals\.managers\.BlockManager"
    r"|pandas\.core\.indexes\.(base\._new_Index|datetimes\._new_DatetimeIndex)"
    r"|pandas\.core\.indexes\.interval\._new_IntervalIndex"
    r"|(_loss|sklearn\._loss\._loss)\.(__pyx_unpickle_CyHalfMultinomialLoss|Cy\w+)"
    r"|sklearn\.tree\._tree\.Tree|sklearn\.linear_model\._sgd_fast\.\w+"
    r"|sklearn\.neighbors\.(_kd_tree|_ball_tree|_dist_metrics)\.newObj"
    r"|sklearn\.metrics\._dist_metrics\.newObj"
)
FORBIDDEN = re.compile(
    r"builtins\.(eval|exec|open|getattr|setattr|delattr|compile|__import__|input|breakpoint|globals|vars)"
    r"|scipy\.stats\..*|sklearn\.datasets\..*|joblib\.(load|dump|memory|parallel).*|numpy\.(load|save|fromfile).*"
    r"|.*\.(CheckingClassifier|_unpickle_ufunc|_ufunc_reconstruct)|copyreg\.(?!_reconstructor$).*"
)
MOVED = (
    (r"^numpy\._core", "numpy.core"),
    (r"^numpy\.core", "numpy._core"),
    (r"^sklearn\.utils\._bunch$", "sklearn.utils"),
    (r"^_loss$", "sklearn._loss._loss"),
    (r"^sklearn\._loss\._loss$", "_loss"),
    (r"^sklearn\.metrics\._dist_metrics$", "sklearn.neighbors._dist_metrics"),
    (r"^scipy\.interpolate\._interpolate$", "scipy.interpolate.interpolate"),
    (r"^pandas\.core\.indexes\.base$", "pandas.core.index"),
)
OLDER = """
sklearn.ensemble._gb_losses BinomialDeviance new
sklearn.ensemble._gb_losses ExponentialLoss new
sklearn.ensemble._gb_losses HuberLossFunction new
sklearn.ensemble._gb_losses LeastAbsoluteError new
sklearn.ensemble._gb_losses LeastSquaresError new
sklearn.ensemble._gb_losses MultinomialDeviance new
sklearn.ensemble._gb_losses QuantileLossFunction new
sklearn.ensemble._hist_gradient_boosting.loss BinaryCrossEntropy new
sklearn.ensemble._hist_gradient_boosting.loss CategoricalCrossEntropy new
sklearn.ensemble._hist_gradient_boosting.loss LeastAbsoluteDeviation new
sklearn.ensemble._hist_gradient_boosting.loss LeastSquares new
sklearn.ensemble._hist_gradient_boosting.loss Poisson new
sklearn.linear_model._sgd_fast Huber call,new
sklearn.linear_model._sgd_fast Log call,new
sklearn.linear_model._sgd_fast SquaredLoss call,new
sklearn.calibration _CalibratedClassifier new
sklearn.calibration _SigmoidCalibration new
sklearn.preprocessing._encoders _FeatureNameMixin name
xgboost.compat XGBoostLabelEncoder new
lightgbm.compat _LGBMLabelEncoder new
scipy.sparse.csr csr_matrix new
scipy.sparse.csc csc_matrix new
scipy.interpolate._interpolate interp1d._call_nearest name
scipy.interpolate._interpolate interp1d._call_linear name
scipy.interpolate._interpolate interp1d._call_linear_np name
sklearn.feature_selection._univariate_selection chi2 name
sklearn.feature_selection._univariate_selection f_oneway name
sklearn.feature_selection._univariate_selection f_regression name
sklearn.feature_selection._univariate_selection r_regression name
sklearn.feature_selection._mutual_info mutual_info_classif name
sklearn.feature_selection._mutual_info mutual_info_regression name
sklearn.cluster._kmeans _kmeans_single_elkan name
sklearn.metrics.pairwise cosine_similarity name
sklearn.metrics.pairwise euclidean_distances name
sklearn.metrics.pairwise linear_kernel name
sklearn.metrics.pairwise polynomial_kernel name
sklearn.metrics.pairwise rbf_kernel name
sklearn.metrics.pairwise sigmoid_kernel name
joblib.numpy_pickle NumpyArrayWrapper new
numpy.random.mtrand RandomState name
numpy.random._generator Generator name
_loss CyHalfMultinomialLoss call
pandas Interval call
pandas StringDtype call
pandas.core.internals.managers BlockManager call
pandas.core.index _new_Index call
copyreg _reconstructor call
_codecs encode call
"""
NEW_OBJECT = (
    "sklearn.neighbors._kd_tree",
    "sklearn.neighbors._ball_tree",
    "sklearn.metrics._dist_metrics",
)
Table = defaultdict[tuple[str, str], set[str]]


def say(line: str) -> None:
    """Write one line for the person who reviews the list."""
    sys.stdout.write(line + "\n")


def observe(model: Any, table: Table, states: set[str]) -> None:
    """Add what every way to write ``model`` imports, and what it does with it."""
    forms = []
    for protocol in (0, 2, 3, 4, 5):
        try:
            forms.append(pickle.dumps(model, protocol))
        except Exception:  # noqa: BLE001, S112 some objects cannot be pickled in old protocols
            continue
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    forms.append(buffer.getvalue())
    for form in forms:
        rules = Rules.permissive()
        try:
            follow(memoryview(form), rules)
        except RefusedError as error:
            say(f"refused {type(model).__name__}: {error.reason} at {error.offset}")
        for module, name, use in rules.uses:
            table[(module, name)].add(use)
        states |= rules.keys


def reviewed(table: Table) -> Table:
    """Return the part of the table that a person has reviewed; the rest is printed."""
    kept: Table = defaultdict(set)
    for (module, name), uses in sorted(table.items()):
        full = f"{module}.{name}"
        known = module.split(".")[0] in PACKAGES and not FORBIDDEN.fullmatch(full)
        known = known and (module != "builtins" or name in BUILTINS)
        if not known:
            say(f"left out {full}: {sorted(uses)}")
            continue
        if "call" in uses and not REVIEWED_CALLS.fullmatch(full):
            say(f"call left out {full}")
            kept[(module, name)] |= uses - {"call"}
            continue
        kept[(module, name)] |= uses
    return kept


def method_names(names: Iterable[tuple[str, str]], states: set[str]) -> list[str]:
    """Return the methods of all classes that can be imported now, then the exceptions.

    ``append``, ``extend``, ``add`` and ``items`` are what pickle itself calls on an instance.
    """
    found = {"append", "extend", "add", "items"}
    for module, name in names:
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue  # a name of an older or newer version
        if isinstance(kind, type):
            found |= {key for key in dir(kind) if callable(inspect.getattr_static(kind, key, None))}
            found |= {key for key in dir(kind) if callable(getattr(kind, key, None))}
    special = {key for key in found if key.startswith("__") and key.endswith("__")}
    found -= special
    return sorted(found) + sorted(full for full in states if full.rpartition(":")[2] in found)


def main() -> int:
    """Write the list; return 0."""
    warnings.simplefilter("ignore")
    table: Table = defaultdict(set)
    states: set[str] = set()
    for source in (values, compositions, wrappers, estimators):
        for model in source():
            observe(model, table, states)
    for _, kind in all_estimators():
        table[(kind.__module__, kind.__name__)] |= {"name", "new"}
    for line in OLDER.strip().splitlines():
        module, name, uses = line.split()
        table[(module, name)] |= {"name", *uses.split(",")}
    for (module, name), uses in list(table.items()):
        if module in NEW_OBJECT and name != "newObj":
            uses.add("new")  # newObj(kind) is kind.__new__(kind)
        for pattern, home in MOVED:
            if re.match(pattern, module):
                table[(re.sub(pattern, home, module), name)] |= uses
    kept = reviewed(table)
    lines = [
        f"{module} {name} {','.join(sorted(uses))}" for (module, name), uses in sorted(kept.items())
    ]
    head = "# Written by tools/make_allow_list.py; change that, not this."
    METHODS.write_text("\n".join(method_names(kept, states)) + "\n", "utf-8")
    TARGET.write_text("\n".join([head, *lines, ""]), "utf-8")
    say(f"{len(lines)} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
