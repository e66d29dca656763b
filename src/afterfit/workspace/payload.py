"""From a chosen variant to the bundle: fingerprint, golden rows, files, pins."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.core.bundle import Variant
from afterfit.core.dataset import Dataset
from afterfit.core.fingerprint import build
from afterfit.core.frame import Frame, Predictions, concatenate
from afterfit.core.model import Model
from afterfit.core.scale import AnswerScale, answer_scale
from afterfit.core.signature import Signature
from afterfit.models.draft import serving_requirements
from afterfit.models.hosted import HostedVariant
from afterfit.models.loaded import LoadedModel
from afterfit.package.draft import code_finding, draft_bundle
from afterfit.package.golden import golden_finding, golden_rows, make_golden
from afterfit.package.lock import pins, serving_pins
from afterfit.package.ood.config import OodConfig
from afterfit.package.ood.make import Made, Reference, Rows, make_scorer
from afterfit.package.run import record_draft
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.package import PackageRecord
from afterfit.store.blobs import BlobStore
from afterfit.workspace.sources import sample

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

REFERENCE_ROWS = 200_000
"""A fingerprint of more rows than this is drawn from a sample of them."""
FRESH_ROWS = 5_000
"""Evaluation rows that a scorer of unlike rows is tried on."""
BATCH_ROWS = 20_000
TOLERANCE = 1e-5
DECIMALS = 7
"""Expected answers are rounded to these decimals: the last bits differ from CPU to CPU, and a
bundle's digest must not."""


def keep_files(blobs: BlobStore, files: Mapping[str, Path | bytes]) -> dict[str, str]:
    """Return bundle path to SHA-256 after keeping a variant's files as blobs."""
    return {
        name: blobs.put_bytes(content) if isinstance(content, bytes) else blobs.put_file(content)
        for name, content in sorted(files.items())
    }


def draft(
    space: Workspace,
    model: LoadedModel,
    signature: Signature,
    optimized: OptimizeRecord,
    reference: Dataset,
    fresh: Dataset | None = None,
) -> PackageRecord:
    """Return the record of the drafted bundle, whose files are now blobs of the workspace.

    ``fresh`` are rows beside the reference, where there are such.
    """
    files: dict[str, Path | bytes] = {
        name: space.blobs.path(digest) for name, digest in optimized.blobs.items()
    }
    seed = space.config.line.seed
    drawn = sample(reference, REFERENCE_ROWS, seed).select(signature.names)
    folder = Path(tempfile.mkdtemp(prefix="afterfit-draft-"))
    try:
        runnable = _lay_out(folder / "variant", files)
        with HostedVariant(runnable, optimized.variant, signature) as variant:
            answers = _predict(variant, drawn)
            scale = None if answers.values is None else answer_scale(answers.values).rounded()
            answers = _rounded(answers, scale)
            fingerprint = build(drawn.frame, signature, answers, seed=seed)
            rows = golden_rows(fingerprint, signature, seed=seed)
            rounding = _Rounding(variant, scale)
            golden = make_golden(rows, rounding, signature, TOLERANCE, scale)
            known = Reference(signature, drawn.frame, answers, rounding.predict)
            scorer = _scorer(space, known, fresh)
        bundle = draft_bundle(
            folder / "bundle",
            signature=signature,
            fingerprint=fingerprint,
            variant=optimized.variant,
            files={**files, **scorer.files},
            golden=golden,
            requirements=requirements(model, optimized.variant),
        )
        space.blobs.put_bundle(bundle.folder)
        return record_draft(
            bundle,
            subject=model.digest,
            inputs={"reference": reference.digest},
            findings=(
                code_finding(model.code),
                golden_finding(golden),
                *scorer.findings,
            ),
            metrics=scorer.metrics,
            scorer=scorer.record,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scorer(space: Workspace, reference: Reference, fresh: Dataset | None) -> Made:
    """Return the scorer of unlike rows that the configuration asks for."""
    asked, seed = space.config.ood, space.config.line.seed
    config = OodConfig(scorer=asked.scorer, rate=asked.rate, seed=seed)
    rows = None
    if fresh is not None:
        frame = sample(fresh, FRESH_ROWS, seed).select(reference.signature.names).frame
        rows = Rows(frame, reference.predict(frame))
    return make_scorer(reference, config, rows)


def requirements(model: LoadedModel, variant: Variant) -> str:
    """Return the pins of the serving environment: ONNX Runtime's alone, or the framework's too.

    A library that both need stands in the version that the model was measured with.
    """
    both = [variant, variant.large.variant] if variant.large else [variant]
    native = [each.framework for each in both if each.runtime != "onnx"]
    if not native:
        return serving_pins()
    needed = serving_requirements(model.description, native[0])
    return pins(dict(pin.split("==") for pin in needed))


class _Rounding:
    """A model whose answers are rounded, for what goes into a bundle."""

    def __init__(self, model: Model, scale: AnswerScale | None) -> None:
        self._model = model
        self._scale = scale

    def predict(self, frame: Frame) -> Predictions:
        """Return the rounded predictions."""
        return _rounded(self._model.predict(frame), self._scale)


def _rounded(answers: Predictions, scale: AnswerScale | None) -> Predictions:
    """Return the answers rounded to a fixed number of decimals, of a value in units of spreads."""
    probabilities, values = answers.probabilities, answers.values
    if probabilities is not None:
        probabilities = probabilities.round(DECIMALS)
    if values is not None and scale is not None and scale.spread > 0:
        values = values.round(DECIMALS - math.floor(math.log10(scale.spread)))
    return Predictions(probabilities=probabilities, values=values, codes=answers.codes)


def _predict(model: Model, data: Dataset) -> Predictions:
    parts = [
        model.predict(data.take(slice(start, start + BATCH_ROWS)).frame)
        for start in range(0, len(data), BATCH_ROWS)
    ]
    return concatenate(parts)


def _lay_out(folder: Path, files: Mapping[str, Path | bytes]) -> Path:
    """Return a folder with a variant's files in their places."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder
