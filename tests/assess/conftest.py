"""A table of people and the models that stand on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sklearn.linear_model import LogisticRegression

from afterfit.core.signature import Column, Signature
from afterfit.models.loaded import Hints, LoadedModel, open_model
from afterfit.testing.samples import frame_of, labels, pipeline, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COLUMNS = (
    Column(name="amount", kind="number", nullable=True, low=-4.0, high=4.0),
    Column(name="visits", kind="integer", low=0.0, high=8.0),
    Column(name="city", kind="category", nullable=True, categories=("Bonn", "Kiel", "Ulm")),
)


@pytest.fixture(autouse=True)
def _inline(inline: None) -> None:
    """Hold models in this process."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., LoadedModel]]:
    """A function that fits an estimator on the sample table and opens it in a child process."""
    models: list[LoadedModel] = []

    def make(final: Any, target: Any = None, signature: Signature | None = None) -> LoadedModel:
        data = table()
        fitted = pipeline(final).fit(data, labels(data) if target is None else target)
        hints = Hints() if signature is None else Hints.of(signature)
        models.append(open_model(fitted, hints=hints, workdir=tmp_path / str(len(models))))
        return models[-1]

    yield make
    for model in models:
        model.close()


@pytest.fixture
def binary() -> Signature:
    """The signature of the sample table with its labels yes and no."""
    return Signature(
        task="binary", columns=COLUMNS, classes=("no", "yes"), positive="yes", threshold=0.5
    )


@pytest.fixture
def rows() -> dict[str, Any]:
    """The sample table as a frame."""
    return frame_of(table())


@pytest.fixture(scope="session")
def logistic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """A logistic regression on the sample table, in one child process for all tests."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    with open_model(fitted, workdir=tmp_path_factory.mktemp("logistic")) as model:
        yield model
