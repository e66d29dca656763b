"""A forest of 500 trees on the census, and the student that ships in its place.

The forest stands behind a one-hot encoder, as many people write it, and learns the training table;
the student learns from the same rows. Half a point of accuracy may be lost, for sure, on rows of
the test table that neither made nor selected it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import shipping
import timing

from afterfit.core.bundle import GraphOutput
from afterfit.core.dataset import Dataset
from afterfit.core.frame import take
from afterfit.core.signature import Signature
from afterfit.models.loaded import Hints, open_model
from afterfit.models.wire import decode, encode
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.made import KeptInFolder
from afterfit.runtime.onnx import OnnxModel

TREES = 500
MAX_DROP = 0.005
GOALS = {"native": 30.0, "graph": 3.0, "smaller": 20.0}
SINGLES = 64
"""Different rows that are asked in turn, one at a time."""


def table(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The rows of a census table by column, and whether the income is above 50K."""
    read = pd.read_csv(path)
    frame = {
        name: read[name].to_numpy(np.int64)
        if read[name].dtype.kind == "i"
        else np.array([None if pd.isna(v) else str(v) for v in read[name]], dtype=object)
        for name in read.columns[:-1]
    }
    return frame, (read["income"] == ">50K").to_numpy().astype(np.int64)


def forest(frame: dict[str, np.ndarray], target: np.ndarray) -> Any:
    """The forest behind its encoder, fitted."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    text = [name for name, values in frame.items() if values.dtype.kind == "O"]
    encoder = OneHotEncoder(handle_unknown="ignore")
    steps = make_column_transformer((encoder, text), remainder="passthrough")
    pipeline = make_pipeline(steps, RandomForestClassifier(TREES, random_state=0))
    return pipeline.fit(pd.DataFrame(frame), target)


def run(cache: Path, folder: Path, seconds: float, tables: Path) -> dict[str, Any]:
    """What ships in place of the forest, and what it costs."""
    train, target = table(tables / "adult_train.csv")
    held, truth = table(tables / "adult_test.csv")
    path = shipping.kept(cache, "census", [forest, table], ["scikit-learn"]).with_suffix(".joblib")
    if not path.is_file():
        joblib.dump(forest(train, target), path)
    signature = shipping.signature_of(train, "binary", (0, 1))
    config = OptimizeConfig(
        effort="quick", batches=(1,), allow=("prune", "distil"), max_drop=MAX_DROP, seconds=300.0
    )
    means = Means(train=Dataset(frame=train, target=target), kept=KeptInFolder(cache / "made"))
    data = Dataset(frame=held, target=truth)
    shipped = shipping.ship(path, signature, data, config, folder, means=means)
    whole, graph_bytes = _graph(path, signature, cache, folder)
    estimator = joblib.load(path)
    result = {
        "trees": TREES,
        "chosen": shipped.record.chosen,
        "status": shipped.status,
        "certificate": _proof(shipped.record),
        "accuracy": {
            "forest": float((estimator.predict(pd.DataFrame(held)) == truth).mean()),
            "shipped": float((shipped.model.predict(held).main.argmax(axis=1) == truth).mean()),
        },
        "bytes": {"graph": graph_bytes, "shipped": shipped.size, "native": path.stat().st_size},
        "goals": GOALS,
        **_times(estimator, whole, shipped, held, seconds),
    }
    print(
        f"  census: {result['chosen']}, {result['faster']['native']['by_median']:.0f}x "
        f"scikit-learn, {result['faster']['graph']['by_median']:.1f}x the forest's own graph",
        file=sys.stderr,
        flush=True,
    )
    return result


def _times(
    estimator: Any, whole: OnnxModel, shipped: shipping.Shipped, held: Any, seconds: float
) -> dict[str, Any]:
    singles = [take(held, slice(i, i + 1)) for i in range(SINGLES)]
    tables = [pd.DataFrame(one) for one in singles]
    at = {"native": 0, "graph": 0, "shipped": 0}

    def asked(name: str, ask: Any, given: list[Any]) -> Any:
        def call() -> None:
            at[name] += 1
            ask(given[at[name] % SINGLES])

        return call

    times = timing.in_turn(
        {
            "native": asked("native", estimator.predict_proba, tables),
            "graph": asked("graph", whole.predict, singles),
            "shipped": asked("shipped", shipped.model.predict, singles),
        },
        2 * seconds,
    )
    return {
        "times": {name: timing.told(spent) for name, spent in times.items()},
        "faster": {
            name: timing.faster(times[name], times["shipped"]) for name in ("native", "graph")
        },
    }


def _graph(path: Path, signature: Signature, cache: Path, folder: Path) -> tuple[OnnxModel, int]:
    """The forest's own exact graph, and its bytes; kept, since it takes a while to write."""
    file = cache / f"{path.stem}.graph"
    if not file.is_file():
        with open_model(path, hints=Hints.of(signature), workdir=folder) as model:
            attempt = model.call("afterfit.models.convert:attempts")[0]
            made = model.call(
                "afterfit.models.convert:to_onnx",
                signature=signature,
                attempt=attempt,
                missing="\x1fmissing",
            )
        if made.error:
            raise RuntimeError(f"no graph of the forest: {made.error}")
        file.write_bytes(encode(made))
    made = decode(file.read_bytes())
    output: GraphOutput = made.output
    return OnnxModel(made.data, made.inputs, output, signature.classes), len(made.data)


def _proof(record: Any) -> dict[str, Any] | None:
    proof = record.certificate
    if proof is None:
        return None
    return {name: getattr(proof, name) for name in ("metric", "drop", "high", "margin", "n")}


def shown(result: dict[str, Any]) -> str:
    """The table for people."""
    sizes, right, proof = result["bytes"], result["accuracy"], result["certificate"]
    rows = [
        ("scikit-learn's `predict_proba`", right["forest"], "native"),
        ("its own exact graph", right["forest"], "graph"),
        (f"`{result['chosen']}`, {result['status']}", right["shipped"], "shipped"),
    ]
    lines = ["| form | right | file | 1 row, median µs (least) |", "|---" * 4 + "|"]
    for title, share, form in rows:
        times = result["times"][form]
        spent = f"{times['median_us']:,.0f} ({times['least_us']:,.0f})"
        lines.append(f"| {title} | {share:.2%} | {sizes[form] / 1e3:,.1f} KB | {spent} |")
    native, graph = (result["faster"][name]["by_median"] for name in ("native", "graph"))
    lines.append("")
    lines.append(
        f"**{native:.0f} times** as fast as scikit-learn, **{graph:.1f} times** as fast as"
    )
    smaller = sizes["graph"] / sizes["shipped"]
    lines.append(f"the forest's own graph, {smaller:,.0f} times smaller than it.")
    if proof is not None:
        lines.append(f"Certified on {proof['n']:,} rows: {proof['metric']} drops by")
        lines.append(f"{proof['drop']:+.4f}, at most {proof['high']:+.4f};")
        lines.append(f"{proof['margin']:g} is allowed.")
    return "\n".join(lines)


def missed(result: dict[str, Any]) -> list[str]:
    """What fell short of what was promised, a line each."""
    found = []
    for name, goal in (("native", GOALS["native"]), ("graph", GOALS["graph"])):
        if result["faster"][name]["by_median"] < goal:
            speed = result["faster"][name]["by_median"]
            found.append(f"census: {speed:.1f}x the {name}, {goal:.0f}x is wanted")
    if result["bytes"]["graph"] < GOALS["smaller"] * result["bytes"]["shipped"]:
        found.append(f"census: less than {GOALS['smaller']:.0f} times smaller")
    if result["status"] != "certified":
        found.append(f"census: {result['chosen']} is {result['status']}, not certified")
    return found
