"""Cross-validation: clones of the user's model, fitted on folds in parallel processes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.metrics import measure, names_for
from afterfit.assess.splits import Split, splits
from afterfit.core.dataset import Dataset
from afterfit.core.formulae import find_formula
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.progress import Progress
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.timebox import ended_after
from afterfit.records.assess import Fold
from afterfit.stats.interval import t_interval

FIT = "afterfit.models.refit:fit_fold"


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
    """Return the folds that can be fitted (they train on more than one class), or none for one."""
    classifies = signature.task != "regression"
    found = splits(
        truth,
        config.folds,
        stratify=classifies,
        group=train.group,
        seed=config.seed,
        time=train.time,
    )
    fit = [s for s in found if not classifies or len(np.unique(truth[s.train])) > 1]
    return fit if len(fit) > 1 else []


def cross_validate(
    model: Refittable,
    signature: Signature,
    train: Dataset,
    truth: np.ndarray,
    planned: list[Split],
    config: AssessConfig,
    progress: Progress,
) -> tuple[Fold, ...]:
    """Return the folds that were fitted before ``config.seconds`` were over.

    A fit that is not done by then is ended with its process. Raises what fitting raises.
    """
    if not planned:
        return ()
    progress.step("cross-validation", len(planned))
    deadline = time.monotonic() + config.seconds
    hosts: SimpleQueue[Any] = SimpleQueue()
    jobs = max(1, min(config.jobs, len(planned)))

    def one(split: Split) -> Fold | None:
        if time.monotonic() >= deadline:
            return None
        host = hosts.get()
        try:
            return _fit(host, signature, train, truth, config, split)
        except ModelError:
            if time.monotonic() >= deadline:
                return None
            raise
        finally:
            hosts.put(host)
            progress.advance()

    with ExitStack() as stack:
        pool = [model, *(stack.enter_context(model.clone_host()) for _ in range(jobs - 1))]
        for host in pool:
            hosts.put(host)
        stack.enter_context(ended_after(config.seconds, pool))
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
        target=part.target if config.refit else truth[split.train],
        test=rest.frame,
        refit=config.refit,
        code=config.code,
        seed=config.seed + split.fold,
    )
    metrics = measure(signature, truth[split.test], predictions, config, scope="cv")
    return Fold(fold=split.fold, n_train=len(split.train), n_test=len(split.test), metrics=metrics)


def summarize(
    signature: Signature, folds: tuple[Fold, ...], config: AssessConfig, *, forward: bool
) -> tuple[Metric, ...]:
    """Return the mean of each metric over the folds, with a t interval.

    The folds share training rows, so the interval is somewhat too narrow (Bengio and Grandvalet
    2004): it is marked approximate. Folds that all say the same bound nothing.
    """
    found = []
    for name in names_for(signature):
        same = [m for fold in folds for m in fold.metrics if m.name == name]
        values = np.array([m.value for m in same if m.value is not None])
        if len(values) < 2:
            continue
        low, high = _bounds(name, values, config.level)
        way = "each trained on earlier rows only, " if forward else ""
        found.append(
            Metric(
                name=name,
                value=float(values.mean()),
                low=low,
                high=high,
                level=config.level,
                n=sum(fold.n_test for fold in folds),
                method=f"t over {len(values)} folds, {way}approximate"
                if low is not None
                else "undefined: the folds do not vary",
                unit=same[0].unit,
                scope="cv",
            )
        )
    return tuple(found)


def _bounds(name: str, values: np.ndarray, level: float) -> tuple[float | None, float | None]:
    bounds = t_interval(values, level)
    if not bounds.low < bounds.high:
        return None, None
    least, most = find_formula(name).bounds
    return max(bounds.low, least), min(bounds.high, most)
