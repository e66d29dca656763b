"""The shell of the GitHub pipeline, run in a scratch repository against stand-ins on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from tests.package.oci.fakes import Registry, base_layout, serving

from afterfit.cli.app import run
from afterfit.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = "PLANTED-7f3a"
STAND_IN = """#!/bin/bash
# Building takes a base image from the network; everything else is the real thing.
if [ "$1" = package ] && [ "$2" != push ]; then cp -r "$STAND_IN_IMAGE" image; exit; fi
exec "{python}" -m afterfit "$@"
"""


@pytest.mark.slow
def test_the_steps_take_a_model_to_its_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step ends well, the image is pushed, the digest promoted; no row is in any report."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"a": generator.normal(size=400), "b": generator.normal(size=400)})
    target = np.where(rows["a"] > 0, "yes", "no")
    joblib.dump(LogisticRegression().fit(rows, target), "m.joblib")
    rows.assign(note=[PLANTED, *["x"] * 399], y=target).to_csv("rows.csv", index=False)
    base_layout(tmp_path / "made")
    shim = tmp_path / "bin" / "afterfit"
    shim.parent.mkdir()
    shim.write_text(STAND_IN.format(python=sys.executable))
    shim.chmod(0o755)
    with serving(Registry()) as registry:
        address = f"127.0.0.1:{registry.server_address[1]}/team/app"
        told = ["--model", "m.joblib", "--data", "rows.csv", "--target", "y", "--name", "churn",
                "--image", address, "--effort", "quick"]  # fmt: skip
        assert run(["ci", "init", "github", *told]) == 0
        job = yaml.safe_load((tmp_path / ".github/workflows/afterfit.yml").read_text())
        job = job["jobs"]["release"]
        plain = {k: v for k, v in job["env"].items() if "${{" not in v}
        path = f"{shim.parent}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120
        env = {**os.environ, **plain, "COMMIT": "abc123", "PATH": path, "PYTHONPATH": "",
               "STAND_IN_IMAGE": str(tmp_path / "made"), "HOME": str(tmp_path)}  # fmt: skip
        ran = []
        for step in job["steps"]:
            # What installs is there already; inspect and assess are in the line that registers.
            if step.get("id") in {None, "install", "inspect", "assess"}:
                continue
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            assert done.returncode == 0, f"{step['id']}: {done.stdout}{done.stderr}"
            ran.append(step["id"])
        pushed = set(registry.manifests)
    assert ran == ["verify", "register", "gate", "build", "push", "canary", "promote"]
    assert "1" in pushed  # the tag is the number of the version
    champion = Workspace(tmp_path / ".afterfit").registry.resolve("churn@champion")
    shipped = json.loads((tmp_path / "afterfit-ship.json").read_text())["result"]
    assert champion.digest == shipped["digest"]
    for name in ("afterfit.md", "afterfit.junit.xml", "afterfit.sarif"):
        text = (tmp_path / name).read_text()
        assert PLANTED not in text
        assert "beside the champion" in text or name == "afterfit.sarif"
