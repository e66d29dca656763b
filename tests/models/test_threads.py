"""A native model in a server's worker computes with the threads of that worker, and no more."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.optimize.conftest import signature_of

from afterfit.core.bundle import Variant
from afterfit.models.convert_timing import time_beside
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.threads import limit_threads
from afterfit.runtime import child

ROWS = {f"x{index}": np.random.default_rng(index).normal(size=3000) for index in range(4)}
TRUTH = (ROWS["x0"] + ROWS["x1"] > 0).astype(int)
SIGNATURE = signature_of(ROWS, "binary", (0, 1))


def trained(estimator: Any) -> Any:
    """The estimator, fitted to an array."""
    return estimator.fit(np.column_stack(list(ROWS.values())), TRUTH)


def native(estimator: Any) -> NativeModel:
    """The model behind Afterfit's interface."""
    return adapter_for_object(estimator).wrap(estimator, Hints.of(SIGNATURE))


def nthread(booster: Any) -> int:
    """The threads that an XGBoost booster is told to take."""
    return int(json.loads(booster.save_config())["learner"]["generic_param"]["nthread"])


class Spy:
    """Calls a function, and keeps what it was told by name."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.told: list[dict[str, Any]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the function returns."""
        self.told.append(named)
        return self.function(*arguments, **named)


def test_xgboost_by_itself_and_in_its_class() -> None:
    """The booster's own setting counts, whatever it was trained with; answers stay the same."""
    xgboost = pytest.importorskip("xgboost")
    whole = native(trained(xgboost.XGBClassifier(n_estimators=8, n_jobs=4)))
    alone = native(trained(xgboost.XGBClassifier(n_estimators=8, n_jobs=4)).get_booster())
    for model, booster in (
        (whole, whole.estimator.get_booster()),
        (alone, alone.estimator),
    ):
        before = model.predict(ROWS).main
        assert nthread(booster) != 1
        limit_threads(model, 1)
        assert nthread(booster) == 1
        np.testing.assert_array_equal(model.predict(ROWS).main, before)
    assert whole.estimator.n_jobs == 1


@pytest.mark.parametrize("given", [{"n_jobs": 4}, {"num_threads": 4}, {"nthread": 4}])
def test_lightgbm_by_itself_and_in_its_class(
    given: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are said with each call, under whichever name they were given before."""
    lightgbm = pytest.importorskip("lightgbm")
    estimator = trained(lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, **given))
    for model in (native(estimator), native(estimator.booster_)):
        before = model.predict(ROWS).main
        limit_threads(model, 1)
        spy = Spy(estimator.booster_.predict)
        monkeypatch.setattr(estimator.booster_, "predict", spy)
        np.testing.assert_array_equal(model.predict(ROWS).main, before)
        assert spy.told[-1]["num_threads"] == 1
        assert not {"n_jobs", "nthread"} & set(spy.told[-1])
        monkeypatch.undo()


def test_catboost_by_itself_and_behind_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no setting but the argument of each call, which a pipeline does not give."""
    catboost = pytest.importorskip("catboost")
    options = {"iterations": 8, "verbose": False, "allow_writing_files": False}
    alone = native(trained(catboost.CatBoostClassifier(**options)))
    behind = native(
        trained(make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**options)))
    )
    inner = behind.estimator.steps[-1][1]
    for model, holder in ((alone, catboost.CatBoost), (behind, inner)):
        before = model.predict(ROWS).main
        name = "predict" if holder is catboost.CatBoost else "predict_proba"
        spy = Spy(getattr(holder, name))
        monkeypatch.setattr(holder, name, spy)
        limit_threads(model, 2)
        np.testing.assert_array_equal(model.predict(ROWS).main, before)
        assert spy.told[-1]["thread_count"] == 2
        monkeypatch.undo()


def test_forests_inside_of_others_are_limited_and_what_takes_one_is_left_alone() -> None:
    """A forest that was trained on all processors starts as many threads at each call."""
    forests = [RandomForestClassifier(5, n_jobs=jobs, random_state=0) for jobs in (-1, 2, None)]
    several = VotingClassifier([(str(i), f) for i, f in enumerate(forests)], voting="soft")
    model = native(trained(make_pipeline(StandardScaler(), several)))
    before = model.predict(ROWS).main
    limit_threads(model, 3)
    fitted = model.estimator.steps[-1][1].estimators_
    assert [forest.n_jobs for forest in fitted] == [3, 2, None]
    np.testing.assert_array_equal(model.predict(ROWS).main, before)
    plain = native(trained(LogisticRegression()))
    limit_threads(plain, 1)
    assert plain.predict(ROWS).main.shape == (3000, 2)


def test_what_is_timed_on_one_thread_is_on_one_thread() -> None:
    """Libraries that were told another number take that, whatever limits the others."""
    xgboost = pytest.importorskip("xgboost")
    catboost = pytest.importorskip("catboost")
    booster = native(trained(xgboost.XGBClassifier(n_estimators=3, n_jobs=4)))
    quiet = {"iterations": 3, "verbose": False, "allow_writing_files": False}
    behind = native(trained(make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**quiet))))
    few = {name: values[:4] for name, values in ROWS.items()}
    for model in (booster, behind):
        for _ in range(2):
            assert len(time_beside(model, few, 0.01)["native"]) >= 5
    assert nthread(booster.estimator.get_booster()) == 1
    call = behind.estimator.steps[-1][1].predict_proba
    assert call.keywords == {"thread_count": 1}
    assert not isinstance(call.func, partial)


def test_a_worker_tells_the_numeric_libraries_unless_the_environment_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HistGradientBoosting and matrix products go by the environment of the process."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    told = child._environment(2)
    assert (told["OMP_NUM_THREADS"], told["OPENBLAS_NUM_THREADS"]) == ("2", "7")


PREDICT = """
import sys, time, msgspec, numpy as np
from pathlib import Path
from afterfit.core.bundle import Variant
from afterfit.core.signature import Signature
from afterfit.models.variant import load_here
folder = Path(sys.argv[1])
variant = msgspec.json.decode((folder / "variant.json").read_bytes(), type=Variant)
signature = msgspec.json.decode((folder / "signature.json").read_bytes(), type=Signature)
rows = {name: np.random.default_rng(0).normal(size=60_000) for name in signature.names}
for threads in (1, 2):
    model = load_here(folder, variant, signature, threads)
    model.predict(rows)
    print("begin", flush=True)
    sys.stdin.readline()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        model.predict(rows)
    print("end", flush=True)
    sys.stdin.readline()
"""


def spent(process: int) -> dict[str, int]:
    """Nanoseconds that each thread of a process had of a processor."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError, IndexError):  # it ended meanwhile
            found[task.name] = int((task / "schedstat").read_text().split()[0])
    return found


def beside_the_first(folder: Path) -> list[float]:
    """What all other threads spend for each second of the first, loaded for one and for two."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_"))}
    shares = []
    with subprocess.Popen(
        [sys.executable, "-c", PREDICT, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while process.stdout.readline() == b"begin\n":
            before = spent(process.pid)
            process.stdin.write(b"\n")
            process.stdin.flush()
            most: dict[str, int] = {}
            while not select.select([process.stdout], [], [], 0.001)[0]:
                most |= spent(process.pid)
            assert process.stdout.readline() == b"end\n"
            most |= spent(process.pid)
            process.stdin.write(b"\n")
            process.stdin.flush()
            gone = {task: used - before.get(task, 0) for task, used in most.items()}
            first = gone.pop(str(process.pid))
            shares.append(sum(gone.values()) / first)
    return shares


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells of threads")
@pytest.mark.parametrize("library", ["catboost", "lightgbm", "xgboost"])
def test_a_served_booster_takes_no_threads_beyond_its_workers(library: str, tmp_path: Path) -> None:
    """For 60,000 rows the first thread works alone, or with one more where it was told so."""
    module = pytest.importorskip(library)
    makers: dict[str, tuple[str, dict[str, Any]]] = {
        "catboost": ("CatBoostClassifier", {"verbose": False, "allow_writing_files": False}),
        "lightgbm": ("LGBMClassifier", {"verbose": -1}),
        "xgboost": ("XGBClassifier", {"n_jobs": 4}),
    }
    name, options = makers[library]
    booster = trained(getattr(module, name)(n_estimators=20, **options))
    if library != "catboost":
        booster = booster.booster_ if library == "lightgbm" else booster.get_booster()
    adapter: Any = adapter_for_object(booster)
    path, form = adapter.save_object(booster, tmp_path)
    variant = Variant(
        name="native", runtime="native", framework=library, file=path.name, format=form
    )
    (tmp_path / "variant.json").write_bytes(msgspec.json.encode(variant))
    (tmp_path / "signature.json").write_bytes(msgspec.json.encode(SIGNATURE))
    one, two = beside_the_first(tmp_path)
    assert one < 0.15
    assert two > one + 0.15
