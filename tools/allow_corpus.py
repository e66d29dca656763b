"""Fitted models and values of every supported framework: what honest model files may hold."""

from __future__ import annotations

import collections
import datetime as dt
import itertools
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import scipy.special
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

FITS_EACH = 4
PURE_NUMPY = [
    "abs",
    "absolute",
    "around",
    "clip",
    "cumsum",
    "diff",
    "mean",
    "median",
    "nan_to_num",
    "ravel",
    "reshape",
    "round",
    "squeeze",
    "std",
    "sum",
    "transpose",
    "var",
    "where",
]


def data() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return numbers without a sign, classes, and the same as a table with texts and dates."""
    random = np.random.default_rng(0)
    x = random.random((60, 4)) + 0.1
    y = (x[:, 0] + 0.2 * random.random(60) > 0.6).astype(int)
    table = pd.DataFrame(x, columns=list("abcd"))
    table["text"] = random.choice(["x", "y"], 60)
    table["kind"] = pd.Categorical(random.choice(["u", "v"], 60))
    table["when"] = pd.date_range("2020-01-01", periods=60)
    table["flag"] = y.astype(bool)
    table["maybe"] = pd.array([1, None] * 30, dtype="Int64")
    return x, y, table


def estimators() -> Iterator[Any]:
    """Yield fitted instances of everything that fits on small data, in several forms."""
    x, y, _ = data()
    texts = ["red fish", "blue fish", "one two", "two red"] * 15
    forms = (
        x,
        pd.DataFrame(x, columns=list("abcd")),
        scipy.sparse.csr_matrix(x),
        texts,
        x[:, 0],
        x @ x.T,
        y.reshape(-1, 1),
        y,
        [{"a": 1.0, "b": "x"}] * 60,
    )
    targets = (y, x[:, 0], None)
    for _, kind in all_estimators():
        fitted = 0
        for rows, target in itertools.product(forms, targets):
            model = _fitted(kind, fitted, rows, target)
            if model is not None:
                fitted += 1
                yield model
            if fitted == FITS_EACH:
                break
        if not fitted:
            sys.stdout.write(f"never fitted {kind.__name__}\n")


def _fitted(kind: type, nth: int, rows: Any, target: Any) -> Any:
    try:
        instances = list(_construct_instances(kind))
        model = instances[nth % len(instances)]
        return model.fit(rows) if target is None else model.fit(rows, target)
    except Exception:  # noqa: BLE001 most combinations do not fit
        return None


def compositions() -> Iterator[Any]:  # noqa: C901, PLR0912 a list of models, one after another
    """Yield pipelines, searches and options that the plain estimators do not reach."""
    import sklearn.model_selection as selection
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    from sklearn.impute import KNNImputer, SimpleImputer
    from sklearn.linear_model import (
        GammaRegressor,
        LogisticRegression,
        PoissonRegressor,
        Ridge,
        SGDClassifier,
        SGDRegressor,
        TweedieRegressor,
    )
    from sklearn.metrics import get_scorer, get_scorer_names, make_scorer, mean_squared_error
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
    from sklearn.neighbors import BallTree, KDTree, KernelDensity, KNeighborsClassifier
    from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        OneHotEncoder,
        OrdinalEncoder,
        StandardScaler,
        TargetEncoder,
    )

    x, y, table = data()
    target = x[:, 0]
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), list("abcd")),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["text", "kind"]),
            ("o", OrdinalEncoder(), make_column_selector(dtype_include="category")),
            ("f", FunctionTransformer(np.log1p, feature_names_out="one-to-one"), ["a"]),
            ("p", "passthrough", slice(0, 2)),
            ("m", SimpleImputer(strategy="most_frequent"), ["maybe", "flag"]),
        ],
        remainder="drop",
    )
    for protocol in ("default", "pandas"):
        transform = columns.set_output(transform=protocol) if protocol == "pandas" else columns
        if protocol == "pandas":
            transform.set_params(c__sparse_output=False)
        yield Pipeline([("c", transform), ("m", LogisticRegression(max_iter=200))]).fit(table, y)
    yield make_pipeline(OneHotEncoder(), SGDClassifier()).fit(
        table[["text", "kind"]], table["text"]
    )
    yield make_pipeline(TargetEncoder(), Ridge()).fit(table[["text", "kind"]], target)
    yield FeatureUnion([("a", StandardScaler()), ("k", KNNImputer())]).fit(x)
    for loss in ("log_loss", "exponential"):
        yield GradientBoostingClassifier(n_estimators=2, loss=loss).fit(x, y)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield GradientBoostingRegressor(n_estimators=2, loss=loss).fit(x, target)
    for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile"):
        quantile = 0.5 if loss == "quantile" else None
        yield HistGradientBoostingRegressor(max_iter=2, loss=loss, quantile=quantile).fit(x, target)
    many = (x[:, 1] * 3).astype(int)
    yield HistGradientBoostingClassifier(max_iter=2, early_stopping=True).fit(x, many)
    yield HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(
        table[["a", "kind"]], table["text"]
    )
    for loss in (
        "hinge",
        "log_loss",
        "modified_huber",
        "squared_hinge",
        "perceptron",
        "squared_error",
        "huber",
        "epsilon_insensitive",
        "squared_epsilon_insensitive",
    ):
        yield SGDClassifier(loss=loss, early_stopping=True).fit(x, y)
    for loss in ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        yield SGDRegressor(loss=loss).fit(x, target)
    for model in (
        GammaRegressor(),
        PoissonRegressor(),
        TweedieRegressor(power=1.5, link="log"),
        TweedieRegressor(power=0),
    ):
        yield model.fit(x, target)
    for method in ("isotonic", "sigmoid", "temperature"):
        yield CalibratedClassifierCV(LogisticRegression(), method=method, cv=2).fit(x, y)
    yield TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1).fit(x, target)
    yield GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=StratifiedKFold(2)).fit(x, y)
    yield RandomizedSearchCV(
        LogisticRegression(),
        {"C": [0.1, 1.0]},
        n_iter=2,
        cv=2,
        random_state=np.random.RandomState(0),
    ).fit(x, y)
    yield [
        getattr(selection, n)()
        for n in dir(selection)
        if re.fullmatch(r"(\w+Fold|\w+Split)", n)
        and n not in ("PredefinedSplit", "BaseShuffleSplit")
    ]
    yield [get_scorer(name) for name in get_scorer_names()] + [make_scorer(mean_squared_error)]
    yield TfidfVectorizer().fit(["a text here", "some more"])
    parts = [
        getattr(kernels, n)
        for n in (
            "RBF",
            "Matern",
            "WhiteKernel",
            "DotProduct",
            "RationalQuadratic",
            "ExpSineSquared",
            "ConstantKernel",
        )
    ]
    for part in parts:
        yield GaussianProcessRegressor(
            part() ** 2 * part() + kernels.WhiteKernel(), optimizer=None, alpha=10.0
        ).fit(x, target)
    for metric in ("euclidean", "manhattan", "chebyshev", "minkowski", "hamming", "canberra"):
        for algorithm in ("ball_tree", "kd_tree", "brute"):
            try:
                yield KNeighborsClassifier(metric=metric, algorithm=algorithm).fit(x, y)
            except ValueError:
                continue
    yield [
        KDTree(x),
        BallTree(x[:, :2], metric="haversine"),
        KernelDensity().fit(x),
        BallTree(x.astype(np.float64)),
    ]


def wrappers() -> Iterator[Any]:
    """Yield the scikit-learn wrappers and boosters of XGBoost, LightGBM and CatBoost."""
    import catboost
    import lightgbm
    import xgboost

    x, y, table = data()
    part = table[["a", "kind"]]
    quick = {"n_estimators": 2}
    for kind in (
        xgboost.XGBClassifier,
        xgboost.XGBRegressor,
        xgboost.XGBRFClassifier,
        xgboost.XGBRFRegressor,
    ):
        model = kind(**quick, enable_categorical=True).fit(part, y)
        yield from (model, model.get_booster())
    yield xgboost.XGBClassifier(**quick, early_stopping_rounds=1).fit(
        x, y, eval_set=[(x, y)], verbose=False
    )
    yield xgboost.XGBRanker(**quick).fit(x, y, qid=np.zeros(60, int))
    for light in (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor):
        fitted = light(**quick, verbose=-1).fit(part, y, eval_set=[(part, y)])
        yield from (fitted, fitted.booster_)
    yield lightgbm.LGBMClassifier(**quick, verbose=-1).fit(x, np.where(y == 1, "yes", "no"))
    yield lightgbm.LGBMRanker(**quick, verbose=-1).fit(x, y, group=[60])
    silent = {"iterations": 2, "verbose": 0, "allow_writing_files": False}
    for cat in (catboost.CatBoostClassifier, catboost.CatBoostRegressor):
        yield cat(**silent).fit(x, y)
    yield catboost.CatBoost(silent).fit(x, y)
    yield catboost.CatBoostRanker(**silent).fit(x, y, group_id=np.zeros(60, int))


def values() -> Iterator[Any]:
    """Yield values that users keep beside a model or in its parameters."""
    _, _, table = data()
    yield table
    yield from (table[name] for name in table)
    yield [
        table.dtypes.to_dict(),
        table.index,
        table.columns,
        pd.Timestamp("2020-01-01"),
        pd.NaT,
        pd.NA,
        pd.Timedelta(1),
        pd.CategoricalDtype(["a"], ordered=True),
        pd.Index([1.0]),
        pd.Index([1]),
        pd.MultiIndex.from_tuples([(1, "a")]),
        pd.Interval(0, 1),
        pd.IntervalIndex.from_breaks([0, 1]),
    ]
    yield table.set_index("when")
    yield table.astype({"text": object})
    yield [
        np.random.default_rng(0),
        np.random.RandomState(0),
        *(
            np.random.Generator(kind(0))
            for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64)
        ),
    ]
    yield [
        np.dtype(code)
        for code in ["?", "i1", "u2", "f4", "f8", "c16", "U3", "S3", "O", "M8[ns]", "m8[s]"]
    ]
    yield [
        np.float64(1),
        np.int64(1),
        np.str_("a"),
        np.bool_(True),
        np.datetime64("2020-01-01"),
        1j,
        np.ma.masked_array([1, 2], [True, False]),
        np.array(["a", None], object),
        np.matrix([[1]]),
    ]
    yield [
        kind
        for kind in vars(np).values()
        if isinstance(kind, type) and issubclass(kind, np.generic)
    ]
    yield [
        collections.OrderedDict(a=1),
        collections.defaultdict(list),
        collections.defaultdict(int),
        collections.deque([1]),
        collections.Counter("a"),
        {1, 2},
        frozenset({1}),
        slice(1),
        b"b",
        bytearray(b"x"),
        range(3),
        dt.datetime(2020, 1, 1),  # noqa: DTZ001 a time without a zone is what is wanted
        dt.date(2020, 1, 1),
        dt.timedelta(1),
        dt.UTC,
        float,
        int,
        str,
        bool,
        list,
        dict,
        max,
        min,
    ]
    for shape in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
        yield [getattr(scipy.sparse, f"{shape}_{kind}")(np.eye(2)) for kind in ("matrix", "array")]
    yield [
        ufunc
        for module in (np, scipy.special)
        for ufunc in vars(module).values()
        if isinstance(ufunc, np.ufunc)
    ]
    yield [getattr(np, name) for name in PURE_NUMPY]
