"""Load from ``wrk`` on a core of its own: many prepared bodies in turn over kept connections."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from process import BenchError, pinned

# The bodies are formatted once; a request costs wrk one look into a table. wrk itself counts
# statuses above 399.
SCRIPT = """
local requests = {}
local turn = 0

function init(arguments)
  local headers = {["Content-Type"] = "application/json"}
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":{"connect":%d,'
      .. '"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests/s and latencies in µs, and the CPU time that wrk itself took."""

    requests: int
    requests_per_second: float
    p50_us: float
    p99_us: float
    wrk_cpu_s: float


@dataclass(frozen=True)
class Wrk:
    """wrk on one core, with the niceness of the servers."""

    folder: Path
    core: int
    niceness: int

    def run(self, url: str, bodies: Path, connections: int, seconds: float) -> Load:
        """Load ``url`` for that long; raises BenchError for any answer that is an error."""
        script = self.folder / "post.lua"
        script.write_text(SCRIPT)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "20s", "--latency", "-s", str(script), url, "--", str(bodies)]
        before = _children_cpu_s()
        done = subprocess.run(
            pinned(command, self.core, self.niceness),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
        )
        spent = _children_cpu_s() - before
        if done.returncode != 0:
            raise BenchError(f"wrk ended with {done.returncode}: {done.stderr[-500:]}")
        return parse(done.stdout, spent)


def parse(output: str, wrk_cpu_s: float) -> Load:
    """The result line of the script; raises BenchError for errors and for no request at all."""
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise BenchError(f"wrk told no result: {output[-500:]}")
    told = json.loads(lines[-1].removeprefix("RESULT "))
    errors = {kind: count for kind, count in told["errors"].items() if count}
    if errors or not told["requests"]:
        raise BenchError(f"of {told['requests']} requests some failed: {errors}")
    seconds = told["duration_us"] / 1e6
    return Load(
        requests=told["requests"],
        requests_per_second=told["requests"] / seconds,
        p50_us=told["p50_us"],
        p99_us=told["p99_us"],
        wrk_cpu_s=wrk_cpu_s,
    )


def write_bodies(path: Path, bodies: Sequence[object]) -> list[bytes]:
    """Write one JSON body a line for the script; the bodies as they will be sent."""
    encoded = [json.dumps(body).encode() for body in bodies]
    path.write_bytes(b"\n".join(encoded) + b"\n")
    return encoded


def require_tools() -> None:
    """Raise BenchError where wrk or taskset is missing."""
    packages = {"wrk": "wrk", "taskset": "util-linux"}
    missing = [tool for tool in packages if shutil.which(tool) is None]
    if missing:
        names = " ".join(packages[tool] for tool in missing)
        raise BenchError(f"{', '.join(missing)} not found\n  fix: apt-get install {names}")


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
