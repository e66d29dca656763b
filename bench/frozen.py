"""What an open and a closed loop see of a server that stands still for a second.

    python bench/frozen.py [--rounds 5]

The server of tests/loadtest is stopped (SIGSTOP) for 1 s of a run of 5 s: once under 1,000
requests/s at random moments, whose latency counts from when they were due, once under 8 users who
wait for their answers. The result is written to bench/results/frozen.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.loadtest.arrivals import Closed, Poisson
from afterfit.loadtest.generator import Generator
from afterfit.loadtest.target import target_of_bodies
from afterfit.store.environment import current_environment

HERE = Path(__file__).parent
SERVER = HERE.parent / "tests" / "loadtest" / "echo_server.py"
RESULT = HERE / "results" / "frozen.json"
SECONDS, FROZEN_AT, FROZEN_S = 5.0, 2.0, 1.0
QUANTILES = (0.5, 0.99, 1.0)


def freeze(pid: int) -> None:
    """Stop a process for a while."""
    time.sleep(FROZEN_AT)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    os.kill(pid, signal.SIGCONT)


def measured(generator: Generator, arrivals: Poisson | Closed, pid: int, seed: int) -> list[float]:
    """Return the quantiles of latency (ms) of a run in which the server freezes."""
    thread = threading.Thread(target=freeze, args=(pid,))
    thread.start()
    shot = generator.fire(arrivals, SECONDS, seed)
    thread.join()
    latency = shot.service_ms if isinstance(arrivals, Closed) else shot.latency_ms
    return [float(value) for value in np.quantile(latency, QUANTILES)]


def main() -> None:
    """Measure in turn, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    server = subprocess.Popen([sys.executable, str(SERVER), "0"], stdout=subprocess.PIPE, text=True)
    found: dict[str, list[list[float]]] = {"open": [], "closed": []}
    try:
        port = int(server.stdout.readline()) if server.stdout else 0
        url = f"http://127.0.0.1:{port}"
        bodies = [b'{"rows":[{"x":%d}]}' % number for number in range(50)]
        with Generator(target_of_bodies(url, "/predict", bodies)) as generator:
            generator.fire(Poisson(200.0), 1.0, 0)
            for seed in range(rounds):
                for name, arrivals in (("open", Poisson(1000.0)), ("closed", Closed(8))):
                    found[name].append(measured(generator, arrivals, server.pid, seed))
    finally:
        server.kill()
        server.wait()
    here = current_environment()
    result: dict[str, Any] = {
        "machine": {"cpu": here.cpu, "cores": here.cores},
        "seconds": SECONDS,
        "frozen_s": FROZEN_S,
        "quantiles": QUANTILES,
        "latency_ms": found,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["latency_ms"]))


if __name__ == "__main__":
    main()
