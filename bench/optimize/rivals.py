"""Other tools that make graphs smaller, each in an environment of its own.

Each gets the graph that Afterfit starts from and the same 300 training rows with their labels, and
makes what its documents call best for a processor without a graphics card (``peers/NAME/work.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import environment
import numpy as np

HERE = Path(__file__).resolve().parent / "peers"
PEERS = {"nncf": "NNCF", "olive": "Olive", "optimum": "Optimum"}
PACKAGES = {
    "nncf": ["nncf", "onnx", "onnxruntime"],
    "olive": ["olive-ai", "onnx", "onnxruntime"],
    "optimum": ["optimum-onnx", "transformers", "onnx", "onnxruntime"],
}
TIMEOUT_S = 280
QUIET = {"OLIVE_DISABLE_TELEMETRY": "1", "NNCF_CI": "1", "CI": "true", "OMP_NUM_THREADS": "1"}
"""Nothing of theirs is to phone home from a benchmark."""


def make(
    peers: tuple[str, ...],
    graph: bytes,
    rows: np.ndarray,
    labels: np.ndarray,
    cache: Path,
    *,
    transformer: bool,
) -> dict[str, dict[str, Any]]:
    """Tool and way to {file, seconds} or {error}; what was made before is not made again."""
    found = {}
    for peer in peers:
        arguments = ["transformer"] if transformer else []
        folder = cache / "rivals" / f"{peer}-{_key(peer, graph, rows, labels)}"
        if not (folder / "done.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "graph.onnx").write_bytes(graph)
            np.savez(folder / "rows.npz", x=rows, y=labels)
            given = [str(folder / "graph.onnx"), str(folder / "rows.npz"), str(folder)]
            outcome = ask(peer, [*given, *arguments], cache)
            (folder / "done.json").write_text(json.dumps(outcome))
        for one in json.loads((folder / "done.json").read_text()):
            found[f"{PEERS[peer]}, {one['name']}"] = one
    return found


def refusals(peers: tuple[str, ...], model: Path, cache: Path) -> dict[str, str]:
    """What each tool says of a model of scikit-learn as it was saved: the first line."""
    said = {}
    for peer in peers:
        outcome = ask(peer, [str(model)], cache)
        said[PEERS[peer]] = "; ".join(one.get("error", "takes it") for one in outcome)
    return said


def versions(peers: tuple[str, ...], cache: Path) -> dict[str, dict[str, str]]:
    """The versions that each tool runs."""
    return {
        peer: environment.versions(environment.ensure(_requirements(peer), cache), PACKAGES[peer])
        for peer in peers
    }


def ask(peer: str, arguments: list[str], cache: Path) -> list[dict[str, Any]]:
    """Each line that the tool's program printed; one error where it ended otherwise."""
    place = environment.ensure(_requirements(peer), cache)
    arguments = [str(Path(each).resolve()) if "/" in each else each for each in arguments]
    command = [str(place / "bin" / "python"), str(HERE / peer / "work.py"), *arguments]
    late = []
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
            cwd=cache,  # what they write beside themselves
            env={**os.environ, **QUIET},
        )
        output, errors = done.stdout, done.stderr
    except subprocess.TimeoutExpired as over:
        output, errors = over.stdout or b"", b""
        late = [{"name": "the next way", "error": f"did not end within {TIMEOUT_S} s in all"}]
    lines = [line for line in output.decode().splitlines() if line.startswith("{")]
    print(f"  {PEERS[peer]}: {len(lines)} answers", file=sys.stderr, flush=True)
    if not lines and not late:
        words = errors.decode(errors="replace").strip().splitlines() or ["ended without a word"]
        return [{"name": "all", "error": words[-1][:200]}]
    return [*map(json.loads, lines), *late]


def _requirements(peer: str) -> Path:
    return HERE / peer / "requirements.txt"


def _key(peer: str, graph: bytes, rows: np.ndarray, labels: np.ndarray) -> str:
    parts = [graph, rows.tobytes(), labels.tobytes()]
    parts += [_requirements(peer).read_bytes(), (HERE / peer / "work.py").read_bytes()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
