"""Cross-validation: clones of the user's model, fitted on folds in parallel processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import numpy as np

from afterfit.assess import findings
from afterfit.assess.config import AssessConfig
from afterfit.assess.metrics import measure, names_for
from afterfit.assess.splits import Split, splits
from afterfit.assess.structure import units_of
from afterfit.core.dataset import Dataset
from afterfit.core.effort import Effort, more_time
from afterfit.core.finding import Finding
from afterfit.core.formulae import find_formula
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric, find
from afterfit.core.progress import Progress
from afterfit.core.quality import encode_truth, labelled_rows
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError, in_record
from afterfit.models.timebox import ended_after
from afterfit.records.assess import Fold
from afterfit.stats.interval import resampled_t_interval

FIT = "afterfit.models.refit:fit_fold"
CV_SHARE = 0.6
"""The part of the time that is left which the cross-validation may take: the curve fits as well."""
START_SECONDS = 3.0
"""About what a second process takes until it can fit; work that is shorter stays in the first."""
REPEAT_SEED = 7919
"""How far apart the seeds of two repetitions are; a repetition has fewer folds than this."""

Work = TypeVar("Work")
Result = TypeVar("Result")


class Refittable(Protocol):
    """A model in a process of its own that can be asked to fit a clone."""

    @property
    def pid(self) -> int | None:
        """The process; None where none runs yet."""
        ...

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return ``function(native, **arguments)``, run in the model's process."""
        ...

    def clone_host(self) -> Any:
        """Return the same model in a second process, a context manager."""
        ...

    def close(self) -> None:
        """End the process; it starts anew when next asked."""
        ...


def plan(
    signature: Signature, train: Dataset, truth: np.ndarray, config: AssessConfig
) -> list[Split]:
    """Return the folds that can be fitted (they train on more than one class), or none for one.

    A repetition shuffles the rows anew; folds that go forward in time are the same each time, so
    they are not repeated.
    """
    classifies = signature.task != "regression"
    fit: list[Split] = []
    for repeat in range(1 if train.time is not None else max(1, config.repeats)):
        found = splits(
            truth,
            config.folds,
            stratify=classifies,
            group=train.group,
            seed=config.seed + REPEAT_SEED * repeat,
            time=train.time,
        )
        fit += [
            replace(split, repeat=repeat)
            for split in found
            if not classifies or len(np.unique(truth[split.train])) > 1
        ]
    return fit if len(fit) > 1 else []


def fit_folds(
    model: Any,
    signature: Signature,
    train: Dataset | None,
    config: AssessConfig,
    progress: Progress,
    *,
    refittable: bool,
) -> tuple[tuple[Fold, ...], Finding]:
    """Return the folds that were fitted, and why there are none or fewer."""
    check = findings.CrossValidation
    if config.folds < 2:
        return (), check.skipped("cross-validation was not asked for", fix="folds = 5")
    if train is None or not train.labelled().any():
        return (), check.not_applicable("there are no labelled training rows: give --train")
    if not refittable and not config.refit:
        text = "the model cannot be fitted again from its file: give --refit module:function"
        return (), check.not_applicable(text)
    rows = labelled_rows(train)
    truth = encode_truth(signature, rows)
    try:
        planned = plan(signature, rows, truth, config)
        folds = cross_validate(model, signature, rows, truth, planned, config, progress)
    except AfterfitError as error:
        progress.say(f"  ! fitting a clone failed: {error.message} {error.why}")
        text = f"fitting a clone failed: {in_record(error)}"
        return (), check.skipped(text, fix="give --refit module:function")
    return folds, told_of_folds(len(folds), planned, rows, config.effort)


def told_of_folds(done: int, planned: list[Split], rows: Dataset, effort: Effort) -> Finding:
    """Return how much was fitted; one whole repetition is enough to tell something."""
    check = findings.CrossValidation
    once = sum(split.repeat == 0 for split in planned)
    if once < 2:
        text = f"{len(rows)} training rows cannot be split into two folds that can be fitted"
        if rows.time is None or rows.group is None:
            return check.skipped(text, needed_n=2 * len(rows))
        text += ": groups come again over time, and their earlier rows cannot train what tests them"
        return check.skipped(text, fix="leave --group out: earlier rows then train, of any group")
    way = ", each trained on earlier rows only" if rows.time is not None else ""
    way += ", groups kept together" if rows.group is not None else ""
    if done < once:
        text = f"{done} of {once} folds were fitted before the time was over{way}"
        return check.skipped(text, fix=more_time(effort))
    if done == once == len(planned):
        return check.passed(f"{done} folds of {len(rows)} training rows{way}")
    text = f"{done} fits in repetitions of {once} folds of {len(rows)} training rows{way}"
    if done == len(planned):
        return check.passed(text)
    missed = len(planned) - done
    return check.passed(f"{text}; {missed} more were cut by the time", unfitted=missed)


def cross_validate(
    model: Refittable,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    planned: list[Split],
    config: AssessConfig,
    progress: Progress,
) -> tuple[Fold, ...]:
    """Return the folds that were fitted before `CV_SHARE` of ``config.seconds`` was over.

    A fit that is not done by then is ended with its process. Raises what fitting raises.
    """
    if not planned:
        return ()
    progress.step("cross-validation", len(planned))
    done = fitted(
        model,
        planned,
        lambda host, split: _fit(host, signature, train, truth, config, split),
        jobs=config.jobs,
        seconds=CV_SHARE * config.seconds,
        progress=progress,
    )
    return tuple(fold for fold in done if fold is not None)


def fitted(
    model: Refittable,
    work: Sequence[Work],
    one: Callable[[Any, Work], Result],
    *,
    jobs: int,
    seconds: float,
    progress: Progress,
    cost: Callable[[Work], float] = lambda _: 1.0,
) -> list[Result | None]:
    """Return ``one(host, item)`` of each item, in processes beside one another.

    The first item is done in the process that there is. Others are started only if the rest, by its
    ``cost`` beside the first, takes longer than starting them. None for what was not done when
    ``seconds`` were over; a call that is not done by then is ended with its process. Raises what a
    call raises before.
    """
    started = time.monotonic()
    deadline = started + seconds
    hosts: SimpleQueue[Any] = SimpleQueue()

    def in_time(item: Work) -> Result | None:
        if time.monotonic() >= deadline:
            return None
        host = hosts.get()
        try:
            return one(host, item)
        except ModelError:
            if time.monotonic() >= deadline:
                return None
            raise
        finally:
            hosts.put(host)
            progress.advance()

    if not work:
        return []
    hosts.put(model)
    with ended_after(seconds, [model]):
        first = in_time(work[0])
    rest = work[1:]
    if time.monotonic() >= deadline:
        return [first, *(None for _ in rest)]
    took = (time.monotonic() - started) * sum(map(cost, rest)) / cost(work[0])
    jobs = max(1, min(jobs, len(rest))) if took > START_SECONDS else 1
    with ExitStack() as stack:
        others = [stack.enter_context(model.clone_host()) for _ in range(jobs - 1)]
        for host in others:
            hosts.put(host)
        stack.enter_context(ended_after(deadline - time.monotonic(), [model, *others]))
        with ThreadPoolExecutor(jobs) as threads:
            return [first, *threads.map(in_time, rest)]


def refit_and_predict(
    host: Any,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    test: Dataset,
    config: AssessConfig,
    seed: int,
) -> Predictions:
    """Return the answers to ``test`` of a model fitted on ``train``, whose codes are ``truth``."""
    found: Predictions = host.call(
        FIT,
        signature=signature,
        train=train.frame,
        target=train.target if config.refit else truth,
        test=test.frame,
        refit=config.refit,
        code=config.code,
        seed=seed,
    )
    return found


def _fit(
    host: Refittable,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    config: AssessConfig,
    split: Split,
) -> Fold:
    part, rest = train.take(split.train), train.take(split.test)
    seed = config.seed + REPEAT_SEED * split.repeat + split.fold
    predictions = refit_and_predict(host, signature, part, truth[split.train], rest, config, seed)
    metrics = measure(
        signature, truth[split.test], predictions, config, scope="cv", units=units_of(rest)
    )
    return Fold(
        fold=split.fold,
        n_train=len(split.train),
        n_test=len(split.test),
        metrics=metrics,
        repeat=split.repeat,
    )


def summarize(
    signature: Signature, folds: tuple[Fold, ...], config: AssessConfig, *, forward: bool
) -> tuple[Metric, ...]:
    """Return the mean of each metric over the folds, with the corrected resampled t interval.

    Its correction is made for rows that are drawn at random; folds that go forward in time are not,
    so there it is marked approximate. Folds that all say the same bound nothing. ``n`` counts a
    tested row once, however often it was tested.
    """
    found = []
    for name in names_for(signature):
        pairs = [(f, m) for f in folds if (m := find(f.metrics, name)) and m.value is not None]
        values = np.array([m.value for _, m in pairs])
        if len(values) < 2:
            continue
        ratio = float(np.mean([fold.n_test / fold.n_train for fold, _ in pairs]))
        low, high = _bounds(name, values, ratio, config.level)
        way = f"corrected resampled t over {len(values)} folds"
        if forward:
            way += ", each trained on earlier rows only, approximate"
        repeats = len({fold.repeat for fold, _ in pairs})
        found.append(
            Metric(
                name=name,
                value=float(values.mean()),
                low=low,
                high=high,
                level=config.level,
                n=round(sum(fold.n_test for fold, _ in pairs) / repeats),
                method=way if low is not None else "undefined: the folds do not vary",
                unit=pairs[0][1].unit,
                scope="cv",
            )
        )
    return tuple(found)


def _bounds(
    name: str, values: np.ndarray, ratio: float, level: float
) -> tuple[float | None, float | None]:
    bounds = resampled_t_interval(values, ratio, level)
    if not bounds.low < bounds.high:
        return None, None
    least, most = find_formula(name).bounds
    return max(bounds.low, least), min(bounds.high, most)
