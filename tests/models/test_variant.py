"""The native variant: its files, its packages, and how the serving process loads it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from afterfit.core.bundle import Variant
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ModelError
from afterfit.models.code import (
    MAX_BYTES,
    code_files,
    left_out,
    secrets_among,
    tree_digest,
)
from afterfit.models.draft import native_files, serving_requirements
from afterfit.models.hosted import HostedVariant
from afterfit.models.loaded import Hints, open_model
from afterfit.models.variant import load
from afterfit.testing.samples import frame_of, labels, pipeline, table

REGRESSION: dict[str, Any] = {"task": "regression", "classes": ()}


def signature(names: tuple[str, ...], **more: Any) -> Signature:
    """A signature of number columns."""
    columns = tuple(Column(name=name, kind="number") for name in names)
    return Signature(columns=columns, **{"task": "binary", "classes": ("no", "yes"), **more})


def laid_out(files: dict[str, Path], folder: Path) -> Path:
    """Copy the files to where they are in a bundle."""
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def hist(data: pd.DataFrame, y: np.ndarray) -> Any:
    """A booster on category dtypes, whose file holds names that need an allowance."""
    data["city"] = data["city"].astype("category")
    return HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(
        data, y
    )


def logistic(data: pd.DataFrame, y: np.ndarray) -> Any:
    """A pipeline."""
    return pipeline(LogisticRegression()).fit(data, y)


@pytest.mark.parametrize("make", [hist, logistic])
def test_a_models_file_is_loaded_from_the_bundle(tmp_path: Path, make: Any) -> None:
    """The variant's files, laid out as a bundle, answer as the model did."""
    data = table()
    y = labels(data)
    fitted = make(data, y)
    with open_model(fitted, workdir=tmp_path / "work") as model:
        variant, files = native_files(model)
    folder = laid_out(files, tmp_path / "bundle")
    assert variant.runtime == "native"
    assert list(files) == [variant.file] == ["model/model.skops"]
    native = load(folder, variant, signature(("amount", "visits", "city")))
    assert np.array_equal(native.predict(frame_of(data)).main, fitted.predict_proba(data))
    with pytest.raises(ModelError, match="does not fit"):
        load(folder, variant, signature(("amount",), task="multiclass", classes=("a", "b", "c")))


def test_functions_are_loaded_from_the_bundles_code(tmp_path: Path) -> None:
    """The code folder travels whole, without caches, and nothing is written into the bundle."""
    code = tmp_path / "src"
    (code / "vpkg").mkdir(parents=True)
    (code / "vpkg" / "__init__.py").write_text("FACTOR = 3.0\n")
    (code / "vpkg" / "score.py").write_text(
        "from vpkg import FACTOR\ndef predict(rows):\n    return rows['a'] * FACTOR\n"
    )
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "x.pyc").write_bytes(b"x")
    hints = Hints(task="regression")
    with open_model("vpkg.score:predict", code=code, hints=hints, workdir=tmp_path) as model:
        variant, files = native_files(model)
        rows = {"a": np.array([1.0, 2.0])}
        assert model.predict(rows).main.tolist() == [3.0, 6.0]
    assert variant.file == "code/vpkg/score.py"
    assert set(files) == {"code/vpkg/__init__.py", "code/vpkg/score.py"}
    folder = laid_out(files, tmp_path / "bundle")
    before = set(sys.modules), list(sys.path)
    with HostedVariant(folder, variant, signature(("a",), **REGRESSION)) as native:
        assert native.predict(rows).main.tolist() == [3.0, 6.0]
    assert (set(sys.modules), list(sys.path)) == before
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(
        files
    )
    lost = open_model("elsewhere:predict", code=code, workdir=tmp_path)
    with pytest.raises(ModelError, match="does not hold the module"):
        native_files(lost)


def test_onnx_models_become_variants_of_the_runtime(tmp_path: Path) -> None:
    """A graph of a single tensor gets its columns from the signature and runs in the runtime."""
    from skl2onnx import to_onnx

    from afterfit.runtime.onnx import OnnxModel

    data = table(missing=False)[["amount", "visits"]]
    y = labels(table(missing=False))
    fitted = LogisticRegression().fit(data.to_numpy(), y)
    graph = to_onnx(fitted, data.to_numpy(dtype=np.float32)[:1], options={"zipmap": False})
    with open_model(graph, workdir=tmp_path) as model:
        with pytest.raises(ModelError, match="does not name its columns"):
            native_files(model)
        variant, files = native_files(model, signature(("amount", "visits")))
    assert variant.runtime == "onnx"
    assert variant.output is not None
    runner = OnnxModel(files[variant.file], variant.inputs, variant.output, ("no", "yes"))
    expected = fitted.predict_proba(data.to_numpy())
    assert np.allclose(runner.predict(frame_of(data)).main, expected, atol=1e-5)


def test_requirements_are_exact_and_closed() -> None:
    """Every line pins a version; what is imported and what that needs is there, tools are not."""
    description = ModelDescription(
        framework="sklearn",
        estimator="XGBClassifier",
        installed={"xgboost": "3", "scikit-learn": "1"},
        categorical={"city": ("a",)},
    )
    lines = serving_requirements(description)
    names = {line.partition("==")[0] for line in lines}
    assert all(line.count("==") == 1 for line in lines)
    assert lines == sorted(lines)
    assert {"numpy", "scipy", "pandas", "scikit-learn", "threadpoolctl", "pyarrow"} <= names
    assert names & {"xgboost", "xgboost-cpu"}
    assert not names & {"pytest", "afterfit", "lightgbm", "hypothesis"}
    with pytest.raises(ModelError, match="is not installed"):
        serving_requirements(
            ModelDescription(framework="function", estimator="f", installed={"no-such-thing": "1"})
        )


def test_code_folders_carry_no_secrets_and_no_tables(tmp_path: Path) -> None:
    """Hidden files, tables, environments, caches and keys stay behind; modules of any name go."""
    left = {
        ".env",
        ".git/config",
        "credentials/aws.json",
        "mod.py~",
        "pkg/Server.KEY",
        "pkg/__pycache__/mod.cpython-311.pyc",
        "rows.csv",
        "venv/lib/x.py",
    }
    carried = ["credentials_check.py", "pkg/mod.py", "weights.npz"]
    for name in (*left, *carried):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "pkg" / "same.py").symlink_to(tmp_path / "pkg" / "mod.py")
    assert list(code_files(tmp_path)) == sorted([*carried, "pkg/same.py"])
    assert set(left_out(tmp_path)) == left
    assert secrets_among(left_out(tmp_path)) == (".env", "credentials/aws.json", "pkg/Server.KEY")


def test_a_code_folder_is_bounded(tmp_path: Path) -> None:
    """More than 200 MB is data or an environment."""
    with (tmp_path / "big.bin").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(ModelError, match="more than 200 MB"):
        code_files(tmp_path)


@pytest.mark.parametrize("target", ["secret.txt", "elsewhere", "nothing"])
def test_a_link_out_of_the_code_folder_is_refused(tmp_path: Path, target: str) -> None:
    """To a file, to a folder and to nothing: on another machine it would be something else."""
    (tmp_path / "src").mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "src" / "data").symlink_to(tmp_path / target)
    with pytest.raises(InputError, match="data is a link out of the code folder"):
        tree_digest(tmp_path / "src")


def test_a_bundles_pickle_is_audited_again(tmp_path: Path) -> None:
    """A hostile file in a bundle is not loaded, though the bytes are those of the manifest."""
    import pickle

    from afterfit.errors import UntrustedError

    class Probe:
        def __reduce__(self) -> Any:
            return (exec, (f"open({str(tmp_path / 'marker')!r}, 'w')",))

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pkl").write_bytes(pickle.dumps(Probe()))
    variant = Variant(
        name="native",
        runtime="native",
        framework="sklearn",
        file="model/model.pkl",
        format="pickle",
    )
    with pytest.raises(UntrustedError):
        load(tmp_path, variant, signature(("a",)))
    assert not (tmp_path / "marker").exists()
