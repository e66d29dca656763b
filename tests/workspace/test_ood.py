"""The scorer of a bundle that the line drafts: by the configuration, and with equal digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space

from afterfit.config import load_config
from afterfit.core.sections import OodSection
from afterfit.errors import ConfigError
from afterfit.records.package import PackageRecord
from afterfit.runtime.ood import FILE
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Told, sources_of

RANDOM = np.random.default_rng(1)
A = RANDOM.normal(size=700)
ROWS = pd.DataFrame({"a": A, "b": A + 0.3 * RANDOM.normal(size=700)})
TARGET = np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no")


Draft = Callable[[OodSection], PackageRecord]


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draft]:
    """Drafts the bundle of 500 training rows, 200 others beside them, as the section asks."""
    folder = tmp_path_factory.mktemp("line")
    model = folder / "m.joblib"
    joblib.dump(LogisticRegression().fit(ROWS[:500], TARGET[:500]), model)
    space = quick_space(folder)
    told: Told = {"train": (ROWS[:500], TARGET[:500])}
    sources = sources_of(model, ROWS[500:], TARGET[500:], told)
    with opened_line(space, sources, "m", fresh=True) as line:
        line.walk(("inspect", "optimize"))

        def draft(section: OodSection) -> PackageRecord:
            space.config = msgspec.structs.replace(space.config, ood=section)
            record = line.package().body
            assert isinstance(record, PackageRecord)
            return record

        yield draft


def test_the_training_rows_make_a_scorer_and_the_others_try_it(drafted: Draft) -> None:
    """It is in the bundle, whose digest is the same each time."""
    record = drafted(OodSection())
    assert FILE in record.files
    assert {f.code: f.outcome for f in record.findings}["K007"] == "passed"
    scopes = {m.scope: m.n for m in record.metrics if m.name == "ood_false_flags"}
    assert scopes == {"scorer": 50, "evaluation rows": 200}
    assert drafted(OodSection(rate=0.1)).bundle != record.bundle
    assert drafted(OodSection()).bundle == record.bundle


def test_the_rate_and_the_method_are_those_of_the_configuration(drafted: Draft) -> None:
    """Another section is another draft; none is a bundle without a scorer."""
    record = drafted(OodSection(scorer="forest", rate=0.1))
    assert record.scorer is not None
    assert (record.scorer.rate, record.scorer.method) == (0.1, "forest")
    without = drafted(OodSection(scorer="none"))
    assert FILE not in without.files
    assert without.scorer is None
    assert {f.code: f.outcome for f in without.findings}["K007"] == "skipped"


@pytest.mark.parametrize(("name", "value"), [("ood.rate", 0), ("ood.scorer", "oracle")])
def test_a_setting_that_is_none_is_told_by_its_name(name: str, value: Any, tmp_path: Path) -> None:
    """With its path, before anything runs."""
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, overrides={name: value}, environ={})
    assert f"$.{name}" in caught.value.why
