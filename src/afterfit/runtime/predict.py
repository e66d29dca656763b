"""A bundle that is loaded and answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.bundle import Bundle, Golden, Variant, require_trust
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import Model
from afterfit.core.proof import GoldenReport, Proven, read_proven
from afterfit.core.scale import answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import RESTORE, DependencyError, ModelError
from afterfit.runtime.by_size import BySize
from afterfit.runtime.columns import frame_of
from afterfit.runtime.onnx import OnnxModel
from afterfit.runtime.ood import open_scorer
from afterfit.runtime.proving import proof_of, refusal

__all__ = ["GoldenReport", "Predictor", "load_bundle", "open_variant"]

GROUP = "afterfit.variants"
# Works without installed metadata, as in a source tree; no import here, so that the runtime
# stays free of what it would pull in.
FALLBACK = {"native": "afterfit.models.variant:load"}
NO_ROWS = "the bundle has no golden rows"
Loader = Callable[[Path, Variant, Signature, int], Model]
"""(folder, variant, signature, threads inside of one call) to the model, which may have a close."""


class Predictor:
    """A loaded bundle: a Model with its ``digest``, ``signature``, ``fingerprint``, ``variant``.

    ``ood`` scores how unlike the reference rows are; None where the bundle has no scorer.
    """

    def __init__(self, bundle: Bundle, model: Model, digest: str, signature: Signature) -> None:
        self.folder = bundle.folder
        self.model = model
        self.digest = digest
        self.signature = signature
        self.variant: Variant = bundle.variant
        self.fingerprint: Fingerprint = bundle.fingerprint
        self.ood = open_scorer(bundle)
        self.golden = GoldenReport(outcome="skipped", why="not checked")
        self.proof = proof_of(self.variant, None, self.golden)

    def prove(self, golden: Golden | None, proven: Proven | None) -> None:
        """Answer the golden rows, and keep what that says of the variant in ``proof``.

        ``proven`` is what it was proven on, where that is known. Raises ModelError where an answer
        is another one.
        """
        if golden is None:
            self.golden = GoldenReport(outcome="skipped", why=NO_ROWS)
        else:
            self.check_golden(golden)
        self.proof = proof_of(self.variant, proven, self.golden)
        if self.golden.outcome == "failed":
            raise refusal(self.folder, self.golden, self.proof)

    def close(self) -> None:
        """End the process of a model that has one of its own; a second close does nothing."""
        close = getattr(self.model, "close", None)
        if close is not None:
            close()

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows it cannot take."""
        return self.model.predict(frame)

    def golden_rows(self) -> Frame | None:
        """Return the golden rows of the bundle, or None where it has none."""
        bundle = Bundle(self.folder)
        if "golden.json" not in bundle.manifest.files:
            return None
        frame = frame_of(bundle.golden.columns, self.signature)
        return frame if row_count(frame) else None

    def check_golden(self, golden: Golden) -> GoldenReport:
        """Return how far the answers to the golden rows are from the expected ones.

        Where a model has two forms by the number of rows, both are asked.
        """
        frame = frame_of(golden.columns, self.signature)
        rows = len(next(iter(golden.columns.values()), []))
        expected = _expected(golden)
        if not rows or expected is None:
            self.golden = GoldenReport(outcome="skipped", why=NO_ROWS)
            return self.golden
        reports = []
        for form in getattr(self.model, "forms", (self.model,)):
            answer = np.asarray(form.predict(frame).main, dtype=np.float64)
            reports.append(_compare(answer, expected, rows, golden))
        failed = [report for report in reports if report.outcome == "failed"]
        self.golden = max(failed or reports, key=lambda report: report.worst or 0.0)
        return self.golden


def load_bundle(
    folder: Path, *, threads: int = 1, verify: bool = True, expected: str | None = None
) -> Predictor:
    """Return the bundle in ``folder``, loaded.

    With ``verify`` every byte is hashed first, the digest must be the ``expected`` one where that
    is given, and the golden rows must come out as they should, on whatever this is: what the
    variant was proven on is read beside the folder. Whoever names the ``expected`` digest trusts
    what it names; without one, a bundle that brings code is not loaded.
    Raises NotFoundError, IntegrityError, UntrustedError, ModelError or DependencyError.
    """
    bundle = Bundle(Path(folder).resolve())
    digest = bundle.verify(expected) if verify else bundle.digest
    if expected is None or not verify:
        require_trust(bundle)
    signature = bundle.signature
    model = open_variant(bundle.folder, bundle.variant, signature, threads=threads)
    predictor = Predictor(bundle, model, digest, signature)
    if verify:
        golden = bundle.golden if "golden.json" in bundle.manifest.files else None
        predictor.prove(golden, read_proven(Path(folder), digest))
    return predictor


def open_variant(
    folder: Path, variant: Variant, signature: Signature, *, threads: int = 1
) -> Model:
    """Return the model of one variant: ONNX here, others through the group afterfit.variants.

    One that has another variant for many rows holds both.
    """
    model = _open_one(folder, variant, signature, threads)
    if not variant.large:
        return model
    large = open_variant(folder, variant.large.variant, signature, threads=threads)
    return BySize(model, large, variant.large.rows)


def _open_one(folder: Path, variant: Variant, signature: Signature, threads: int) -> Model:
    if variant.runtime == "onnx":
        if variant.output is None:
            raise ModelError(
                "variant.json names no output of the graph", where=str(folder), fix=RESTORE
            )
        return OnnxModel(
            folder / variant.file, variant.inputs, variant.output, signature.classes, threads
        )
    return _loader(variant.runtime)(folder, variant, signature, threads)


def _loader(runtime: str) -> Loader:
    for point in entry_points(group=GROUP, name=runtime):
        loader: Loader = point.load()
        return loader
    module, _, attribute = FALLBACK.get(runtime, "").partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise DependencyError(
            f"nothing here runs the variant runtime {runtime!r}",
            why=f"no entry point of that name in the group {GROUP} ({error})",
            fix="pip install afterfit",
        ) from None
    chosen: Loader = found
    return chosen


def _expected(golden: Golden) -> np.ndarray | None:
    for values in (golden.probabilities, golden.values, golden.codes):
        if values is not None:
            return np.asarray(values, dtype=np.float64)
    return None


def _compare(answer: np.ndarray, expected: np.ndarray, rows: int, golden: Golden) -> GoldenReport:
    tolerance = golden.tolerance
    if answer.shape != expected.shape:
        why = f"answers of shape {list(answer.shape)}, expected {list(expected.shape)}"
        return GoldenReport(outcome="failed", rows=rows, tolerance=tolerance, why=why)
    difference = np.abs(answer - expected)
    worst = float(difference.max())
    allowed = np.full(expected.shape, tolerance)
    if golden.values is not None:
        allowed = tolerance * (golden.scale or answer_scale(expected)).of(expected)
    if bool((difference <= allowed).all()):
        return GoldenReport(outcome="passed", rows=rows, worst=worst, tolerance=tolerance)
    bad = int((~(difference <= allowed).reshape(rows, -1).all(axis=1)).sum())
    why = f"{bad} of {rows} golden rows differ, by up to {worst:.3g} (allowed: {allowed.max():.3g})"
    return GoldenReport(outcome="failed", rows=rows, worst=worst, tolerance=tolerance, why=why)
