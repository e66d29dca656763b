"""A bundle from elsewhere: what it says of itself lets nothing in."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from tests.runtime.bundles import numbers_bundle

from afterfit.core.bundle import Variant, write_manifest
from afterfit.errors import UntrustedError, UsageError
from afterfit.models.draft import native_files
from afterfit.models.loaded import open_model
from afterfit.registry.registry import Registry
from afterfit.runtime.__main__ import settings_of
from afterfit.runtime.embed import EmbeddedModel
from afterfit.runtime.options import parser
from afterfit.runtime.predict import load_bundle
from afterfit.store.blobs import BlobStore

ROWS = {"a": np.array([1.0, -2.0]), "b": np.array([0.5, 0.0])}


def rewritten(folder: Path, variant: Variant, files: dict[str, bytes]) -> str:
    """Return the digest of a whole bundle whose model and variant are these."""
    numbers_bundle(folder)
    (folder / "model" / "model.onnx").unlink()
    (folder / "golden.json").unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "variant.json").write_bytes(msgspec.json.encode(variant))
    (folder / "manifest.json").unlink()
    return write_manifest(folder).digest


def variant(form: str, **more: Any) -> Variant:
    """Return a native variant of a pickle."""
    options = {"framework": "sklearn", "file": "model/model.pkl", "format": form, **more}
    return Variant(name="native", runtime="native", **options)


class Strike:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


def fitted() -> LogisticRegression:
    """Return an honest model of the two columns."""
    rows = np.random.default_rng(0).normal(size=(60, 2))
    return LogisticRegression().fit(rows, (rows.sum(axis=1) > 0).astype(int))


@pytest.mark.parametrize(
    "own",
    [
        variant("cloudpickle"),
        variant("pickle", trusted=("posix.system",)),
        variant("pickle", code=True),
        variant("function", function="os:system", code=True),
        variant("brand-new"),
        msgspec.structs.replace(variant("pickle"), runtime="somebodys"),
    ],
    ids=lambda own: f"{own.runtime}-{own.format}{'-trusted' if own.trusted else ''}",
)
def test_what_a_bundle_lets_in_for_itself_is_not_let_in(tmp_path: Path, own: Variant) -> None:
    """No way to load a folder runs what no audit judges; the error says what, and the digest."""
    folder, marker = tmp_path / "bundle", tmp_path / "struck"
    strike = pickle.dumps(Strike(marker))
    digest = rewritten(folder, own, {"model/model.pkl": strike, "code/os.py": b""})
    loads = (
        lambda: load_bundle(folder),
        lambda: load_bundle(folder, verify=False),
        lambda: EmbeddedModel(folder),
        lambda: settings_of(parser().parse_args(["--bundle", f"x={folder}"]), {}),
    )
    for load in loads:
        with pytest.raises(UntrustedError) as refused:
            load()
        assert refused.value.why
        assert digest in refused.value.fix
    assert not marker.exists()


def test_whoever_names_the_digest_trusts_it(tmp_path: Path) -> None:
    """By argument, by option and by the environment; another digest does not help."""
    folder = tmp_path / "bundle"
    digest = rewritten(
        folder, variant("cloudpickle"), {"model/model.pkl": cloudpickle.dumps(fitted())}
    )
    predictor = load_bundle(folder, expected=digest)
    assert np.allclose(
        predictor.predict(ROWS).main, fitted().predict_proba(np.column_stack([*ROWS.values()]))
    )
    predictor.close()
    given = ["--bundle", f"x={folder}"]
    for words, environ in (
        ([*given, "--trust", digest], {}),
        ([*given, "--trust", f"sha256:{digest}"], {}),
        (given, {"AFTERFIT_TRUST": f"sha256:{'0' * 64} sha256:{digest}"}),
    ):
        settings = settings_of(parser().parse_args(words), environ)
        assert settings.endpoint.models["x"].primary == digest
    with pytest.raises(UntrustedError):
        settings_of(parser().parse_args([*given, "--trust", "0" * 64]), {})
    with pytest.raises(UsageError, match="not a digest"):
        settings_of(parser().parse_args([*given, "--trust", digest[:12]]), {})


def test_what_the_audit_knows_needs_no_digest(tmp_path: Path) -> None:
    """A model of known classes is audited and loaded, wherever its bundle comes from."""
    folder = tmp_path / "bundle"
    rewritten(folder, variant("pickle"), {"model/model.pkl": pickle.dumps(fitted())})
    predictor = load_bundle(folder)
    assert len(predictor.predict(ROWS)) == 2
    rows = np.random.default_rng(0).normal(size=(200, 2))
    boosted = HistGradientBoostingClassifier(max_iter=3).fit(rows, rows[:, 0] > 0)
    with open_model(boosted, workdir=tmp_path / "work") as model:
        assert model.trusted  # names that skops asks about, and the audit knows
        packed, _ = native_files(model)
    assert packed.asks == ""


def test_the_audit_log_says_what_a_registered_digest_lets_in(tmp_path: Path) -> None:
    """Who registered a bundle that brings code stands there, and that it does."""
    folder = tmp_path / "bundle"
    rewritten(folder, variant("cloudpickle"), {"model/model.pkl": cloudpickle.dumps(fitted())})
    numbers_bundle(tmp_path / "plain")
    space = tmp_path / ".afterfit"
    registry = Registry(space, BlobStore(space))
    registry.register("own", folder, who="ada")
    registry.register("plain", tmp_path / "plain", who="ada")
    own, plain = registry.log()
    assert own.details["trusts"] == "it brings code of its own"
    assert "trusts" not in plain.details
