"""CatBoost is not supported yet: its models are refused plainly, with a way that works."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit.errors import ModelError
from afterfit.models import native
from afterfit.models.loaded import open_model
from afterfit.models.native import adapter_for_object


class CatBoostClassifier:
    """Looks as CatBoost's own class does, which need not be installed here."""

    __module__ = "catboost.core"
    n_features_in_ = 0

    def predict(self, rows: Any) -> np.ndarray:
        """Return ones."""
        return np.ones(len(rows))


def _cbm(folder: Path) -> Path:
    path = folder / "m.cbm"
    path.write_bytes(b"CBM1" + (16).to_bytes(4, "little") + bytes(16))
    return path


def _pickle(folder: Path) -> Path:
    # An instance of catboost.core.CatBoostClassifier with an empty state.
    path = folder / "m.pkl"
    path.write_bytes(b"\x80\x04ccatboost.core\nCatBoostClassifier\n)\x81}b.")
    return path


def _object(_: Path) -> CatBoostClassifier:
    return CatBoostClassifier()


@pytest.mark.parametrize("given", [_cbm, _pickle, _object])
def test_a_catboost_model_is_refused_before_it_is_loaded(given: Any, tmp_path: Path) -> None:
    """A file of its own, a pickle and an object: what is not supported, and what to do."""
    with pytest.raises(ModelError, match="CatBoost models are not supported yet") as refused:
        open_model(given(tmp_path), workdir=tmp_path / "work")
    assert "model.save_model('m.onnx', format='onnx')" in refused.value.fix
    assert refused.value.exit_code == 2
    if given is not _object:
        assert refused.value.where.endswith(given(tmp_path).name)


def test_an_adapter_of_someone_elses_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that registers an adapter for CatBoost gets its models."""

    class Adapter:
        name = "catboost"
        formats = frozenset({"catboost"})
        order = 20

        def owns(self, estimator: object) -> bool:
            return native.family(estimator, "catboost")

    added: Any = Adapter()
    everyone = (added, *native.adapters())
    monkeypatch.setattr(native, "adapters", lambda: everyone)
    assert adapter_for_object(CatBoostClassifier()) is added
    assert native.adapter_for_format("catboost") is added


def test_a_class_of_a_pipeline_beside_catboost_is_not_refused(tmp_path: Path) -> None:
    """As the last step of a pipeline it is read by scikit-learn's interface: nothing is said."""
    from sklearn.dummy import DummyClassifier

    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(DummyClassifier().fit([[0], [1]], [0, 1])))
    with open_model(path, workdir=tmp_path / "work") as model:
        assert model.description.task == "binary"
