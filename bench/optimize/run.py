"""What ``afterfit optimize`` gains, beside the libraries' own calls and beside other tools.

    python bench/optimize/run.py --docs
    python bench/optimize/run.py --only classic [--seconds 3]
    python bench/optimize/run.py --only networks --peers none

Three parts, each with a file of its own in bench/optimize/results/:

* ``classic``: six usual models against ``predict_proba``;
* ``networks``: two networks against eager PyTorch, NNCF, Olive and Optimum;
* ``census``: a forest of 500 trees against the student that ships in its place.

``--docs`` also puts the tables into docs/explanation/optimize-speed.md. Run it with the interpreter
that has Afterfit, PyTorch included (``make torch``), on a machine without other work. The first run
fits the models, makes the peers' environments and their graphs and keeps them in ``--cache``; later
ones measure, in less than ten minutes. Exits 1 where something fell short of what was promised, or
where a part failed; the others are written all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
PROJECT = ROOT.parent.parent
PAGE = PROJECT / "docs" / "explanation" / "optimize-speed.md"

# One thread each, and nothing that phones home; set before anything imports a framework.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.append(str(ROOT.parent / "serving"))

import census  # noqa: E402 - as above
import classic  # noqa: E402
import machine  # noqa: E402
import networks  # noqa: E402
import rivals  # noqa: E402
from process import BenchError  # noqa: E402

from afterfit.store.environment import current_environment  # noqa: E402

PARTS = ("classic", "networks", "census")


def main() -> int:
    """Run; 0 when every part ran and nothing fell short, else 1, or 2 for usage."""
    arguments = _arguments()
    unknown = set(arguments.only) - set(PARTS) | (set(arguments.peers) - set(rivals.PEERS))
    if unknown:
        print(f"error: no such part or peer: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    short = []
    for part in arguments.only:
        start = time.monotonic()
        print(f"{part} ...", file=sys.stderr, flush=True)
        short += _part(part, arguments)
        print(f"  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    for line in short:
        print(f"short: {line}")
    if arguments.docs:
        _write_page(arguments.out)
    return 1 if short else 0


def _part(part: str, arguments: argparse.Namespace) -> list[str]:
    """Run one part and write what was seen; what fell short, or that it failed."""
    before = machine.describe()
    try:
        with tempfile.TemporaryDirectory(prefix=f"afterfit-{part}-") as folder:
            result = _work(part, arguments)(Path(folder))
        versions = rivals.versions(arguments.peers, arguments.cache) if part == "networks" else {}
    except Exception as error:  # noqa: BLE001 - the other parts are still worth measuring
        traceback.print_exc()
        return [f"{part} failed: {type(error).__name__}: {str(error).splitlines()[:1]}"]
    short: list[str] = _missed(part)(result)
    env = current_environment()
    document = {
        "schema": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**before, "load_average_after": machine.load_average()},
        "cpu_features": list(getattr(env, "cpu_features", ())),
        "commit": machine.commit(ROOT),
        "python": env.python,
        "packages": {name: env.packages[name] for name in _PACKAGES if name in env.packages},
        "peers": versions,
        "seconds": arguments.seconds,
        "short": short,
        "result": result,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{part}.json").write_text(json.dumps(document, indent=1) + "\n")
    return short


_PACKAGES = (
    "scikit-learn", "lightgbm", "xgboost", "xgboost-cpu", "torch", "onnx", "onnxruntime", "numpy",
    "torch-pruning",
)  # fmt: skip


def _work(part: str, arguments: argparse.Namespace) -> Callable[[Path], Any]:
    cache, seconds = arguments.cache, arguments.seconds
    if part == "classic":
        return lambda folder: classic.run(cache, folder, seconds)
    if part == "census":
        return lambda folder: census.run(cache, folder, seconds, arguments.tables)

    def both(folder: Path) -> dict[str, Any]:
        measured = networks.run(cache, folder, seconds, arguments.peers)
        forest = cache / "refused.joblib"
        _write_forest(forest)
        return {
            "networks": measured,
            "refusals": rivals.refusals(arguments.peers, forest, cache),
        }

    return both


def _write_forest(path: Path) -> None:
    """A small forest as scikit-learn's users keep one, for tools that may not take it."""
    import joblib
    from sklearn.ensemble import RandomForestClassifier

    joblib.dump(RandomForestClassifier(5, random_state=0).fit(*classic.rows(200, 0)), path)


def _missed(part: str) -> Callable[[Any], list[str]]:
    if part == "networks":
        return lambda result: networks.missed(result["networks"])
    return classic.missed if part == "classic" else census.missed


def _shown(part: str, result: Any) -> str:
    if part == "classic":
        return classic.table(result)
    if part == "census":
        return census.shown(result)
    refused = result["refusals"]
    lines = [networks.table(result["networks"])]
    if refused:
        lines.append("A forest of scikit-learn, as it was saved:\n")
        lines.append("\n".join(f"* {name}: `{said}`" for name, said in refused.items()))
    return "\n\n".join(lines)


def _write_page(folder: Path) -> None:
    """Put every part's table between its marks; one that was never taken stays as it is."""
    text = PAGE.read_text()
    for part in PARTS:
        file = folder / f"{part}.json"
        if not file.is_file():
            continue
        document = json.loads(file.read_text())
        begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        shown = f"{_shown(part, document['result'])}\n\n{_caption(document)}"
        text = f"{before}{begin}\n\n{shown}\n\n{end}{after}"
    PAGE.write_text(text)


def _caption(document: dict[str, Any]) -> str:
    where = document["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in document["packages"].items())
    peers = "; ".join(
        ", ".join(f"{name} {number}" for name, number in each.items() if name != "python")
        for each in document["peers"].values()
    )
    return (
        f"Taken {document['taken'][:10]} on {where['cores']} cores of {where['cpu']}, one thread; "
        f"load {where['load_average'][0]} before, {where['load_average_after'][0]} after. Python "
        f"{document['python']}, {packages}.{f' Peers: {peers}.' if peers else ''}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_words, default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--peers", type=_words, default=tuple(rivals.PEERS), help="comma-separated, or none"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path(os.environ.get("AFTERFIT_TEST_DATA") or PROJECT.parent / "shared" / "data"),
        help="the folder of adult_train.csv and adult_test.csv: see CONTRIBUTING.md",
    )
    parser.add_argument("--docs", action="store_true", help=f"put the tables into {PAGE.name}")
    return parser.parse_args()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word and word != "none")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as stopped:
        print(f"error: {stopped}", file=sys.stderr)
        sys.exit(2)
