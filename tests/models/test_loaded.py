"""Models opened from files, objects and functions, behind one process each."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from afterfit.errors import (
    DependencyError,
    InputError,
    IntegrityError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from afterfit.models import loaded
from afterfit.models.draft import serving_requirements
from afterfit.models.loaded import Hints, open_model
from afterfit.models.skops_io import skops_io
from afterfit.testing.samples import frame_of, labels, pipeline, table

# What these tests ask of a model is the same in the process of the tests, but where it says so.
pytestmark = pytest.mark.usefixtures("inline")
LAST_BIT = 1e-15
"""The last bit of a BLAS kernel's answer depends on how the rows lie in memory."""
ENCODER = """
from sklearn.base import BaseEstimator, TransformerMixin

class Encoder(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.factor_ = 2.0
        return self

    def transform(self, X):
        return X * self.factor_
"""


@pytest.mark.processes
@pytest.mark.parametrize("ending", [".joblib", ".pkl", ".skops"])
def test_files_answer_as_the_estimator_does(tmp_path: Path, ending: str) -> None:
    """A file is audited, loaded in a child, and answers in batches with the very same numbers."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    path = tmp_path / f"model{ending}"
    if ending == ".skops":
        skops_io().dump(fitted, path)
    else:
        joblib.dump(fitted, path)
    with pytest.MonkeyPatch.context() as patch, open_model(path, workdir=tmp_path) as model:
        patch.setattr(loaded, "BATCH_ROWS", 100)
        answer = model.predict(frame_of(data))
        assert np.array_equal(answer.main, fitted.predict_proba(data))
        assert model.audit is not None
        assert model.digest == model.audit.digest
        assert model.description.classes == ("no", "yes")
        assert model.description.features == ("amount", "visits", "city")
        assert model.description.size_bytes == path.stat().st_size
        # skops asks scikit-learn for all its estimators, and would bring torch along.
        mapped = Path(f"/proc/{model.pid}/maps")
        assert not mapped.exists() or "libtorch" not in mapped.read_text()
        with pytest.raises(InputError, match="missing column: city"):
            model.predict({name: a for name, a in frame_of(data).items() if name != "city"})
        with pytest.raises(InputError, match="no rows"):
            model.predict({"amount": np.empty(0)})
        kinds = model.call("afterfit.models.column_kinds:column_kinds")
        assert kinds["city"] == "text"


@pytest.mark.processes
def test_the_users_own_transformer_needs_trust_and_code(tmp_path: Path) -> None:
    """A file that names mypkg.Encoder is refused, then allowed by name, and found in --code."""
    code = tmp_path / "src"
    (code / "ownpkg").mkdir(parents=True)
    (code / "ownpkg" / "__init__.py").write_text(ENCODER)
    path = tmp_path / "model.joblib"
    data = table(missing=False)[["amount", "visits"]]
    rows = frame_of(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(code))
        import ownpkg  # type: ignore[import-not-found]
        from sklearn.pipeline import make_pipeline

        fitted = make_pipeline(ownpkg.Encoder(), LogisticRegression())
        fitted.fit(data, data["amount"] > 0)
        joblib.dump(fitted, path)
        expected = fitted.predict_proba(data)
    with pytest.raises(UntrustedError) as refused:
        open_model(path, workdir=tmp_path)
    assert "ownpkg.Encoder" in str(refused.value)
    allow = frozenset({"ownpkg.Encoder"})
    without = open_model(path, allow=allow, workdir=tmp_path)
    with without, pytest.raises(DependencyError) as missing:
        _ = without.description
    assert "--code" in missing.value.fix
    with open_model(path, allow=allow, code=code, workdir=tmp_path) as model:
        np.testing.assert_allclose(model.predict(rows).main, expected, rtol=0, atol=LAST_BIT)
        assert model.trusted == ("ownpkg.Encoder",)
        assert model.description.custom == ("ownpkg.Encoder",)
        assert model.code == code


def test_a_file_that_changes_after_the_audit_is_not_loaded(tmp_path: Path) -> None:
    """The child loads the bytes that were audited, or nothing."""
    data = table()
    path = tmp_path / "model.joblib"
    joblib.dump(pipeline(LogisticRegression()).fit(data, labels(data)), path)
    with open_model(path, workdir=tmp_path) as model:
        joblib.dump(pipeline(LogisticRegression(C=9)).fit(data, labels(data)), path)
        with pytest.raises(IntegrityError, match="changed after"):
            _ = model.description


def test_hints_are_adopted(tmp_path: Path) -> None:
    """Column names and the task can be told after opening, and hold when the child is replaced."""
    data = table(missing=False)[["amount", "visits"]]
    fitted = LogisticRegression().fit(data.to_numpy(), (data["amount"] > 0).astype(int))
    with open_model(fitted, workdir=tmp_path) as model:
        assert model.description.features is None
        hints = Hints(features=("amount", "visits"), classes=("cold", "hot"), task="binary")
        assert model.adopt(hints).classes == ("cold", "hot")
        model.close()
        turned = {name: frame_of(data)[name] for name in ("visits", "amount")}
        expected = fitted.predict_proba(data.to_numpy())
        np.testing.assert_allclose(model.predict(turned).main, expected, rtol=0, atol=LAST_BIT)


def test_functions_need_a_code_folder_and_have_a_digest(tmp_path: Path) -> None:
    """The digest of a function covers its name and every file that is carried, and no other."""
    (tmp_path / "score.py").write_text("def predict(rows):\n    return rows['amount']\n")
    with pytest.raises(UsageError, match="needs the folder"):
        open_model("score:predict", workdir=tmp_path)
    one = open_model("score:predict", code=tmp_path, workdir=tmp_path).digest
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / ".env").write_text("SECRET=1\n")
    assert open_model("score:predict", code=tmp_path, workdir=tmp_path).digest == one
    (tmp_path / "helper.py").write_text("X = 1\n")
    assert open_model("score:predict", code=tmp_path, workdir=tmp_path).digest != one


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    """A path without a file, and a folder without code, say what to give instead."""
    with pytest.raises(NotFoundError, match="no model file"):
        open_model(tmp_path / "nothing.skops", workdir=tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        open_model("score:predict", code=tmp_path / "nowhere", workdir=tmp_path)


def test_the_packages_of_the_users_code_are_pinned(tmp_path: Path) -> None:
    """What the user's code imports is in the description, also after hints, and so in the image."""
    (tmp_path / "needy.py").write_text(
        "import sortedcontainers\ndef predict(rows):\n    return rows['amount']\n"
    )
    with open_model("needy:predict", code=tmp_path, workdir=tmp_path) as model:
        assert "sortedcontainers" in model.description.installed
        description = model.adopt(Hints(task="regression"))
    lines = serving_requirements(description)
    assert any(line.startswith("sortedcontainers==") for line in lines)
    assert not any(line.startswith(("pyarrow==", "pytest==")) for line in lines)


def test_the_version_that_saved_a_file_is_remembered(tmp_path: Path) -> None:
    """scikit-learn's own note in the file is told, and adopting hints does not lose it."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    state = fitted.__getstate__()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.2.3")
        assert fitted.__getstate__()["_sklearn_version"] == "1.2.3" != state["_sklearn_version"]
        joblib.dump(fitted, tmp_path / "old.joblib")
        skops_io().dump(fitted, tmp_path / "old.skops")
    for name in ("old.joblib", "old.skops"):
        with open_model(tmp_path / name, workdir=tmp_path) as model:
            assert model.description.saved_with["scikit-learn"] == "1.2.3"
            adopted = model.adopt(Hints(features=("amount", "visits", "city")))
            assert adopted.saved_with["scikit-learn"] == "1.2.3"
            assert adopted.installed["scikit-learn"] != "1.2.3"
