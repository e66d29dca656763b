"""Models of the user's own process as files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import xml.parsers.expat  # noqa: F401 - a module with parts that come from no file
from pathlib import Path
from types import ModuleType

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from afterfit.errors import ModelError
from afterfit.models.loaded import open_model
from afterfit.models.save import _installed, save_object, skops_bytes
from afterfit.testing.samples import frame_of, labels, pipeline, table

TRAIN_AND_HASH = """
import hashlib, sys
sys.path[:0] = sys.argv[1:]
from afterfit.testing.samples import labels, pipeline, table
from sklearn.ensemble import RandomForestClassifier
from afterfit.models.save import skops_bytes
data = table()
model = pipeline(RandomForestClassifier(n_estimators=3, max_depth=4, random_state=0))
data_bytes = skops_bytes(model.fit(data, labels(data)))
print(hashlib.sha256(data_bytes).hexdigest())
"""


class Shift(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # the base has no types
    """A transformer of the user's own, in a module that is no installed package."""

    def fit(self, X: object, y: object = None) -> Shift:  # noqa: ARG002  # the interface of fit
        """Learn nothing."""
        self.by_ = 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Add one."""
        return X + self.by_


def test_skops_bytes_are_equal_in_every_process(project_root: Path) -> None:
    """The same training in other processes, with other hash seeds, gives the same bytes."""
    paths = [str(project_root / "src")]
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN_AND_HASH, *paths],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    data = table()
    model = pipeline(RandomForestClassifier(n_estimators=3, max_depth=4, random_state=0))
    model.fit(data, labels(data))
    digests.add(hashlib.sha256(skops_bytes(model)).hexdigest())
    assert len(digests) == 1


def test_another_model_has_other_bytes() -> None:
    """What changes a prediction changes the bytes."""
    data = table()
    y = labels(data)
    one = skops_bytes(pipeline(LogisticRegression(C=1.0)).fit(data, y))
    other = skops_bytes(pipeline(LogisticRegression(C=0.5)).fit(data, y))
    assert one != other


def test_classes_of_the_users_script_travel_by_value(tmp_path: Path) -> None:
    """An object with a class of this test module answers in a process that cannot import it."""
    data = table(missing=False)[["amount", "visits"]]
    fitted = make_pipeline(Shift(), LogisticRegression()).fit(data, data["amount"] > 0)
    saved = save_object(fitted, tmp_path)
    assert saved.format == "cloudpickle"
    with open_model(fitted, workdir=tmp_path) as model:
        answer = model.predict(frame_of(data))
        # A BLAS kernel's last bit depends on how the rows lie in memory.
        np.testing.assert_allclose(answer.main, fitted.predict_proba(data), rtol=0, atol=1e-15)
        assert model.description.classes == (False, True)


def test_a_module_of_two_names_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jupyter imports expat, whose parts stand under two names and come from no file."""
    assert sys.modules["xml.parsers.expat.model"] is sys.modules["pyexpat.model"]
    monkeypatch.setitem(sys.modules, "another_name_of_this", sys.modules[__name__])
    data = table(missing=False)[["amount", "visits"]]
    fitted = make_pipeline(Shift(), LogisticRegression()).fit(data, data["amount"] > 0)
    assert save_object(fitted, tmp_path).format == "cloudpickle"
    left = set(cloudpickle.list_registry_pickle_by_value())
    assert not left & {__name__, "another_name_of_this", "pyexpat.model", "pyexpat.errors"}


def test_parts_of_an_installed_module_are_not_carried() -> None:
    """A module without a file is its parent's; one that a person made by hand is theirs."""
    assert _installed(sys.modules["pyexpat.model"])
    assert not _installed(ModuleType("made_by_hand"))


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    """An open file in a model is a model error with the way out."""
    data = table(missing=False)[["amount", "visits"]]
    fitted = make_pipeline(Shift(), LogisticRegression()).fit(data, data["amount"] > 0)
    with (tmp_path / "log").open("w") as stream:
        fitted[0].log = stream
        with pytest.raises(ModelError, match="cannot be saved") as caught:
            save_object(fitted, tmp_path)
    assert "module:function" in caught.value.fix
