"""Scores a table file, whatever its size, into another."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa

from afterfit.core.digest import sha256_file
from afterfit.core.frame import Frame, Predictions
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import UsageError
from afterfit.predict.config import PredictConfig
from afterfit.predict.output import check_output, writing
from afterfit.predict.scores import score_columns, score_names
from afterfit.records.predict import PredictRecord
from afterfit.records.record import given
from afterfit.runtime.decode import Decoder
from afterfit.runtime.ood import OodScorer, unusual
from afterfit.store.environment import current_environment
from afterfit.store.files import os_errors
from afterfit.store.sniff import no_rows
from afterfit.store.tables import Batch, open_table, stream_table

__all__ = ["Scorer", "predict_file"]


class Scorer(Protocol):
    """A model that knows its columns: a loaded bundle."""

    @property
    def digest(self) -> str:
        """The version digest."""
        ...

    @property
    def signature(self) -> Signature:
        """The columns and outputs."""
        ...

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows."""
        ...


def predict_file(
    predictor: Scorer,
    source: Path,
    output: Path,
    config: PredictConfig | None = None,
    *,
    progress: Progress = SILENT,
) -> PredictRecord:
    """Return the record of scoring every row of ``source`` into ``output``, in constant memory.

    Both are CSV, Parquet or Arrow; ``output`` by its ending. It has the kept input columns, then
    those of ``score_names``, and appears whole or not at all. The rules for a value are those of
    a request, so the scores are the same. Raises UsageError; InputError that names file, row and
    column; ForbiddenError or ResourceError for the output.
    """
    config = config or PredictConfig()
    check_output(source, output)
    table = open_table(source)
    keep = _kept(config, table.names)
    names = score_names(predictor.signature)
    _check_clash(names, keep, source)
    progress.step("predict", table.rows)
    decoder = Decoder(predictor.signature)
    scorer: OodScorer | None = getattr(predictor, "ood", None)
    rows, flagged = 0, dict[str, int]()
    with writing(output) as writer:
        for batch in stream_table(source, predictor.signature, config.batch_rows, keep=keep):
            predictions = predictor.predict(batch.frame)
            writer.write(_scored(batch, predictions, predictor.signature, names))
            flags = unusual(decoder, scorer, batch.frame, predictions)
            for flag, count in flags.counts().items():
                flagged[flag] = flagged.get(flag, 0) + count
            rows += batch.rows
            progress.advance(batch.rows)
        if not rows:
            raise no_rows(str(source))
    return _record(predictor, source, output, config, rows, flagged)


def _kept(config: PredictConfig, names: list[str]) -> tuple[str, ...]:
    if config.only_scores:
        return ()
    return tuple(names) if config.keep is None else config.keep


def _check_clash(names: tuple[str, ...], keep: tuple[str, ...], source: Path) -> None:
    both = [name for name in keep if name in names]
    if both:
        raise UsageError(
            f"the input has a column {both[0]!r}, which is also the name of a score",
            where=str(source),
            why=f"the output gets the columns {', '.join(names)}",
            fix="keep other columns only (--keep ID), or none (--only-scores)",
        )


def _scored(
    batch: Batch, predictions: Predictions, signature: Signature, names: tuple[str, ...]
) -> pa.RecordBatch:
    scores = score_columns(predictions, signature)
    kept = batch.kept
    columns = [*kept.columns, *scores]
    fields = [*kept.schema, *(pa.field(n, a.type) for n, a in zip(names, scores, strict=True))]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _record(
    predictor: Scorer,
    source: Path,
    output: Path,
    config: PredictConfig,
    rows: int,
    flagged: dict[str, int],
) -> PredictRecord:
    with os_errors(source, "read"):
        inputs = {"source": sha256_file(source)}
    kept = None if config.keep is None else list(config.keep)
    return PredictRecord(
        subject=predictor.digest,
        env=current_environment(),
        inputs=inputs,
        args=given(config),
        resolved={"keep": kept, "only_scores": config.only_scores},
        source=source.name,
        output=output.name,
        rows=rows,
        flagged={flag: count for flag, count in flagged.items() if count},
    )
