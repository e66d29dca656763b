"""Small models of every framework, drawn by a seed: how they are fitted, and how they answer.

``Drawn.answer`` asks the library itself, without Afterfit in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from afterfit.core.frame import Frame
from afterfit.core.signature import Task
from afterfit.models.tables import to_pandas

__all__ = ["KINDS", "TASKS", "Drawn", "Rows", "draw", "fitted", "numbers", "target"]

Rows = dict[str, np.ndarray]
Rng = np.random.Generator
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
WORDS = ("red", "blue", "old", "the", "a", "naïve", "house", "car", "was", "sold", "was", "été")


@dataclass(frozen=True)
class Drawn:
    """An estimator, the rows that it learns from, and where more of them come from.

    ``categories`` are columns of pandas' category dtype; ``numeric`` says that labels are numbers.
    """

    estimator: Any
    task: Task
    make: Callable[[int, int], Rows]
    categories: tuple[str, ...] = ()
    numeric: bool = False
    known: Mapping[str, Any] = field(default_factory=dict)

    def table(self, frame: Frame) -> Any:
        """Return the rows as the estimator takes them."""
        known = {name: self.known[name] for name in self.categories}
        return to_pandas(frame, tuple(frame), categorical=known)

    def answer(self, frame: Frame) -> np.ndarray:
        """Return [n] values, [n, classes] probabilities, or [n] codes where it has labels only."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = self.table(frame)
            if self.task != "regression" and hasattr(self.estimator, "predict_proba"):
                return np.asarray(self.estimator.predict_proba(rows), np.float64)
            found = np.asarray(self.estimator.predict(rows)).reshape(-1)
        if self.task == "regression":
            return found.astype(np.float64)
        return np.searchsorted(self.estimator.classes_, found)


def fitted(drawn: Drawn, rows: int, seed: int) -> tuple[Drawn, Rows, np.ndarray]:
    """Return the fitted model, its rows and what it learned."""
    frame = drawn.make(rows, seed)
    truth = target(frame, drawn.task, seed, numeric=drawn.numeric)
    known = {name: sorted({v for v in frame[name] if v is not None}) for name in drawn.categories}
    ready = replace(drawn, known=known)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready.estimator.fit(ready.table(frame), truth)
    return ready, frame, truth


def target(frame: Rows, task: Task, seed: int, *, numeric: bool) -> np.ndarray:
    """Return labels or values that depend on most columns."""
    rng = np.random.default_rng(seed)
    score = rng.normal(scale=0.4, size=len(next(iter(frame.values()))))
    for values in frame.values():
        if values.dtype.kind == "O":
            score += np.array([len(str(value)) % 3 for value in values.tolist()])
        else:
            ranks = np.argsort(np.argsort(np.nan_to_num(values)))
            score += 2 * ranks / len(ranks)
    if task == "regression":
        return np.asarray((score - score.min() + 0.1) * 100)
    edges = np.quantile(score, [0.6] if task == "binary" else [0.3, 0.7])
    codes = np.digitize(score, edges)
    words = np.array(["no", "yes"] if task == "binary" else ["a", "b", "c"], dtype=object)
    return codes if numeric else np.asarray(words[codes])


def numbers(rows: int, seed: int) -> Rows:
    """Numbers of several sizes, integers, and no holes."""
    rng = np.random.default_rng(seed)
    return {
        "income": np.exp(rng.normal(10, 1, rows)),
        "ratio": rng.normal(size=rows),
        "age": rng.integers(17, 90, rows).astype(np.float64),
        "share": np.round(rng.random(rows), 1),
    }


def holed(rows: int, seed: int) -> Rows:
    """The same with missing numbers."""
    frame = numbers(rows, seed)
    rng = np.random.default_rng(seed + 7)
    for name in ("ratio", "income"):
        frame[name] = np.where(rng.random(rows) < 0.08, np.nan, frame[name])
    return frame


def mixed(rows: int, seed: int) -> Rows:
    """Numbers with holes beside text with holes."""
    frame = holed(rows, seed)
    rng = np.random.default_rng(seed + 8)
    frame["job"] = rng.choice(np.array(["clerk", "nurse", "smith", "none"], dtype=object), rows)
    frame["town"] = rng.choice(np.array(["north", "south", "ö ü"], dtype=object), rows)
    frame["job"][rng.random(rows) < 0.06] = None
    return frame


def sentences(rows: int, seed: int) -> Rows:
    """One column of texts."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, rows)
    texts = [" ".join(rng.choice(WORDS, length)) for length in lengths]
    return {"words": np.array(texts, dtype=object)}


def pick(rng: Rng, *choices: Any) -> Any:
    """Return one of the choices."""
    return choices[int(rng.integers(len(choices)))]


def of_pipeline(rng: Rng, task: Task) -> Drawn:
    """Imputers, scalers and encoders of columns before a model of any kind."""
    from sklearn import compose, impute, pipeline
    from sklearn import preprocessing as pre

    numeric = pipeline.make_pipeline(
        impute.SimpleImputer(
            strategy=pick(rng, "mean", "median", "most_frequent", "constant"), fill_value=None
        ),
        pick(
            rng,
            pre.StandardScaler(),
            pre.MinMaxScaler(),
            pre.RobustScaler(),
            pre.QuantileTransformer(n_quantiles=20),
            pre.KBinsDiscretizer(5, encode="ordinal"),
            pre.PolynomialFeatures(2),
            pre.PowerTransformer(),
            "passthrough",
        ),
    )
    text = pipeline.make_pipeline(
        impute.SimpleImputer(strategy=pick(rng, "most_frequent", "constant"), fill_value="gone"),
        pick(
            rng,
            pre.OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            pre.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=40),
            pre.OneHotEncoder(drop="first", handle_unknown="ignore"),
            pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        ),
    )
    names = ["income", "ratio", "age", "share"][: int(rng.integers(2, 5))]
    rest = pick(rng, "drop", "drop", "passthrough")
    before = compose.ColumnTransformer(
        [("numbers", numeric, names), ("text", text, ["job", "town"])],
        sparse_threshold=0.0,
        remainder=rest if len(names) == 4 else "drop",
    )
    final, as_number = last(rng, task)
    return Drawn(pipeline.make_pipeline(before, final), task, mixed, numeric=as_number)


def last(rng: Rng, task: Task) -> tuple[Any, bool]:
    """Return a model of numbers for the end of a pipeline, and whether it wants codes."""
    import lightgbm
    import xgboost
    from sklearn import naive_bayes, neighbors, neural_network

    classes = task != "regression"
    own = [trees(rng, task), linear(rng, task)]
    net: Any = neural_network.MLPClassifier if classes else neural_network.MLPRegressor
    own.append(net(hidden_layer_sizes=(8,), max_iter=25, random_state=0))
    near: Any = neighbors.KNeighborsClassifier if classes else neighbors.KNeighborsRegressor
    own.append(naive_bayes.GaussianNB() if classes else near(5))
    kind = "Classifier" if classes else "Regressor"
    light = getattr(lightgbm, f"LGBM{kind}")(n_estimators=8, verbose=-1)
    extreme = getattr(xgboost, f"XGB{kind}")(n_estimators=8)
    chosen = pick(rng, own[0], own[0], *own, light, extreme)
    return chosen, chosen in (light, extreme)


def trees(rng: Rng, task: Task) -> Any:
    """Return an unfitted model of trees of scikit-learn's."""
    from sklearn import ensemble, tree

    kind = "Regressor" if task == "regression" else "Classifier"
    depth = pick(rng, None, 3, 8)
    few = int(rng.integers(3, 20))
    name = pick(rng, "tree", "RandomForest", "ExtraTrees", "GradientBoosting", "Hist")
    if name == "tree":
        return getattr(tree, f"DecisionTree{kind}")(max_depth=depth, random_state=0)
    if name == "Hist":
        options: dict[str, Any] = {"max_iter": few, "random_state": 0}
        if task == "regression":
            options["loss"] = pick(rng, "squared_error", "absolute_error", "poisson")
        return getattr(ensemble, f"HistGradientBoosting{kind}")(**options)
    make = getattr(ensemble, f"{name}{kind}")
    return make(n_estimators=few, max_depth=depth or 3, random_state=0)


def linear(rng: Rng, task: Task) -> Any:
    """Return an unfitted linear model of scikit-learn's."""
    from sklearn import discriminant_analysis, linear_model, svm

    if task == "regression":
        return pick(
            rng,
            linear_model.Ridge(),
            linear_model.Lasso(),
            linear_model.HuberRegressor(max_iter=200),
            linear_model.BayesianRidge(),
            linear_model.PoissonRegressor(),
        )
    return pick(
        rng,
        linear_model.LogisticRegression(max_iter=200),
        linear_model.RidgeClassifier(),
        svm.LinearSVC(),
        linear_model.SGDClassifier(loss="modified_huber", random_state=0),
        discriminant_analysis.LinearDiscriminantAnalysis(),
    )


def of_trees(rng: Rng, task: Task) -> Drawn:
    """Trees without a step before them, on rows with holes where they take them."""
    model = trees(rng, task)
    name = type(model).__name__
    takes_holes = "Gradient" not in name or "Hist" in name
    make = pick(rng, holed, numbers) if takes_holes else numbers
    if "Hist" in name and rng.random() < 0.5:
        model.set_params(categorical_features="from_dtype")
        return Drawn(model, task, mixed, categories=("job", "town"))
    return Drawn(model, task, make)


def of_other(rng: Rng, task: Task) -> Drawn:
    """Models without trees: linear, near, of kernels, of layers."""
    from sklearn import naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm

    if task == "regression":
        model = pick(
            rng,
            linear(rng, task),
            svm.SVR(),
            neighbors.KNeighborsRegressor(3),
            neural_network.MLPRegressor(hidden_layer_sizes=(6, 6), max_iter=30, random_state=0),
        )
    else:
        model = pick(
            rng,
            linear(rng, task),
            svm.SVC(),
            neighbors.KNeighborsClassifier(4),
            naive_bayes.BernoulliNB(),
            neural_network.MLPClassifier(hidden_layer_sizes=(6, 6), max_iter=30, random_state=0),
        )
    if rng.random() < 0.7:
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), model)
    return Drawn(model, task, numbers)


def of_wrapped(rng: Rng, task: Task) -> Drawn:
    """Models around models."""
    from sklearn import calibration, compose, ensemble, model_selection, multiclass

    inner = trees(rng, task)
    takes_holes = "Gradient" not in type(inner).__name__ or "Hist" in type(inner).__name__
    make = holed if takes_holes and rng.random() < 0.4 else numbers
    if task == "regression":
        return Drawn(
            pick(
                rng,
                ensemble.BaggingRegressor(inner, n_estimators=3, random_state=0),
                ensemble.VotingRegressor([("a", inner), ("b", linear(rng, task))]),
                compose.TransformedTargetRegressor(inner, func=np.cbrt, inverse_func=_cube),
                model_selection.GridSearchCV(inner, {}, cv=2),
            ),
            task,
            numbers,
        )
    method = pick(rng, "isotonic", "sigmoid")
    model = pick(
        rng,
        calibration.CalibratedClassifierCV(inner, method=method, cv=2),
        ensemble.BaggingClassifier(inner, n_estimators=3, random_state=0),
        ensemble.VotingClassifier([("a", inner), ("b", trees(rng, task))], voting="soft"),
        ensemble.StackingClassifier([("a", inner), ("b", trees(rng, task))], cv=2),
        ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
        multiclass.OneVsRestClassifier(inner),
        model_selection.GridSearchCV(inner, {}, cv=2),
    )
    plain = isinstance(model, ensemble.VotingClassifier | ensemble.StackingClassifier)
    plain |= isinstance(model, ensemble.AdaBoostClassifier)
    return Drawn(model, task, numbers if plain else make)


def _cube(values: np.ndarray) -> np.ndarray:
    return values**3


def of_lightgbm(rng: Rng, task: Task) -> Drawn:
    """LightGBM's estimators with objectives, boostings, categories and holes."""
    import lightgbm

    options: dict[str, Any] = {
        "n_estimators": int(rng.integers(2, 15)),
        "num_leaves": int(rng.integers(4, 31)),
        "boosting_type": pick(rng, "gbdt", "gbdt", "dart", "rf"),
        "linear_tree": bool(rng.random() < 0.15),
        "min_data_per_group": 5,
        "verbose": -1,
        "random_state": 0,
    }
    if options["boosting_type"] == "rf":
        options |= {"bagging_freq": 1, "bagging_fraction": 0.6}
    if task == "regression":
        options["objective"] = pick(rng, "regression", "poisson", "huber", "quantile", "tweedie")
        options["reg_sqrt"] = bool(options["objective"] == "regression" and rng.random() < 0.3)
    if task == "multiclass":
        options["objective"] = pick(rng, "multiclass", "multiclassova")
    if options["linear_tree"]:
        options["boosting_type"] = "gbdt"
    if rng.random() < 0.1:
        options["zero_as_missing"] = True
    kind = "LGBMRegressor" if task == "regression" else "LGBMClassifier"
    model = getattr(lightgbm, kind)(**options)
    if rng.random() < 0.5:
        return Drawn(model, task, mixed, categories=("job", "town"), numeric=rng.random() < 0.5)
    return Drawn(model, task, pick(rng, numbers, holed), numeric=rng.random() < 0.5)


def of_xgboost(rng: Rng, task: Task) -> Drawn:
    """XGBoost's estimators with objectives, boosters, categories and holes."""
    import xgboost

    options: dict[str, Any] = {
        "n_estimators": int(rng.integers(2, 15)),
        "max_depth": int(rng.integers(2, 7)),
        "booster": pick(rng, "gbtree", "gbtree", "gbtree", "dart", "gblinear"),
        "random_state": 0,
    }
    if options["booster"] == "dart":
        options["rate_drop"] = 0.3
    if task == "regression":
        options["objective"] = pick(
            rng, "reg:squarederror", "reg:absoluteerror", "count:poisson", "reg:gamma"
        )
    if rng.random() < 0.2:
        options["base_score"] = 0.4
    categories = options["booster"] == "gbtree" and rng.random() < 0.4
    kind = "XGBRegressor" if task == "regression" else "XGBClassifier"
    if categories:
        model = getattr(xgboost, kind)(enable_categorical=True, **options)
        return Drawn(model, task, mixed, categories=("job", "town"), numeric=True)
    if rng.random() < 0.1:
        options["missing"] = -1.0
    make = numbers if options["booster"] == "gblinear" else pick(rng, numbers, holed)
    return Drawn(getattr(xgboost, kind)(**options), task, make, numeric=True)


def of_catboost(rng: Rng, task: Task) -> Drawn | None:
    """CatBoost's estimators, symmetric and not; None where it is not installed."""
    if find_spec("catboost") is None:
        return None
    import catboost

    kind = "CatBoostRegressor" if task == "regression" else "CatBoostClassifier"
    model = getattr(catboost, kind)(
        iterations=int(rng.integers(2, 12)),
        depth=int(rng.integers(2, 5)),
        grow_policy=pick(rng, "SymmetricTree", "Depthwise", "Lossguide"),
        verbose=0,
        allow_writing_files=False,
        thread_count=1,
        random_seed=0,
    )
    return Drawn(model, task, pick(rng, numbers, holed), numeric=True)


def of_text(rng: Rng, task: Task) -> Drawn:
    """Vectorizers of one column of text before a linear model or trees."""
    from sklearn import compose, pipeline
    from sklearn.feature_extraction import text

    options: dict[str, Any] = {
        "ngram_range": pick(rng, (1, 1), (1, 2), (2, 2)),
        "lowercase": bool(rng.random() < 0.8),
        "binary": bool(rng.random() < 0.2),
        "stop_words": pick(rng, None, None, "english"),
        "analyzer": pick(rng, "word", "word", "word", "char"),
    }
    if rng.random() < 0.6:
        options |= {"sublinear_tf": bool(rng.random() < 0.4), "norm": pick(rng, "l2", "l1", None)}
        step: Any = text.TfidfVectorizer(**options)
    else:
        step = text.CountVectorizer(**options)
    before = compose.ColumnTransformer([("words", step, "words")], sparse_threshold=0.0)
    model = pick(rng, linear(rng, task), trees(rng, task))
    return Drawn(pipeline.make_pipeline(before, model), task, sentences)


KINDS: dict[str, tuple[int, Callable[[Rng, Task], Drawn | None]]] = {
    "pipeline": (38, of_pipeline),
    "trees": (30, of_trees),
    "other": (20, of_other),
    "wrapped": (18, of_wrapped),
    "lightgbm": (24, of_lightgbm),
    "xgboost": (26, of_xgboost),
    "catboost": (8, of_catboost),
    "text": (16, of_text),
}
"""How many of each kind, and what draws one."""


def draw(kind: str, seed: int) -> Drawn | None:
    """Return the model of a kind and a seed; None where its library is not installed."""
    rng = np.random.default_rng([seed, *kind.encode()])
    return KINDS[kind][1](rng, TASKS[seed % 3])
