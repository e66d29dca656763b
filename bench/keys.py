"""What an API key costs a request in CPU time: authorize() on the paths that a server takes.

    python bench/keys.py [--calls 20000] [--repeats 30]

Every call gets header bytes of its own, as from a socket, so that no hash of them is cached; making
them is measured by itself and taken off. One interpreter, one thread. The result is written to
bench/results/keys.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from afterfit.runtime.key_file import KeyLimits, add_key, encode_key_file, new_key_file
from afterfit.runtime.keys import Grant, KeyRing, Refusal
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "keys.json"
BUDGET_US = 3.0
KEYS = 100
PLENTY = KeyLimits(rate=1e9, rows_rate=1e9)


def ring_of(folder: Path) -> tuple[KeyRing, dict[str, bytes]]:
    """Return a ring of a hundred keys, and the headers of four."""
    file, texts = new_key_file(), {}
    for name in ("plain", "limited", "used up", *(f"k{n}" for n in range(KEYS - 3))):
        limits = {"limited": PLENTY, "used up": KeyLimits(rate=1e-9)}.get(name, KeyLimits())
        models = ("churn",) if name == "limited" else ()
        file, _, texts[name] = add_key(file, name, ["predict"], models=models, limits=limits)
    path = folder / "keys.json"
    path.write_bytes(encode_key_file(file))
    path.chmod(0o600)
    headers = {name: b"Bearer " + text.encode() for name, text in texts.items()}
    headers["wrong"] = headers["plain"][:-1] + (b"A" if headers["plain"][-1:] != b"A" else b"B")
    return KeyRing(path, say=lambda _: None), headers


def microseconds(call: Callable[[bytes], object], header: bytes, calls: int) -> float:
    """Return the mean CPU time of one call, without that of making the header's bytes."""
    raw = bytearray(header)
    start = time.thread_time_ns()
    for _ in range(calls):
        call(bytes(raw))
    spent = time.thread_time_ns() - start
    start = time.thread_time_ns()
    for _ in range(calls):
        bytes(raw)
    return (spent - (time.thread_time_ns() - start)) / calls / 1000


def summary(samples: list[float]) -> dict[str, float]:
    """Return the median of the means with its 95 % interval by order statistics, in µs."""
    ordered = sorted(samples)
    n = len(ordered)
    half = 1.96 * n**0.5 / 2
    low, high = ordered[max(0, int(n / 2 - half))], ordered[min(n - 1, int(n / 2 + half))]
    return {"median_us": statistics.median(ordered), "low_us": low, "high_us": high, "n": n}


def paths_of(ring: KeyRing) -> dict[str, tuple[str, type, Callable[[bytes], object]]]:
    """Return for each path its header's name, what comes out, and the call."""

    def seen(header: bytes) -> object:
        return ring.authorize(header, "predict", "churn", time.time())

    def charged(header: bytes) -> object:
        now = time.time()
        answer = ring.authorize(header, "predict", "churn", now)
        if isinstance(answer, Grant):
            answer.charge(1, now)
        return answer

    def first(header: bytes) -> object:
        ring._verified.clear()  # noqa: SLF001 - the state of just after a reload
        return seen(header)

    return {
        "seen before, no limits": ("plain", Grant, seen),
        "seen before, model, requests/s and rows/s, charged": ("limited", Grant, charged),
        "first time (HMAC)": ("plain", Grant, first),
        "wrong secret: 401": ("wrong", Refusal, seen),
        "rate used up: 429": ("used up", Refusal, seen),
    }


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ring, headers = ring_of(Path(folder))
        paths = paths_of(ring)
        headers_of = {name: headers[header] for name, (header, _, _) in paths.items()}
        ring.authorize(headers["used up"], "predict", "churn", time.time())
        for name, (_, kind, call) in paths.items():
            if not isinstance(call(headers_of[name]), kind):
                raise SystemExit(f"{name}: not the answer that is to be measured")
        samples: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(options.repeats):
            for name, (_, _, call) in paths.items():
                samples[name].append(microseconds(call, headers_of[name], options.calls))
    results = {name: summary(values) for name, values in samples.items()}
    env = current_environment()
    machine = {"cpu": env.cpu, "cores": env.cores, "python": env.python, "system": env.system}
    document = {
        "arguments": vars(options),
        "machine": {**machine, "load_average": os.getloadavg()},
        "keys": KEYS,
        "budget_us": BUDGET_US,
        "results": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, one in results.items():
        print(
            f"{name:52} {one['median_us']:6.3f} us "
            f"({one['low_us']:.3f} to {one['high_us']:.3f}) n = {one['n']} x {options.calls}"
        )


if __name__ == "__main__":
    main()
