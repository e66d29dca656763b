"""Serving side by side: one machine, one run, the server on one core and wrk on another.

Every server answers the same rows with the same model; each measurement starts the server anew,
checks its answers against ``predict_proba``, warms it up, and takes turns with the others.

    python bench/serving/run.py [--peers bare,fastapi,mlserver,triton] [--rounds 5] [--seconds 5]
    python bench/serving/run.py --all --docs

Run it with the interpreter that has Afterfit (.venv/bin/python after ``make setup``). The numbers
go to bench/serving/results/; ``--docs`` also puts the table into the page about it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import environment
import load
import machine
import subject
from measure import Plan, measure
from peers import CATALOGUE, HERE, Peer, Site, find
from process import BenchError
from summary import BASE, caption, summarise, table

ROOT = Path(__file__).resolve().parent
PAGE = ROOT.parent.parent / "docs" / "explanation" / "serving-speed.md"
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")


def main() -> int:
    """Run; 0 when every peer answered rightly and without an error, else 1, or 2 for usage."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        load.require_tools()
        return compare(arguments)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def compare(arguments: argparse.Namespace) -> int:
    """Prepare, measure in turns, and write what was seen."""
    peers, plan = _chosen(arguments), _plan(arguments)
    before = machine.describe()
    with tempfile.TemporaryDirectory(prefix="afterfit-serving-") as folder:
        print("making the model and shipping it ...", flush=True)
        model = subject.make(Path(folder))
        sites, versions = _sites(peers, model, Path(folder), arguments.cache)
        measurements, failures = take_turns(peers, sites, plan, Path(folder))
    summary = summarise(measurements)
    document = {
        "schema": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**before, "load_average_after": machine.load_average()},
        "commit": machine.commit(ROOT),
        "plan": asdict(plan),
        "subject": model.description,
        "versions": versions,
        "summary": summary,
        "failures": failures,
        "measurements": measurements,
    }
    _write(document, {peer.name: peer.title for peer in peers}, arguments)
    return 1 if failures else 0


def take_turns(
    peers: list[Peer], sites: dict[str, Site], plan: Plan, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure A B C ... A B C ...; a peer that fails is told and left out from then on."""
    measurements: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for number in range(1, plan.rounds + 1):
        for peer in peers:
            if peer.name in failures:
                continue
            try:
                one = measure(peer, sites[peer.name], plan, folder)
            except BenchError as error:
                failures[peer.name] = str(error)
                print(f"round {number}  {peer.name}: FAILED: {error}", file=sys.stderr, flush=True)
                continue
            measurements.append({"peer": peer.name, "round": number, **one})
            print(f"round {number}  {_told(peer.name, one)}", flush=True)
    return measurements, failures


def _sites(
    peers: list[Peer], model: subject.Subject, folder: Path, cache: Path
) -> tuple[dict[str, Site], dict[str, dict[str, str]]]:
    """A place to start each peer from, and the versions that it runs."""
    sites, versions = {}, {}
    here = environment.versions(None, ["scikit-learn"])["scikit-learn"]
    for peer in peers:
        requirements = HERE / peer.environment / "requirements.txt"
        made = environment.ensure(requirements, cache) if peer.environment else None
        versions[peer.name] = environment.versions(made, peer.packages)
        environment.require_equal("scikit-learn", versions[peer.name], here, requirements)
        own = folder / "peers" / peer.name
        own.mkdir(parents=True)
        sites[peer.name] = Site(made or Path(sys.prefix), own, model)
    return sites, versions


def _write(document: dict[str, Any], titles: dict[str, str], arguments: argparse.Namespace) -> None:
    shown = f"{table(document['summary'], titles)}\n\n{caption(document)}"
    print(f"\n{shown}\n")
    for name, why in document["failures"].items():
        print(f"failed: {name}: {why}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {arguments.out}")
    if arguments.docs:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(f"{before}{MARKS[0]}\n\n{shown}\n\n{MARKS[1]}{after}")


def _told(name: str, one: dict[str, Any]) -> str:
    return (
        f"{name:18} {one['requests_per_second']:8,.0f} requests/s  "
        f"{one['cpu_us_per_request']:7.1f} us CPU a request  "
        f"p50 at 1 connection {one['single_p50_us']:6.0f} us  "
        f"core {one['server_core_share']:4.0%} (disturbed {one['disturbed_share']:4.0%})  "
        f"load {one['load_average'][0]:.1f}"
    )


def _chosen(arguments: argparse.Namespace) -> list[Peer]:
    if arguments.all:
        return list(CATALOGUE)
    if not arguments.peers:
        return [peer for peer in CATALOGUE if peer.by_default]
    own = [peer.name for peer in CATALOGUE if peer.name.startswith(BASE)]
    return find([*own, *arguments.peers.split(",")])


def _plan(arguments: argparse.Namespace) -> Plan:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed, one for the server and one for wrk")
    return Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        single_seconds=max(1.0, arguments.seconds * 0.4),
        warmup_seconds=max(1.0, arguments.seconds * 0.4),
        connections=arguments.connections,
        server_core=cores[0],
        wrk_core=cores[1],
        niceness=arguments.nice,
        quiet=arguments.quiet,
        attempts=arguments.attempts,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(peer.name for peer in CATALOGUE if not peer.name.startswith(BASE))
    parser.add_argument("--peers", default="", help=f"comma-separated, beside Afterfit: {names}")
    parser.add_argument("--all", action="store_true", help="every peer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--nice", type=int, default=0, help="of servers and wrk, on a busy machine")
    parser.add_argument(
        "--quiet",
        type=float,
        default=0.1,
        help="share of a core that other work may take before a measurement is taken again",
    )
    parser.add_argument("--attempts", type=int, default=3, help="at most, to find it quiet")
    parser.add_argument("--cache", type=Path, default=ROOT / ".venvs", help="environments of peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "serving.json")
    parser.add_argument("--docs", action="store_true", help=f"put the table into {PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
