"""Cross-validation: clones of the user's model, fitted on folds in parallel processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, Self

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.metrics import measure, names_for
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.progress import Progress
from afterfit.core.signature import Signature
from afterfit.records.assess import Fold
from afterfit.stats.interval import t_interval

FIT = "afterfit.models.refit:fit_fold"


class Refittable(Protocol):
    """A model in a process of its own that can be asked to fit a clone."""

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return ``function(native, **arguments)``, run in the model's process."""
        ...

    def clone_host(self) -> Any:
        """Return the same model in a second process."""
        ...

    def __enter__(self) -> Self:
        """Enter."""
        ...


@dataclass(frozen=True)
class Split:
    """One fold: its number and the rows of both sides."""

    fold: int
    train: np.ndarray
    test: np.ndarray


def splits(
    truth: np.ndarray, folds: int, *, stratify: bool, group: np.ndarray | None, seed: int
) -> Iterator[Split]:
    """Yield the folds: shuffled with ``seed``, groups kept together, classes spread evenly."""
    random = np.random.default_rng(seed)
    assigned = np.empty(len(truth), dtype=np.int64)
    if group is not None:
        names, member = np.unique(group.astype(str), return_inverse=True)
        assigned = (random.permutation(len(names)) % folds)[member]
    elif stratify:
        for code in np.unique(truth):
            rows = np.flatnonzero(truth == code)
            assigned[random.permutation(rows)] = np.arange(len(rows)) % folds
    else:
        assigned[random.permutation(len(truth))] = np.arange(len(truth)) % folds
    for fold in range(folds):
        yield Split(fold, np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold))


def cross_validate(
    model: Refittable,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    config: AssessConfig,
    progress: Progress,
) -> tuple[Fold, ...]:
    """Return the folds that were fitted before the time was over; raises what fitting raises."""
    planned = list(
        splits(
            truth,
            config.folds,
            stratify=signature.task != "regression",
            group=train.group,
            seed=config.seed,
        )
    )
    progress.step("cross-validation", len(planned))
    deadline = time.monotonic() + config.seconds
    hosts: SimpleQueue[Any] = SimpleQueue()
    jobs = max(1, min(config.jobs, len(planned)))

    def one(split: Split) -> Fold | None:
        if time.monotonic() > deadline:
            return None
        host = hosts.get()
        try:
            return _fit(host, signature, train, truth, config, split)
        finally:
            hosts.put(host)
            progress.advance()

    with ExitStack() as stack:
        hosts.put(model)
        for _ in range(jobs - 1):
            hosts.put(stack.enter_context(model.clone_host()))
        with ThreadPoolExecutor(jobs) as threads:
            done = list(threads.map(one, planned))
    return tuple(fold for fold in done if fold is not None)


def _fit(
    host: Refittable,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    config: AssessConfig,
    split: Split,
) -> Fold:
    part, rest = train.take(split.train), train.take(split.test)
    predictions: Predictions = host.call(
        FIT,
        signature=signature,
        train=part.frame,
        target=part.target,
        test=rest.frame,
        refit=config.refit,
        code=config.code,
    )
    metrics = measure(signature, truth[split.test], predictions, config, scope="cv")
    return Fold(
        fold=split.fold, n_train=len(split.train), n_test=len(split.test), metrics=metrics
    )


def summarize(
    signature: Signature, folds: tuple[Fold, ...], config: AssessConfig
) -> tuple[Metric, ...]:
    """Return the mean of each metric over the folds, with a t interval.

    The folds share training rows, so the interval is somewhat too narrow (Bengio and Grandvalet
    2004): it is marked approximate.
    """
    found = []
    for name in names_for(signature):
        numbers = [m.value for fold in folds for m in fold.metrics if m.name == name]
        values = np.array([value for value in numbers if value is not None])
        if len(values) < 2:
            continue
        bounds = t_interval(values, config.level)
        unit = next(m.unit for m in folds[0].metrics if m.name == name)
        found.append(
            Metric(
                name=name,
                value=float(values.mean()),
                low=bounds.low,
                high=bounds.high,
                level=config.level,
                n=sum(fold.n_test for fold in folds),
                method=f"t over {len(values)} folds, approximate",
                unit=unit,
                scope="cv",
            )
        )
    return tuple(found)
