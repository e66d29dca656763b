"""Bundles that load, and bundles that must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.runtime.bundles import numbers_bundle, people, people_bundle

from afterfit.core.bundle import Bundle, write_manifest
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import Model
from afterfit.core.scale import answer_scale
from afterfit.errors import DependencyError, IntegrityError, ModelError, NotFoundError
from afterfit.runtime.predict import load_bundle, open_variant

if TYPE_CHECKING:
    from pathlib import Path


def test_a_bundle_loads_and_its_golden_rows_pass(tmp_path: Path) -> None:
    """Digest, signature and variant are there, and all 16 golden rows were compared."""
    digest = people_bundle(tmp_path / "bundle")
    predictor = load_bundle(tmp_path / "bundle", expected=digest)
    assert predictor.digest == digest
    assert predictor.signature.classes == ("no", "yes")
    assert (predictor.golden.outcome, predictor.golden.rows) == ("passed", 16)
    assert predictor.predict(people(7)).main.shape == (7, 2)


def test_a_regression_bundle_gives_values(tmp_path: Path) -> None:
    """Values are float64 of [n]."""
    people_bundle(tmp_path / "bundle", regression=True)
    values = load_bundle(tmp_path / "bundle").predict(people(3)).values
    assert values is not None
    assert values.shape == (3,)
    assert values.dtype == np.float64


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_golden_values_are_compared_on_the_scale_of_the_answers(
    tmp_path: Path, unit: float
) -> None:
    """In any unit of the target, the rounding of floats passes and a shift does not."""
    people_bundle(tmp_path / "bundle", regression=True)
    predictor = load_bundle(tmp_path / "bundle")
    golden = Bundle(tmp_path / "bundle").golden
    assert golden.values is not None
    predictor.model = Scaled(predictor.model, unit)
    values = np.array(golden.values)
    scale = answer_scale(values * unit)
    for told in (msgspec.UNSET, scale):
        for shift, outcome in ((1e-7, "passed"), (1e-3, "failed")):
            wrong = (values + shift * np.ptp(values)) * unit
            changed = msgspec.structs.replace(golden, values=wrong.tolist(), scale=told)
            assert predictor.check_golden(changed).outcome == outcome, (told, shift)
    zero = msgspec.structs.replace(golden, values=[0.0] * len(values), scale=scale)
    assert predictor.check_golden(zero).outcome == "failed"


class Scaled:
    """A model whose values are in another unit."""

    def __init__(self, model: Model, unit: float) -> None:
        self.model = model
        self.unit = unit

    def predict(self, frame: Frame) -> Predictions:
        """Return the values times the unit."""
        values = self.model.predict(frame).values
        assert values is not None
        return Predictions(values=values * self.unit)


def test_one_changed_byte_is_an_integrity_error(tmp_path: Path) -> None:
    """The file is named; nothing of it is run."""
    people_bundle(tmp_path / "bundle")
    path = tmp_path / "bundle" / "model" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.onnx is not the file"):
        load_bundle(tmp_path / "bundle")


def test_another_bundle_than_the_expected_one_is_an_integrity_error(tmp_path: Path) -> None:
    """A whole and valid bundle of another digest is refused."""
    people_bundle(tmp_path / "bundle")
    with pytest.raises(IntegrityError):
        load_bundle(tmp_path / "bundle", expected="0" * 64)


def test_golden_rows_that_come_out_otherwise_stop_the_load(tmp_path: Path) -> None:
    """A model that answers differently here than where it was packaged does not serve."""
    folder = tmp_path / "bundle"
    people_bundle(folder)
    golden = Bundle(folder).golden
    assert golden.probabilities is not None
    golden.probabilities[3][0] += 0.01
    (folder / "golden.json").write_bytes(msgspec.json.encode(golden))
    write_manifest(folder)
    with pytest.raises(ModelError, match="as it did") as caught:
        load_bundle(folder)
    assert "1 of 16 golden rows" in caught.value.why
    assert load_bundle(folder, verify=False).golden.outcome == "skipped"


def test_a_bundle_without_golden_rows_says_skipped_not_passed(tmp_path: Path) -> None:
    """Nothing was compared, so nothing passed."""
    folder = tmp_path / "bundle"
    numbers_bundle(folder)
    (folder / "golden.json").unlink()
    write_manifest(folder)
    assert load_bundle(folder).golden.outcome == "skipped"


def test_no_bundle_is_not_found(tmp_path: Path) -> None:
    """An empty folder is no bundle."""
    with pytest.raises(NotFoundError):
        load_bundle(tmp_path)


def test_an_unknown_runtime_names_the_entry_point_group(tmp_path: Path) -> None:
    """What nobody can run is a missing dependency."""
    numbers_bundle(tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    variant = msgspec.structs.replace(bundle.variant, runtime="abacus")
    with pytest.raises(DependencyError, match=r"abacus") as caught:
        open_variant(bundle.folder, variant, bundle.signature)
    assert "afterfit.variants" in caught.value.why
