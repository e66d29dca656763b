"""200 random small models of every framework: no wrong variant ever ships.

What the ladder calls exact is compared with the library's own answers on rows that neither the
training nor the ladder saw; where nothing is exact the model itself ships, so nothing can be wrong.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.models.networks import torch_or_skip
from tests.optimize.conftest import InProcess, signature_of
from tests.optimize.random_models import (
    KINDS,
    TASKS,
    Drawn,
    Rows,
    draw,
    fitted,
    numbers,
    target,
)

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.progress import SILENT
from afterfit.core.scale import answer_scale
from afterfit.core.signature import Signature, Task
from afterfit.errors import ModelError
from afterfit.models.convert import Converted
from afterfit.models.native import Hints, adapter_for_object
from afterfit.models.proposal import Proposal
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import CONVERT, Trial, climb
from afterfit.optimize.lossy import Incumbent, Means, lossy_variants
from afterfit.optimize.search import answers_of_graph
from afterfit.runtime.onnx import OnnxModel

ROWS, FRESH = 300, 400
NETWORKS, LOSSY = 12, 8
MAX_DROP = 0.02
SEEDS = [(kind, seed) for kind, (count, _) in KINDS.items() for seed in range(count)]


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Counts "kind outcome", and prints them at the end."""
    counts: Counter[str] = Counter()
    yield counts
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    told = "\n".join(f"  {count:3} {name}" for name, count in sorted(counts.items()))
    with capture.global_and_fixture_disabled():
        sys.stdout.write(f"\n{counts.total()} random models\n{told}\n")


def test_they_are_two_hundred() -> None:
    """The number that is promised: most by the ladder, some networks, some made smaller."""
    assert len(SEEDS) + NETWORKS + LOSSY == 200


def strange(frame: Rows, signature: Signature) -> Iterator[Rows]:
    """Yield fresh rows as they are, then extreme, unseen and missing values among them."""
    yield frame
    rows = len(next(iter(frame.values())))
    rng = np.random.default_rng(rows)
    for factor in (-1.0, 1e-3, 1e6):
        yield {n: v * factor if v.dtype.kind == "f" else v for n, v in frame.items()}
    text = [column.name for column in signature.columns if not column.numeric]
    if text:
        unseen = np.array(["never seen", "", "NORTH", "clerk "], dtype=object)
        yield {**frame, **{name: unseen[rng.integers(0, 4, rows)] for name in text}}
    for column in signature.columns:
        if column.nullable and column.numeric:
            yield {**frame, column.name: np.full(rows, np.nan)}


def climbed(model: InProcess, signature: Signature, frame: Rows, seed: int) -> list[Trial]:
    """Every trial of the ladder; the last one is exact unless none is."""
    config = OptimizeConfig(effort="quick", seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempts = model.call(f"{CONVERT}:attempts")
        return climb(model, attempts, signature, Dataset(frame=frame), config, SILENT)


def require_equal(
    variant: OnnxModel, answer: Any, frame: Rows, signature: Signature, usual: np.ndarray
) -> None:
    """Fail where the variant answers otherwise than the library, on any rows that it takes."""
    for rows in strange(frame, signature):
        try:
            expected = answer(rows)
        except Exception:  # noqa: BLE001, S112 - the model refuses such rows, so nothing is compared
            continue
        found = variant.predict(rows)
        if signature.task == "regression":
            gap = np.abs(expected - found.main) / answer_scale(usual).of(expected)
        elif expected.ndim == 1:
            gap = (expected != signature.codes(found)).astype(float)
        else:
            gap = np.abs(expected - found.main).max(axis=1)
            labels = expected.argmax(axis=1) == found.main.argmax(axis=1)
            assert labels.all(), f"{(~labels).sum()} labels differ"
        gap[np.isnan(gap)] = np.where(_both_missing(expected, found), 0.0, np.inf)[np.isnan(gap)]
        assert gap.max() <= 1e-5, f"{(gap > 1e-5).sum()} rows differ, by at most {gap.max():.2g}"


def _both_missing(expected: np.ndarray, found: Predictions) -> np.ndarray:
    missing: np.ndarray = np.isnan(expected) & np.isnan(found.main)
    return np.asarray(missing if missing.ndim == 1 else missing.any(axis=1))


def ships(trials: list[Trial], signature: Signature) -> OnnxModel | None:
    """The variant that may ship; None where the model itself does, and then each trial says why."""
    last = trials[-1] if trials else None
    if last is None or last.status != "exact" or last.converted is None:
        assert all(trial.why for trial in trials)
        return None
    made = last.converted
    assert made.output is not None
    return OnnxModel(made.data, made.inputs, made.output, signature.classes)


def wrapped(drawn: Drawn, signature: Signature) -> Any:
    """The model behind Afterfit's interface; None for one that is not supported, as it says."""
    try:
        return adapter_for_object(drawn.estimator).wrap(drawn.estimator, Hints.of(signature))
    except ModelError as refused:
        if "not supported" not in refused.message or not refused.fix:
            raise
        return None


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), SEEDS)
def test_no_wrong_variant_ships(kind: str, seed: int, tally: Counter[str]) -> None:
    """Exact on fresh rows, extreme, unseen and missing values too; or the model ships as it is."""
    drawn = draw(kind, seed)
    if drawn is None:
        tally[f"{kind} not installed"] += 1
        pytest.skip(f"NOT RUN: {kind} is not installed")
    drawn, frame, truth = fitted(drawn, ROWS, seed)
    classes = () if drawn.task == "regression" else tuple(np.unique(truth).tolist())
    signature = signature_of(frame, drawn.task, classes)
    native = wrapped(drawn, signature)
    if native is None:
        tally[f"{kind} refused"] += 1
        return
    trials = climbed(InProcess(native), signature, frame, seed)
    variant = ships(trials, signature)
    tally[f"{kind} {'as it is' if variant is None else trials[-1].attempt.name}"] += 1
    if variant is not None:
        fresh = drawn.make(FRESH, seed + 1000)
        require_equal(variant, drawn.answer, fresh, signature, drawn.answer(frame))


def network(rng: np.random.Generator, task: Task) -> Any:
    """An untrained network of a few layers, which answers scores or a value."""
    torch = torch_or_skip()
    torch.manual_seed(int(rng.integers(1000)))
    layers: list[Any] = []
    width = len(numbers(1, 0))
    for _ in range(int(rng.integers(1, 4))):
        wider = int(rng.integers(3, 20))
        layers.append(torch.nn.Linear(width, wider))
        if rng.random() < 0.4:
            layers.append(torch.nn.BatchNorm1d(wider))
        layers.append((torch.nn.ReLU, torch.nn.Tanh, torch.nn.GELU)[int(rng.integers(3))]())
        if rng.random() < 0.3:
            layers.append(torch.nn.Dropout(0.5))
        width = wider
    layers.append(torch.nn.Linear(width, {"regression": 1, "binary": 2, "multiclass": 3}[task]))
    return torch.nn.Sequential(*layers).eval()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NETWORKS))
def test_no_wrong_network_ships(seed: int, tally: Counter[str]) -> None:
    """A network's graph answers as PyTorch does, by itself, on rows of any size."""
    torch = torch_or_skip()
    rng = np.random.default_rng(seed)
    task = TASKS[seed % 3]
    net, frame = network(rng, task), numbers(ROWS, seed)
    frame = {name: np.log1p(values) / 10 if name == "income" else values / 10
             for name, values in frame.items()}  # fmt: skip

    def answer(rows: Rows) -> np.ndarray:
        table = torch.from_numpy(np.column_stack(list(rows.values())).astype(np.float32))
        with torch.inference_mode():
            found = net(table)
        if task == "regression":
            return np.asarray(found.reshape(-1).numpy(), np.float64)
        return np.asarray(torch.softmax(found, dim=1).numpy(), np.float64)

    classes = {"regression": (), "binary": (0, 1), "multiclass": (0, 1, 2)}[task]
    signature = signature_of(frame, task, classes)
    native = adapter_for_object(net).wrap(net, Hints.of(signature))
    trials = climbed(InProcess(native), signature, frame, seed)
    variant = ships(trials, signature)
    tally[f"torch {'as it is' if variant is None else trials[-1].attempt.name}"] += 1
    if variant is not None:
        fresh = {name: values / 10 for name, values in numbers(FRESH, seed + 1000).items()}
        require_equal(variant, answer, fresh, signature, answer(frame))


class Alone(InProcess):
    """A model in this process where one in a process of its own is wanted."""

    digest = "0" * 64
    pid = None
    code = None

    def close(self) -> None:
        """Do nothing: there is no process."""


def few(native: Any, *, signature: Signature, labelled: bool, rows: int) -> list[Proposal]:
    """A few of the proposals for trees, other ones for each size of model."""
    from afterfit.models import distil, prune_trees

    known: dict[str, Any] = {"signature": signature, "labelled": labelled, "rows": rows}
    found = [*prune_trees.proposals(native, **known), *distil.proposals(native, **known)]
    rng = np.random.default_rng(len(found))
    return [found[index] for index in rng.permutation(len(found))[:4]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(LOSSY))
def test_no_uncertified_variant_ships(seed: int, tally: Counter[str]) -> None:
    """What is certified loses no more than was allowed on fresh rows, by a bound of its own."""
    drawn = draw("trees", 3 * seed + seed % 2)
    assert drawn is not None
    drawn, _, _ = fitted(drawn, 3000, seed)
    frame = drawn.make(6000, seed + 50)
    truth = target(frame, drawn.task, seed + 50, numeric=drawn.numeric)
    classes = () if drawn.task == "regression" else tuple(np.unique(truth).tolist())
    signature = signature_of(frame, drawn.task, classes)
    model: Any = Alone(wrapped(drawn, signature))
    config = OptimizeConfig(
        effort="quick", batches=(1,), allow=("prune", "distil"), max_drop=MAX_DROP, seed=seed
    )
    lossy = lossy_variants(
        model,
        signature,
        Dataset(frame=frame, target=truth),
        Means(proposers=(f"{__name__}:few",)),
        Incumbent(None, 0.0, 1_000_000),
        config,
        deadline=time.monotonic() + 60,
    )
    for one in lossy.candidates:
        proven = one.certificate is not None and one.certificate.verdict == "certified"
        assert (one.status == "certified") == proven
        assert proven or one.why
    chosen = lossy.chosen
    tally["lossy refused" if chosen is None else "lossy certified"] += 1
    if chosen is None or chosen.converted is None:
        return
    fresh = drawn.make(6000, seed + 1000)
    labels = target(fresh, drawn.task, seed + 1000, numeric=drawn.numeric)
    judge_fresh(model, chosen.converted, signature, fresh, labels)


def judge_fresh(
    model: Any, made: Converted, signature: Signature, fresh: Rows, labels: np.ndarray
) -> None:
    """Fail where the loss on fresh rows is surely above what was allowed."""
    from afterfit.stats.noninferior import metric_drop

    native, variant = model.predict(fresh), answers_of_graph(made, signature, fresh)
    name, known, first, second = "mae", labels, native.main, variant.main
    if signature.task != "regression":
        name, known = "accuracy", np.searchsorted(np.array(signature.classes), labels)
        first, second = signature.codes(native), signature.codes(variant)
    drop = metric_drop(name, known, first, second, alpha=0.001, positive=None, seed=0)
    assert drop.low <= MAX_DROP
