"""Ctrl-C in a search for variants, as somebody presses it at a terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

MOST_SECONDS = 90.0
# A job in the background of a shell inherits an ignored SIGINT; this one is at the front.
AT_THE_FRONT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from afterfit.cli import main
main()
"""
DONE = re.compile(r"(prune|distil)-\w")


@pytest.mark.slow
def test_ctrl_c_judges_what_was_found_and_leaves_a_record(tmp_path: Path) -> None:
    """It ends with 0, tells what was not tried, and ships the best of what was."""
    X, y = make_classification(4000, 8, n_informative=5, flip_y=0.05, random_state=0)
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(8)])
    model = RandomForestClassifier(40, random_state=0).fit(table[:1000], y[:1000])
    joblib.dump(model, tmp_path / "model.joblib")
    table.assign(y=np.asarray(y)).to_csv(tmp_path / "data.csv", index=False)
    asked = ["optimize", "model.joblib", "--data", "data.csv", "--target", "y", "--effort", "quick"]
    asked += ["--allow", "prune,distil", "--max-drop", "0.05", "--budget", "300s", "--json"]
    said = tmp_path / "said.txt"
    with said.open("w") as errors, (tmp_path / "out.json").open("w") as out:
        command = subprocess.Popen(
            [sys.executable, "-c", AT_THE_FRONT, *asked], cwd=tmp_path, stdout=out, stderr=errors
        )
        until = time.monotonic() + MOST_SECONDS
        # The first line of a variant that is done, of whichever technique; many are left then.
        while not DONE.search(said.read_text()) and command.poll() is None:
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        assert command.wait(MOST_SECONDS) == 0, said.read_text()
    found = json.loads((tmp_path / "out.json").read_text())["result"]["body"]
    assert found["status"] == "partial"
    left = [each for each in found["variants"] if each["status"] == "skipped"]
    assert left
    assert all("interrupted" in each["why"] for each in left)
    assert found["chosen"] in {each["name"] for each in found["variants"]}
