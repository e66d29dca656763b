"""Honest files: every way a fitted model is written must be clean, and its format known."""

from __future__ import annotations

import _compat_pickle
import hashlib
import pickle
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.numpy_pickle import NumpyUnpickler
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from afterfit.errors import ModelError, NotFoundError
from afterfit.models.audit import audit, require_clean
from afterfit.models.loaded import open_model
from afterfit.models.save import skops_bytes
from afterfit.models.sniff import sniff

RANDOM = np.random.default_rng(0)
X = RANDOM.random((80, 4))
Y = (X[:, 0] > 0.5).astype(int)
TABLE = pd.DataFrame(X, columns=list("abcd")).assign(text=RANDOM.choice(["x", "y"], 80))
TABLE["kind"] = pd.Categorical(RANDOM.choice(["u", "v"], 80))


def columns() -> Pipeline:
    """Return a pipeline over numbers, texts and categories, with a numpy function."""
    parts = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list("abcd")),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["text", "kind"]),
            ("log", FunctionTransformer(np.log1p), ["a"]),
        ]
    )
    return Pipeline([("columns", parts), ("model", LogisticRegression())]).fit(TABLE, Y)


MODELS: dict[str, Callable[[], Any]] = {
    "columns": columns,
    "forest": lambda: RandomForestClassifier(5, random_state=0).fit(X, Y),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "huber": lambda: GradientBoostingRegressor(n_estimators=3, loss="huber").fit(X, X[:, 0]),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=3).fit(X, Y),
    "categories": lambda: HistGradientBoostingClassifier(
        max_iter=3, categorical_features="from_dtype"
    ).fit(TABLE[["a", "kind"]], Y),
    "selectors": lambda: make_pipeline(
        make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include=np.number)),
            (OneHotEncoder(), make_column_selector(pattern="text|kind")),
        ),
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[4]),
    ).fit(TABLE, Y),
    "logistic": lambda: LogisticRegression().fit(X, np.where(Y == 1, "yes", "no")),
    "isotonic": lambda: CalibratedClassifierCV(SVC(), method="isotonic", cv=2).fit(X, Y),
    "search": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, Y),
    "stack": lambda: StackingClassifier(
        [("n", KNeighborsClassifier()), ("m", MLPClassifier((3,), max_iter=5))], cv=2
    ).fit(X, Y),
    "sgd": lambda: SGDClassifier(loss="modified_huber").fit(X, Y),
    "words": lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(
        ["a red fish", "one blue fish"] * 40, [0, 1] * 40
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Any:
    """A fitted model of each kind."""
    return MODELS[request.param]()


def check(path: Path, form: str) -> None:
    """Fail where the honest file is not clean, or taken for another format."""
    found = audit(path)
    assert found.verdict == "clean", (found.unknown, found.dangerous, found.notes)
    assert found.format == form
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.size == path.stat().st_size
    require_clean(found, path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickled_model_is_clean(model: Any, protocol: int, tmp_path: Path) -> None:
    """Each protocol of pickle is clean, and tells the version of scikit-learn."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(model, protocol))
    check(path, "pickle")
    assert sniff(path) == "pickle"
    assert "scikit-learn" in audit(path).versions


@pytest.mark.parametrize(
    ("compress", "flavour"),
    [
        (0, "plain"),
        (3, "zlib"),
        (("gzip", 3), "gzip"),
        (("bz2", 3), "bz2"),
        (("lzma", 3), "lzma"),
        (("xz", 3), "xz"),
    ],
)
def test_joblib_model_is_clean(model: Any, compress: Any, flavour: str, tmp_path: Path) -> None:
    """Files of joblib are clean, plain and in each compression."""
    path = tmp_path / "model.bin"
    joblib.dump(model, path, compress=compress)
    check(path, "joblib")
    assert audit(path).flavour == flavour


def test_skops_model_is_clean(model: Any, tmp_path: Path) -> None:
    """Files of skops are clean, trees included, and name what skops must be told to trust."""
    from afterfit.models.skops_io import skops_io

    path = tmp_path / "m.skops"
    skops_io().dump(model, path)
    check(path, "skops")
    assert set(skops_io().get_untrusted_types(file=path)) <= set(audit(path).globals)


@pytest.mark.parametrize("form", ["pkl", "joblib"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_wrapped_booster_is_clean(library: str, form: str, tmp_path: Path) -> None:
    """The scikit-learn interface of each booster is clean, alone and in a pipeline."""
    booster = fitted(library)
    path = tmp_path / f"m.{form}"
    for subject in (booster, Pipeline([("s", StandardScaler().fit(X)), ("m", booster)])):
        if form == "pkl":
            path.write_bytes(pickle.dumps(subject))
        else:
            joblib.dump(subject, path)
        found = audit(path)
        assert found.verdict == "clean", (found.unknown, found.dangerous, found.notes)


def fitted(library: str) -> Any:
    """Return a small fitted classifier of the library, or skip the test without it."""
    module = pytest.importorskip(library)
    if library == "xgboost":
        return module.XGBClassifier(n_estimators=2).fit(X, Y)
    if library == "lightgbm":
        return module.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
    return module.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False).fit(X, Y)


@pytest.mark.parametrize(
    ("library", "name", "form"),
    [
        ("xgboost", "m.json", "xgboost-json"),
        ("xgboost", "m.ubj", "xgboost-ubj"),
        ("lightgbm", "m.txt", "lightgbm-text"),
        ("catboost", "m.cbm", "catboost"),
    ],
)
def test_native_file_is_clean_and_its_stump_is_not(
    library: str, name: str, form: str, tmp_path: Path
) -> None:
    """Native files are clean under any name; cut off they are not."""
    booster = fitted(library)
    path = tmp_path / name
    (booster.booster_ if library == "lightgbm" else booster).save_model(str(path))
    check(path, form)
    if library != "catboost":
        assert audit(path).versions
    other = tmp_path / "weights.bin"
    other.write_bytes(path.read_bytes())
    check(other, form)
    other.write_bytes(path.read_bytes()[: path.stat().st_size // 10])
    assert audit(other).verdict == "unreadable"


@pytest.fixture(scope="module")
def onnx_bytes() -> bytes:
    """A forest as ONNX."""
    from skl2onnx import to_onnx

    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    raw: bytes = to_onnx(forest, X[:1].astype(np.float32)).SerializeToString()
    return raw


def test_onnx_is_clean(onnx_bytes: bytes, tmp_path: Path) -> None:
    """An ONNX file is clean under any name, and tells its opsets."""
    path = tmp_path / "weights.pkl"
    path.write_bytes(onnx_bytes)
    check(path, "onnx")
    found = audit(path)
    assert "onnx-ir" in found.versions
    assert "opset:ai.onnx.ml" in found.versions
    assert any("the name ends in .pkl" in note for note in found.notes)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_truncated_onnx_is_said_to_be_truncated(
    kept: float, onnx_bytes: bytes, tmp_path: Path
) -> None:
    """A cut ONNX file is a ModelError that says so and where."""
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes[: int(len(onnx_bytes) * kept)])
    with pytest.raises(ModelError, match="truncated") as caught:
        sniff(path)
    assert "byte" in caught.value.where


def test_onnx_outside_references_are_flagged(tmp_path: Path) -> None:
    """External data outside of the folder is hostile, custom operators are unknown."""
    from onnx import TensorProto, helper

    for location, verdict in (
        ("/etc/passwd", "hostile"),
        ("../w.bin", "hostile"),
        ("w.bin", "unreadable"),
        ("", "clean"),
    ):
        weights = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
        if location:
            weights.ClearField("float_data")
            weights.data_location = TensorProto.EXTERNAL
            weights.external_data.add(key="location", value=location)
        found = audit(onnx_file(tmp_path, weights, ""))
        assert found.verdict == verdict, location
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    custom = onnx_file(tmp_path, weights, "my.domain")
    assert audit(custom).unknown == ("my.domain.Add",)
    assert audit(custom, allow=frozenset({"my.domain.Add"})).verdict == "clean"


TWO = np.float32(2.0).tobytes()


def test_onnx_weights_in_another_file_are_refused_with_what_makes_one_file(tmp_path: Path) -> None:
    """A digest covers the whole model: the command that the error gives makes a file that does."""
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], TWO, raw=True)
    path = onnx_file(tmp_path, weights, "")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    found = audit(path)
    assert found.outside == ("m.data",)
    assert found.verdict == "unreadable"
    with pytest.raises(ModelError, match="keeps weights in other files") as refused:
        open_model(path, workdir=tmp_path)
    assert "m.data" in refused.value.why
    words = shlex.split(refused.value.fix)
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True)
    whole = audit(tmp_path / "m-whole.onnx")
    assert (whole.verdict, whole.outside) == ("clean", ())
    assert b"m.data" not in (tmp_path / "m-whole.onnx").read_bytes()


def test_a_graph_in_memory_without_its_weights_is_refused(tmp_path: Path) -> None:
    """It would be run with whatever lies under that name in the working directory."""
    import onnx
    from onnx import TensorProto, helper

    path = onnx_file(tmp_path, helper.make_tensor("w", TensorProto.FLOAT, [1], TWO, raw=True), "")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    graph = onnx.load(path, load_external_data=False)
    with (
        open_model(graph, workdir=tmp_path / "work") as model,
        pytest.raises(ModelError, match="keeps weights in other files"),
    ):
        _ = model.description


def onnx_file(folder: Path, weights: Any, domain: str) -> Path:
    """Write a model that adds ``weights`` to its input with an operator of ``domain``."""
    from onnx import TensorProto, helper

    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Unknown bytes are unreadable; a missing, empty or cut file and a folder are errors."""
    path = tmp_path / "m.pkl"
    for content in (b"a,b,c\n1,2,3\n", b"hello", b"\x89PNG\r\n", b"{}"):
        path.write_bytes(content)
        assert sniff(path) == "unknown", content
        assert audit(path).verdict == "unreadable"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="empty"):
        sniff(path)
    whole = skops_bytes(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="truncated"):
        audit(path)
    with pytest.raises(NotFoundError):
        sniff(tmp_path / "absent.pkl")
    with pytest.raises(ModelError):
        sniff(tmp_path)


def test_arrays_of_all_kinds_are_followed(tmp_path: Path) -> None:
    """Structured, empty, text, date, object and Fortran arrays are skipped to the byte."""
    arrays = [
        np.zeros((3, 2), order="F"),
        np.zeros(0),
        np.array(5.0),
        np.array(["a", "bcd"]),
        np.array([b"x"]),
        np.array(["2020-01-01"], "M8[ns]"),
        np.array([None, "a"], object),
        np.zeros(2, [("a", "f8"), ("b", "i4")]),
        np.array([1], ">i4"),
        np.array([True]),
        np.array([1j]),
        np.array([1], np.float16),
        np.matrix([[1.0]]),
        X.T,
    ]
    path = tmp_path / "m.joblib"
    joblib.dump({"arrays": arrays, "last": "end"}, path)
    check(path, "joblib")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5, None])
def test_globals_are_what_a_real_unpickler_imports(
    model: Any, protocol: int | None, tmp_path: Path
) -> None:
    """The names found without running anything are exactly those that loading asks for."""
    path = tmp_path / "m.bin"
    if protocol is None:
        joblib.dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model, protocol))
    asked: set[str] = set()
    base = NumpyUnpickler if protocol is None else pickle._Unpickler

    class Recorder(base):  # type: ignore[misc, valid-type]
        def find_class(self, module: str, name: str) -> Any:
            if self.proto < 3:
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
            asked.add(f"{module}.{name}")
            return super().find_class(module, name)

    with path.open("rb") as file:
        loader = Recorder(str(path), file, False) if protocol is None else Recorder(file)
        loader.load()
    known = set(audit(path).globals)
    reached = {f"scipy.interpolate._interpolate.interp1d.{name}" for name in REACHED}
    assert asked <= known
    assert known - asked <= reached


# A nested name that old protocols reach through ``getattr`` and newer ones import by name.
REACHED = ("_call_linear", "_call_linear_np", "_call_nearest")


def test_large_file_is_audited_in_seconds(tmp_path: Path) -> None:
    """The bytes of arrays are passed over, so 200 MB take seconds and not minutes."""
    path = tmp_path / "m.joblib"
    joblib.dump([np.zeros(25_000_000), np.arange(3)], path)
    start = time.perf_counter()
    check(path, "joblib")
    assert time.perf_counter() - start < 15
