"""A table file scored into another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.signature import Column, Label, Signature, Task
from afterfit.errors import ForbiddenError, InputError, InterruptedRun, UsageError
from afterfit.predict.config import PredictConfig
from afterfit.predict.run import predict_file
from afterfit.predict.scores import score_names

COLUMNS = (
    Column(name="age", kind="integer", nullable=True, low=0, high=99),
    Column(name="city", kind="category", categories=("x", "y")),
)


class Tenth:
    """A model whose score is age / 100; it remembers the sizes of its batches."""

    digest = "d" * 64

    def __init__(
        self, task: Task = "binary", classes: tuple[Label, ...] = ("no", "yes"), **fields: Any
    ) -> None:
        positive = classes[-1] if task == "binary" else None
        self.signature = Signature(
            task=task, columns=COLUMNS, classes=classes, positive=positive, **fields
        )
        self.sizes: list[int] = []
        self.fail_after = 10**9
        self.error: BaseException = RuntimeError("defect")

    def predict(self, frame: Frame) -> Predictions:
        """Return the scores of n rows."""
        self.sizes.append(row_count(frame))
        if len(self.sizes) > self.fail_after:
            raise self.error
        score = np.nan_to_num(np.asarray(frame["age"], dtype=np.float64)) / 100
        if self.signature.task == "regression":
            return Predictions(values=score)
        if not self.signature.probabilities:
            return Predictions(codes=(score > 0.5).astype(np.int64))
        rest = [(1 - score) / (len(self.signature.classes) - 1)] * (len(self.signature.classes) - 1)
        return Predictions(probabilities=np.column_stack([*rest, score]))


class Heard:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.units = 0

    def step(self, name: str, total: int | None = None) -> None:
        """Keep the step."""
        self.steps.append((name, total))

    def advance(self, units: int = 1) -> None:
        """Count."""
        self.units += units

    def now(self, text: str) -> None:
        """Note nothing."""

    def say(self, text: str) -> None:
        """Keep nothing."""


def read_table(path: Path) -> pd.DataFrame:
    """What pandas reads of an output."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"id": "str"})
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four rows: one out of range, one without an age, one of a new city."""
    path = tmp_path / "in.csv"
    path.write_text("id,age,city\n007,20,x\n008,150,y\n009,NA,x\n010,80,z\n")
    return path


def test_the_output_is_the_input_and_the_scores(source: Path, tmp_path: Path) -> None:
    """All input columns as they were, then label and probabilities; text stands in quotes."""
    output = tmp_path / "out.csv"
    record = predict_file(Tenth(), source, output)
    assert output.read_text().splitlines() == [
        "id,age,city,label,probability_no,probability_yes",
        '"007",20,"x","no",0.8,0.2',
        '"008",150,"y","yes",-0.5,1.5',
        '"009",,"x","no",1,0',
        '"010",80,"z","yes",0.19999999999999996,0.8',
    ]
    assert (record.rows, record.subject) == (4, "d" * 64)
    assert record.flagged == {"range": 1, "missing": 1, "new_category": 1}
    assert (record.source, record.output) == (source.name, output.name)
    assert list(record.inputs) == ["source"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_any_form_in_and_any_out_has_the_same_scores(
    tmp_path: Path, source: Path, form: str, ending: str
) -> None:
    """CSV, Parquet and Arrow in every pair; ids keep their zeros."""
    table = pd.read_csv(source, dtype={"id": "str", "age": "Int64"})
    path = tmp_path / f"table.{form}"
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path)
    else:
        table.to_feather(path, compression="lz4")
    output = tmp_path / f"out.{ending}"
    predict_file(Tenth(), path, output, PredictConfig(batch_rows=3))
    found = read_table(output)
    assert found["id"].tolist() == ["007", "008", "009", "010"]
    assert found["label"].tolist() == ["no", "yes", "no", "yes"]
    assert found["probability_yes"].tolist() == [0.2, 1.5, 0.0, 0.8]
    assert found["age"].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("config", "first"),
    [
        (PredictConfig(only_scores=True), []),
        (PredictConfig(keep=("id",)), ["id"]),
        (PredictConfig(keep=("city", "id")), ["city", "id"]),
    ],
)
def test_the_kept_columns_can_be_chosen(
    source: Path, tmp_path: Path, config: PredictConfig, first: list[str]
) -> None:
    """None of them, or those named, in that order."""
    predict_file(Tenth(), source, tmp_path / "o.parquet", config)
    names = pq.read_schema(tmp_path / "o.parquet").names
    assert names == [*first, "label", "probability_no", "probability_yes"]


@pytest.mark.parametrize(
    ("scorer", "names", "labels"),
    [
        (Tenth("regression", ()), ("value",), [0.2, 1.5, 0.0, 0.8]),
        (Tenth(classes=(0, 1)), ("label", "probability_0", "probability_1"), [0, 1, 0, 1]),
        (
            Tenth(classes=(False, True)),
            ("label", "probability_false", "probability_true"),
            [False, True, False, True],
        ),
        (
            Tenth(classes=(1, 2**63)),
            ("label", "probability_1", f"probability_{2**63}"),
            ["1", str(2**63), "1", str(2**63)],
        ),
        (
            Tenth("multiclass", ("a", 1, "c")),
            ("label", "probability_a", "probability_1", "probability_c"),
            ["a", "c", "a", "c"],
        ),
        (Tenth(probabilities=False), ("label",), ["no", "yes", "no", "yes"]),
        (
            Tenth(threshold=0.15),
            ("label", "probability_no", "probability_yes"),
            ["yes", "yes", "no", "yes"],
        ),
    ],
)
def test_each_task_has_its_columns(
    source: Path, tmp_path: Path, scorer: Tenth, names: tuple[str, ...], labels: list[Any]
) -> None:
    """A value, a label of the classes' own type, a probability a class, the threshold applied."""
    assert score_names(scorer.signature) == names
    output = tmp_path / "o.parquet"
    predict_file(scorer, source, output, PredictConfig(only_scores=True))
    table = pq.read_table(output)
    assert tuple(table.schema.names) == names
    assert table.column(0).to_pylist() == labels


def test_rows_are_streamed_and_progress_is_told(tmp_path: Path) -> None:
    """No batch is larger than asked, every row is told, and a known total is given."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"age": [1] * 25, "city": ["x"] * 25}), path)
    scorer, heard = Tenth(), Heard()
    predict_file(scorer, path, tmp_path / "o.csv", PredictConfig(batch_rows=10), progress=heard)
    assert scorer.sizes == [10, 10, 5]
    assert (heard.steps, heard.units) == ([("predict", 25)], 25)


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRun("stopped"), ValueError("x")])
def test_what_stops_half_way_leaves_the_old_output_and_nothing_else(
    tmp_path: Path, ending: str, error: BaseException
) -> None:
    """After batches were written, an error or ctrl-C changes no file."""
    path = tmp_path / "in.csv"
    path.write_text("age,city\n" + "1,x\n" * 50)
    output = tmp_path / f"o.{ending}"
    output.write_bytes(b"old")
    scorer = Tenth()
    scorer.fail_after, scorer.error = 3, error
    with pytest.raises(type(error)):
        predict_file(scorer, path, output, PredictConfig(batch_rows=10))
    assert output.read_bytes() == b"old"
    assert {each.name for each in tmp_path.iterdir()} == {"in.csv", output.name}


def test_ctrl_c_on_a_real_process_leaves_no_output(tmp_path: Path) -> None:
    """SIGINT while it scores: no output and no temporary file is left."""
    script = """
import os, signal, sys
# A job in the background of a shell inherits an ignored SIGINT; this one is at the front.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_predict import Tenth
from afterfit.predict.config import PredictConfig
from afterfit.predict.run import predict_file
class Interrupted(Tenth):
    def predict(self, frame):
        if len(self.sizes) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return super().predict(frame)
folder = Path(sys.argv[2])
predict_file(Interrupted(), folder / "in.csv", folder / "o.parquet", PredictConfig(batch_rows=10))
"""
    (tmp_path / "in.csv").write_text("age,city\n" + "1,x\n" * 100)
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script, here, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode in {-signal.SIGINT, 1}, done.stderr
    assert "KeyboardInterrupt" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]


def test_a_wrong_value_names_file_row_and_column(source: Path, tmp_path: Path) -> None:
    """The message is enough to find the cell, and no output appears."""
    source.write_text(source.read_text().replace("80", "old"))
    with pytest.raises(InputError, match=r"in\.csv, row 4, column 'age': 'old' is not an integer"):
        predict_file(Tenth(), source, tmp_path / "o.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]


def test_the_output_is_checked_before_work_begins(source: Path, tmp_path: Path) -> None:
    """Unknown endings, a folder, the source itself and a name that is taken are usage errors."""
    scorer = Tenth()
    (tmp_path / "folder.csv").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(source)
    for name, words in {
        "o.xlsx": "no known ending",
        "o": "no known ending",
        "folder.csv": "is a folder",
        "in.csv": "the output is the source",
        "link.csv": "the output is the source",
    }.items():
        with pytest.raises(UsageError, match=words):
            predict_file(scorer, source, tmp_path / name)
    source.write_text("label,age,city\n1,20,x\n")
    with pytest.raises(UsageError, match=r"a column 'label'[\s\S]*--only-scores"):
        predict_file(scorer, source, tmp_path / "o.csv")
    assert scorer.sizes == []
    predict_file(scorer, source, tmp_path / "o.csv", PredictConfig(keep=("age",)))


def test_a_table_without_rows_is_an_input_error(tmp_path: Path) -> None:
    """A header alone gives no output, from CSV and from Parquet."""
    (tmp_path / "in.csv").write_text("age,city\n")
    empty = pa.table({"age": pa.array([], pa.int64()), "city": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "in.parquet")
    for name in ("in.csv", "in.parquet"):
        with pytest.raises(InputError, match="no rows"):
            predict_file(Tenth(), tmp_path / name, tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


def test_a_refused_write_is_no_traceback(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only place for the output is a ForbiddenError that names it."""

    def refuse(_: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ForbiddenError, match=r"cannot write o\.csv"):
        predict_file(Tenth(), source, tmp_path / "o.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Eight times the rows need less than 60 MB more at the peak."""
    script = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_predict import Tenth
from afterfit.predict.run import predict_file
predict_file(Tenth(), Path(sys.argv[2]), Path(sys.argv[3]))
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""
    peaks = []
    for rows in (250_000, 2_000_000):
        path = tmp_path / f"{rows}.csv"
        path.write_text("id,age,city\n" + "a-rather-long-identifier,20,x\n" * rows)
        command = [sys.executable, "-c", script, str(Path(__file__).parent)]
        done = subprocess.run(
            [*command, str(path), str(tmp_path / "o.parquet")],
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 60, f"MB at the peak: {peaks}"
