"""Networks that learn another's answers: what they learn, and how."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame, row_count, take
from afterfit.errors import ModelError
from afterfit.models.torch_outputs import Activation, first_output

__all__ = ["Lesson", "Training", "epochs_for", "learn", "lesson", "seeded"]

LEAST_ROWS = 100
"""Rows below which nothing is taught."""

MOST_ROWS = 20_000
SAMPLES = 40_000
"""Rows that pass a network while it learns, all epochs together: seconds for a small one."""

BATCH = 64
HELD = 0.1
PATIENCE = 8
ASKED_AT_ONCE = 512
LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Lesson:
    """Rows as tensors, what the teacher says of them, and their labels.

    ``soft`` is [n, classes] scores, of which a softmax makes the teacher's probabilities, or
    [n, 1] values; ``hard`` is [n] class codes (-1 unknown) or values (NaN unknown).
    """

    tensors: tuple[Any, ...]
    soft: Any
    hard: Any
    regression: bool

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.soft)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network learns: Adam, from ``rate`` down a half cosine.

    ``labels`` is the share that known labels have in what is learned. Scores are divided by
    ``temperature`` before they are compared (Hinton et al. 2015). It ends at ``deadline``
    (monotonic) with the best it has, after one epoch at least.
    """

    epochs: int
    seed: int
    deadline: float
    rate: float = 1e-3
    temperature: float = 2.0
    labels: float = 0.5


def epochs_for(rows: int) -> int:
    """Return how often rows are learned: small tables more often, so that all take seconds."""
    return int(np.clip(SAMPLES // max(1, min(rows, MOST_ROWS)), 2, 60))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make what PyTorch draws and adds up the same each time, on this machine; undone after."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False), torch.enable_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
            torch.set_num_threads(threads)


def lesson(
    native: Any,
    inputs: Sequence[TensorInput],
    rows: Frame,
    target: np.ndarray | None,
    *,
    regression: bool,
    seed: int,
) -> Lesson:
    """Return what the network says of the rows; raises ModelError where they are too few."""
    import torch

    from afterfit.runtime.onnx import feed

    count = row_count(rows)
    if count < LEAST_ROWS:
        raise ModelError(
            f"{count} rows teach nothing; {LEAST_ROWS} would",
            fix="give more rows: --train train.csv",
        )
    order = np.random.default_rng(seed).permutation(count)[:MOST_ROWS]
    rows = take(rows, order)
    feeds = [feed(rows, tensor) for tensor in inputs]
    parts = [
        native.ask([array[start : start + ASKED_AT_ONCE] for array in feeds])
        for start in range(0, len(order), ASKED_AT_ONCE)
    ]
    answer = torch.from_numpy(np.concatenate(parts))
    soft = answer.reshape(len(answer), -1) if regression else scores(answer, native.activation)
    if not bool(torch.isfinite(soft).all()):
        raise ModelError(
            "the network answers no number for some of the rows",
            fix="leave out rows with missing or infinite values",
        )
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in feeds)
    return Lesson(tensors, soft, _hard(target, order, regression=regression), regression)


def scores(answer: Any, activation: Activation) -> Any:
    """Return [n, classes] scores, of which a softmax makes what the network answers."""
    import torch

    answer = answer.reshape(len(answer), -1)
    single = answer.shape[1] == 1
    if activation == "none":
        answer = answer.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        answer = torch.logit(answer) if single else torch.log(answer)
    return torch.cat([torch.zeros_like(answer), answer], dim=1) if single else answer


def _hard(target: np.ndarray | None, order: np.ndarray, *, regression: bool) -> Any:
    import torch

    if target is None:
        unknown = np.nan if regression else -1
        return torch.full((len(order),), unknown, dtype=torch.float32 if regression else None)
    known = np.asarray(target)[order]
    return torch.from_numpy(known.astype(np.float32 if regression else np.int64))


def learn(network: Any, taught: Lesson, activation: Activation, training: Training) -> str:
    """Train the network in place, and return a line that says on what.

    A tenth of the rows is held back: the state that answers them best is kept, and training
    ends where they are answered no better for eight epochs.
    """
    import torch

    held = max(1, round(HELD * taught.rows))
    judged, kept = slice(0, held), np.arange(held, taught.rows)
    optimizer = torch.optim.Adam(
        [p for p in network.parameters() if p.requires_grad], training.rate
    )
    steps = training.epochs * max(1, len(kept) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    shuffle = np.random.default_rng(training.seed)
    best, state, since, done = np.inf, None, 0, 0
    for _ in range(training.epochs):
        network.train()
        for rows in _batches(shuffle.permutation(kept)):
            optimizer.zero_grad()
            _loss(network, taught, rows, activation, training).backward()
            optimizer.step()
            schedule.step()
        done += 1
        network.eval()
        with torch.no_grad():
            loss = float(_loss(network, taught, judged, activation, training))
        since = 0 if loss < best else since + 1
        if loss < best:
            best, state = loss, copy.deepcopy(network.state_dict())
        if since >= PATIENCE or time.monotonic() >= training.deadline:
            break
    if state is None:
        raise ModelError(
            "training went astray: the network answers no numbers any more",
            fix="scale the columns inside of the network",
        )
    network.load_state_dict(state)
    known = bool((~taught.hard.isnan() if taught.regression else taught.hard >= 0).any())
    labels = f" and labels ({training.labels:.0%})" if known and training.labels else ""
    passes = f"{done} of {training.epochs} epochs over {len(kept):,} rows"
    return f"{passes}, by the model's answers{labels}"


def _batches(rows: np.ndarray) -> Iterator[np.ndarray]:
    # The rest that fills no batch waits for the next epoch: one row has no variance to normalize.
    for start in range(0, max(BATCH, len(rows) - BATCH + 1), BATCH):
        yield rows[start : start + BATCH]


def _loss(
    network: Any, taught: Lesson, rows: Any, activation: Activation, training: Training
) -> Any:
    from torch.nn import functional

    answer = first_output(network(*(tensor[rows] for tensor in taught.tensors)))
    soft, hard = taught.soft[rows], taught.hard[rows]
    if taught.regression:
        scale = taught.soft.std().clamp_min(1e-12)
        answer = answer.reshape(-1)
        known = ~hard.isnan()
        loss = functional.mse_loss(answer / scale, soft[:, 0] / scale)
        wanted = functional.mse_loss(answer[known] / scale, hard[known] / scale)
    else:
        said, warm = scores(answer, activation), training.temperature
        known = hard >= 0
        loss = warm**2 * functional.kl_div(
            functional.log_softmax(said / warm, dim=1),
            functional.log_softmax(soft / warm, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        wanted = functional.cross_entropy(said[known], hard[known])
    if not bool(known.any()):
        return loss
    return (1 - training.labels) * loss + training.labels * wanted
