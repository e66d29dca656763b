"""``robustness``: strange rows through the model, and what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import Metric
from afterfit.core.model import Model
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.models.timebox import Ended, ended_after
from afterfit.records.robustness import Case, RobustnessRecord
from afterfit.robustness.cases import Spoiled, planned_cases
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.judge import BAD, judged, not_examined
from afterfit.robustness.probe import UNHARMED, ask, batches, run_case, zero_rows
from afterfit.robustness.wrong_types import wrong_type_cases
from afterfit.store.environment import current_environment


def robustness(
    model: Model,
    signature: Signature,
    data: Dataset,
    config: RobustnessConfig,
    *,
    subject: str,
    ends: Sequence[Ended] = (),
    progress: Progress = SILENT,
) -> RobustnessRecord:
    """Return what missing, extreme, unseen, empty and wrong-typed rows did to the model.

    ``subject`` is the digest of the bundle that is examined; ``ends`` are the processes to end
    when the time is over, so that no slow answer is waited for. Real rows are spoiled one column at
    a time, so that a change is due to that column alone. For a regression a row counts as
    decided differently when its value moves by more than 1 % of the answers' standard deviation.
    Raises InputError where there is no row.
    """
    deadline = time.monotonic() + config.seconds
    rows = _sample(data, signature, config)
    n = frames.row_count(rows)
    shared: dict[str, Any] = {
        "subject": subject,
        "env": current_environment(),
        "inputs": {"data": data.digest},
        "resolved": msgspec.to_builtins(config) | {"seconds": None},
    }
    before, outcome, message = ask(model, rows)
    unharmed = Case(case=UNHARMED, column="", n=n, outcome=outcome, message=message)
    if before is None:
        return RobustnessRecord(
            **shared,
            status="partial",
            findings=not_examined(unharmed),
            metrics=_metrics([unharmed]),
            cases=(unharmed,),
        )
    planned = planned_cases(signature)
    cases = [unharmed, zero_rows(model, signature), *batches(model, rows, before)]
    cases += wrong_type_cases(signature, rows)
    left = deadline - time.monotonic()
    with ended_after(left, ends if left > 0 else ()):
        reached = _reached(model, signature, rows, before, planned, deadline, progress)
    skipped = len(planned) - len(reached)
    return RobustnessRecord(
        **shared,
        status="partial" if skipped else "complete",
        findings=judged([*cases, *reached], planned, skipped),
        metrics=_metrics([*cases, *reached]),
        cases=(*cases, *reached),
    )


def _sample(data: Dataset, signature: Signature, config: RobustnessConfig) -> Frame:
    random = np.random.default_rng(config.seed)
    chosen = random.permutation(len(data))[: max(1, config.rows)]
    if not len(chosen):
        raise InputError(
            "the data has no rows to spoil", where=data.source, fix="give --data a table with rows"
        )
    selected = frames.select(data.frame, signature.names)
    return {name: values[np.sort(chosen)] for name, values in selected.items()}


def _reached(
    model: Model,
    signature: Signature,
    rows: Frame,
    before: Predictions,
    planned: list[Spoiled],
    deadline: float,
    progress: Progress,
) -> list[Case]:
    """Return the planned cases that ran before the time was over."""
    progress.step("robustness", len(planned))
    done: list[Case] = []
    for spoiled in planned:
        if time.monotonic() > deadline:
            break
        case = run_case(model, signature, rows, before, spoiled)
        if time.monotonic() > deadline:
            # It may have been ended with the time: what became of it says nothing of the model.
            break
        done.append(case)
        progress.advance()
    return done


def _metrics(cases: list[Case]) -> tuple[Metric, ...]:
    ran = [case for case in cases if case.outcome != "not_applicable"]
    bad = sum(case.outcome in BAD for case in ran)
    return (
        Metric(name="failed_cases", value=float(bad), n=len(ran), method="count", unit="cases"),
    )
