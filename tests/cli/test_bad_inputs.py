"""Bad inputs, each with a clear message and exit code 2, and nothing lost."""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from afterfit.cli.app import run
from afterfit.workspace import Workspace

MARKER = "afterfit-probe-ran"
Refuse = Callable[..., str]


def _rows(n: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"a": random.normal(size=n), "b": random.normal(size=n)})
    return rows.assign(y=np.where(rows["a"] + rows["b"] > 0, "yes", "no"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline on columns a and b."""
    rows = _rows()
    path = tmp_path_factory.mktemp("model") / "m.joblib"
    joblib.dump(
        make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[["a", "b"]], rows["y"]), path
    )
    return path


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Refuse]:
    """Run a command line that must exit 2, and return what it told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERFIT_LINE_EFFORT", "quick")

    def attempt(*arguments: object) -> str:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert code == 2, told.out + told.err
        assert "Traceback" not in told.err + told.out
        assert told.err.count("error: ") == 1
        assert "\n  fix: " in told.err, told.err
        return told.err

    yield attempt
    assert not (tmp_path / MARKER).exists(), "a probe ran"


def _csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def test_missing_model_file(refuse: Refuse, tmp_path: Path) -> None:
    """The path that is not there is named."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    assert "nowhere.joblib" in refuse("ship", "nowhere.joblib", "--data", "d.csv", "--target", "y")


def test_missing_data_file(refuse: Refuse, model: Path) -> None:
    """The table that is not there is named."""
    assert "nowhere.csv" in refuse("ship", model, "--data", "nowhere.csv", "--target", "y")


def test_no_data_at_all(refuse: Refuse, model: Path) -> None:
    """The option to give is named."""
    assert "--data" in refuse("ship", model)


@pytest.mark.parametrize(("text", "told"), [("", "empty"), ("a,b,y\n", "row")])
def test_empty_csv_and_no_rows(
    refuse: Refuse, model: Path, tmp_path: Path, text: str, told: str
) -> None:
    """A file without bytes, and one with a header alone."""
    data = _csv(tmp_path, text)
    assert told in refuse("ship", model, "--data", data, "--target", "y").lower()


def test_target_absent(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """The column that is not there and those that are."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    told = refuse("ship", model, "--data", "d.csv", "--target", "churned")
    assert "churned" in told
    assert "a, b, y" in told.replace("'", "")


def test_wrong_column_type(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """Words where the model needs numbers: the column is named."""
    _rows().assign(a="word").to_csv(tmp_path / "d.csv", index=False)
    assert "column a" in refuse("ship", model, "--data", "d.csv", "--target", "y")


def test_one_class_only(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """Labels of one class cannot be assessed."""
    _rows().assign(y="yes").to_csv(tmp_path / "d.csv", index=False)
    assert "class" in refuse("ship", model, "--data", "d.csv", "--target", "y")


@pytest.mark.parametrize("command", ["optimize", "ship"])
def test_a_technique_that_is_none(
    refuse: Refuse, model: Path, tmp_path: Path, command: str
) -> None:
    """The word, the nearest one, and all that there are."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    told = refuse(command, model, "--data", "d.csv", "--target", "y", "--allow", "pruning,distil")
    assert "no technique is called 'pruning': prune?" in told
    assert "quantize,prune,distil" in told


@pytest.mark.parametrize("command", ["inspect", "ship"])
def test_a_task_that_is_not_the_models(
    refuse: Refuse, model: Path, tmp_path: Path, command: str
) -> None:
    """Regression of a classifier: both tasks are named, and nothing is recorded."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    told = refuse(command, model, "--data", "d.csv", "--target", "y", "--task", "regression")
    assert "the configured task is regression, the model's is binary" in told
    assert "LogisticRegression answers the classes ['no', 'yes']" in told
    assert "--task" in told
    assert not list((tmp_path / ".afterfit" / "records").glob("*"))


def test_all_missing_column(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """The column that holds nothing is named."""
    _rows().assign(b=np.nan).to_csv(tmp_path / "d.csv", index=False)
    assert "column b" in refuse("ship", model, "--data", "d.csv", "--target", "y")


def test_duplicate_column_names(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """The name that stands twice is named."""
    data = _csv(tmp_path, "a,a,y\n1,2,yes\n3,4,no\n")
    told = refuse("ship", model, "--data", data, "--target", "y")
    assert "'a'" in told


def test_features_that_do_not_match(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """The column that the model needs and the data lacks is named."""
    _rows().rename(columns={"b": "c"}).to_csv(tmp_path / "d.csv", index=False)
    assert "column b" in refuse("ship", model, "--data", "d.csv", "--target", "y")


def test_a_misspelt_gate_is_told_before_any_work(refuse: Refuse, tmp_path: Path) -> None:
    """Its place in the file and the nearest names; the model, which is not there, is not opened."""
    (tmp_path / "afterfit.toml").write_text('gates = ["f1 >= 0.8", "latncy_p99_ms <= 20"]\n')
    told = refuse("ship", "nowhere.joblib", "--data", "d.csv", "--target", "y")
    for part in ("afterfit.toml", "$.gates[1]", "'latncy_p99_ms'", "did you mean 'latency_p99_ms'"):
        assert part in told
    assert "nowhere.joblib" not in told
    assert not (tmp_path / ".afterfit").exists()


class _Probe:
    """Would leave a marker if it were ever loaded."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        import importlib
        import os

        command = f"touch {MARKER}"
        if self.how == "importlib":
            return importlib.import_module, ("this",)
        if self.how == "nested":
            return pickle.loads, (pickle.dumps(_Probe("system")),)
        return os.system, (command,)


def _hostile(folder: Path, how: str) -> Path:
    folder.mkdir(exist_ok=True)
    if how == "compressed":
        path = folder / "m.joblib"
        joblib.dump({"model": _Probe("system")}, path, compress=3)
        return path
    path = folder / ("m.onnx" if how == "onnx" else "m.pkl")
    path.write_bytes(pickle.dumps(_Probe(how)))
    return path


@pytest.mark.parametrize("how", ["system", "importlib", "nested", "compressed", "onnx"])
def test_hostile_files_are_refused_unread(refuse: Refuse, tmp_path: Path, how: str) -> None:
    """What was found is named, whatever the file is called, and nothing of it ran."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    path = _hostile(tmp_path / "hostile", how)
    told = refuse("ship", path, "--data", "d.csv", "--target", "y")
    assert any(word in told for word in ("system", "importlib", "pickle"))
    assert "--allow" not in told


def test_the_fix_of_an_unknown_name_can_be_pasted(
    refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command alone, quoted and with the workspace that was named, lets the name in."""
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "coder_of_mine.py").write_text("class Coder:\n    pass\n")
    monkeypatch.syspath_prepend(folder)
    path = folder / "m.pkl"
    path.write_bytes(pickle.dumps(import_module("coder_of_mine").Coder()))
    _rows().to_csv(tmp_path / "d.csv", index=False)
    told = refuse("inspect", path, "--data", "d.csv", "--workspace", tmp_path / "our space")
    (fix,) = re.findall(r"^  fix: (.*)$", told, re.MULTILINE)
    program, *arguments = shlex.split(fix)
    assert program == "afterfit"
    assert run(arguments) == 0
    space = Workspace(tmp_path / "our space")
    audit, allowed = space.trust(path, ())
    assert audit.verdict == "clean"
    assert allowed == {"coder_of_mine.Coder"}


def test_a_file_can_be_looked_at_before_there_is_a_workspace(
    refuse: Refuse, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``afterfit trust FILE`` shows what a file holds anywhere, and makes nothing."""
    assert run(["trust", str(model)]) == 0
    assert "verdict: clean" in capsys.readouterr().out
    assert run(["trust", str(_hostile(tmp_path / "hostile", "system"))]) == 0
    assert "hostile: posix.system (" in capsys.readouterr().out
    assert not (tmp_path / ".afterfit").exists()
    refuse("trust", "nowhere.joblib")


def test_truncated_onnx(refuse: Refuse, tmp_path: Path) -> None:
    """Half an ONNX file is called what it is."""
    from skl2onnx import to_onnx

    rows = _rows()
    fitted = LogisticRegression().fit(rows[["a", "b"]].to_numpy(np.float32), rows["y"])
    whole = to_onnx(fitted, rows[["a", "b"]].to_numpy(np.float32)[:1]).SerializeToString()
    path = tmp_path / "half.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    rows.to_csv(tmp_path / "d.csv", index=False)
    told = refuse("ship", path, "--data", "d.csv", "--target", "y").lower()
    assert "truncated" in told or "cut" in told or "incomplete" in told


def test_corrupt_record(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """A record that was edited is found and named; the others are untouched."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    assert run(["inspect", str(model), "--data", "d.csv", "--target", "y"]) == 0
    (path,) = (tmp_path / ".afterfit" / "records").glob("*.json")
    text = path.read_text()
    path.chmod(0o644)
    path.write_text(text.replace('"n_data":200', '"n_data":201'))
    assert path.stem[:12] in refuse("record", "verify")


def test_read_only_workspace(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """A folder that cannot be made is told; a file stands where it should be."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "blocked").write_text("a file")
    told = refuse(
        "ship", model, "--data", "d.csv", "--target", "y", "--workspace", "blocked/.afterfit"
    )
    assert "blocked" in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skipped, loudly, where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if not done or done.returncode != 0:
        pytest.skip("no tmpfs can be mounted here: the full disk was not tried")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(refuse: Refuse, model: Path, tmp_path: Path, small_disk: Path) -> None:
    """A disk that fills is told, and leaves no half-written record."""
    _rows(2000).to_csv(tmp_path / "d.csv", index=False)
    (small_disk / "filler").write_bytes(b"x" * 40_000)
    told = refuse(
        "ship", model, "--data", "d.csv", "--target", "y", "--workspace", small_disk / "space"
    )
    assert "full" in told or "No space" in told
    (small_disk / "filler").unlink()
    assert run(["record", "verify", "--workspace", str(small_disk / "space")]) == 0


def test_a_demo_that_cannot_be_written(refuse: Refuse, tmp_path: Path) -> None:
    """A file where the folder should be is an error of the place, and no defect."""
    (tmp_path / "taken").write_text("a file")
    told = refuse("demo", "taken")
    assert "cannot write taken" in told
    assert "defect" not in told


def test_predict_with_a_missing_column(refuse: Refuse, model: Path, tmp_path: Path) -> None:
    """The column is named and no output appears."""
    _rows().to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "afterfit.toml").write_text("gates = []\n")
    assert run(["ship", str(model), "--data", "d.csv", "--target", "y", "--name", "m"]) == 0
    _rows()[["a"]].to_csv(tmp_path / "new.csv", index=False)
    assert "'b'" in refuse("predict", "m", "new.csv", "-o", "out.csv")
    assert not (tmp_path / "out.csv").exists()
