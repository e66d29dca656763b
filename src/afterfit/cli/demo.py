"""``afterfit demo``: the whole line on a card-fraud data set of our own making."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.cli.common import Common
from afterfit.cli.output import Answer
from afterfit.store.files import os_errors

if TYPE_CHECKING:
    import numpy as np

    from afterfit.workspace import Release

HELD_OUT = 0.25
MODEL = "fraud.skops"
GATES = """\
# What the demo asks of its model before it may serve. See: afterfit explain, afterfit config show
gates = [
    "baseline_lift.low > 0",     # surely better than a constant answer
    "roc_auc.low >= 0.80",       # and you can be 95 % sure of that
    "latency_p99_ms <= 100",
    "failed_cases <= 0",         # strange rows neither crash it nor get NaN
]

[model]
name = "fraud"
positive = "yes"
threshold = 0.2

[data]
data = "test.csv"
train = "train.csv"
target = "fraud"
time = "time"

[line]
effort = "quick"
"""


def demo(
    folder: Path = Path("afterfit-demo"),
    *,
    seed: int = 7,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Make a fraud model and its data, and take it all the way to a promoted version.

    Parameters
    ----------
    folder
        Where everything goes: tables, model, configuration, workspace and the page.
    seed
        Seed of the data and the model.

    """
    from afterfit.cli.progress import TerminalProgress
    from afterfit.cli.ship import as_result, head
    from afterfit.config import load_config
    from afterfit.workspace import Workspace

    started = time.monotonic()
    with TerminalProgress(quiet=common.quiet) as progress:
        progress.say("A card-fraud model, from .fit() to a version that is ready to serve.")
        progress.step("payments: 60,000 in time order, about 1.5 % fraud, and a later month")
        tables = _tables(folder, seed)
        progress.step("training a scikit-learn pipeline on the first three quarters")
        _train(folder, tables["train.csv"], seed)
        config = load_config(folder)
        space = Workspace(folder / ".afterfit", config=config, progress=progress)
        release = space.ship(
            folder / MODEL, folder / "test.csv", "fraud", train=folder / "train.csv"
        )
        seconds = time.monotonic() - started
    text = f"{head(release)}\n\n{_next(folder, release, seconds)}"
    result = {**as_result(release), "folder": str(folder), "seconds": round(seconds, 1)}
    return Answer(result, text, release.exit_code)


def _tables(folder: Path, seed: int) -> dict[str, dict[str, np.ndarray]]:
    from afterfit.core.frame import row_count, take
    from afterfit.testing.fraud import TARGET, make_fraud
    from afterfit.testing.tables import write_csv

    rows = make_fraud(seed=seed)
    cut = int(row_count(rows) * (1 - HELD_OUT))
    later = make_fraud(10_000, seed=seed, months=1, drifted=True)
    tables = {
        "train.csv": take(rows, slice(0, cut)),
        "test.csv": take(rows, slice(cut, None)),
        "next_month.csv": later,
    }
    tables["new_payments.csv"] = {k: v[:1000] for k, v in later.items() if k != TARGET}
    with os_errors(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_csv(folder / name, table)
        (folder / "afterfit.toml").write_text(GATES, encoding="utf-8")
    return tables


def _train(folder: Path, rows: dict[str, np.ndarray], seed: int) -> None:
    from afterfit.models.save import skops_bytes
    from afterfit.testing.fraud import train_fraud

    content = skops_bytes(train_fraud(rows, seed=seed))
    with os_errors(folder / MODEL, "write"):
        (folder / MODEL).write_bytes(content)


def _next(folder: Path, release: Release, seconds: float) -> str:
    program, name = program_path(), release.record.name
    ref = f"{name}@{'champion' if release.verdict == 'promoted' else release.record.version}"
    return "\n".join(
        [
            f"Done in {seconds:.0f} s. To go on:",
            f"  cd {folder}",
            f"  {program} serve {ref}          # http://127.0.0.1:8080",
            f"  {program} predict {ref} new_payments.csv -o scored.csv",
            f"  {program} monitor report {ref} --log scored.csv",
            f"  {program} version log {name}",
        ]
    )


def program_path() -> str:
    """Return what to type to run Afterfit: its name, or its path where the name finds nothing."""
    beside = Path(sys.executable).with_name("afterfit")
    found = shutil.which("afterfit")
    if found and Path(found).resolve() == beside.resolve():
        return "afterfit"
    return str(beside) if beside.exists() else "afterfit"
