"""Scripts of k6 and Locust: the same rates and requests, no key, no text that breaks out."""

from __future__ import annotations

import ast
import base64
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from afterfit.core.wire.client import Address
from afterfit.errors import UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.exports import k6, locust
from afterfit.loadtest.exports.scenario import Call, Scenario, calls_of, requests_file
from afterfit.loadtest.recording import recording_of
from afterfit.loadtest.schedule import arrivals_of
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.trace import trace_of

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "/p😀\"'`${1}\n\u2028*/\\"
CALLS = (
    Call({"Content-Type": "application/json"}, b'{"rows":[{"age":41}]}'),
    Call({"Content-Type": "application/octet-stream"}, b"\xff\x00"),
)


def scenario(schedule: str, seconds: float = 60.0, **more: Any) -> Scenario:
    """Return a scenario of two requests."""
    told: dict[str, Any] = {
        "base": "http://127.0.0.1:8080",
        "route": "/predict",
        "slo": Slo(0.999, 50.0),
    }
    return Scenario(calls=CALLS, schedule=arrivals_of(schedule), seconds=seconds, **(told | more))


def options(made: dict[str, bytes]) -> dict[str, Any]:
    """Return the options in a script of k6."""
    text = made[k6.SCRIPT].decode()
    found: dict[str, Any] = json.loads(text.partition("options = ")[2].partition("};")[0] + "}")
    return found


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ("constant:400", [(0, 400), (60, 400)]),
        ("poisson:400", [(0, 400), (60, 400)]),
        ("ramp:10:400", [(0, 10), (60, 400)]),
        ("step:100,200", [(0, 100), (30, 100), (30, 200), (60, 200)]),
        ("burst:1:9:20:25", [(0, 9), (20, 9), (20, 1), (45, 1), (45, 9), (60, 9)]),
        ("closed:4", []),
        ("offline:9", []),
    ],
)
def test_a_schedule_becomes_rates_over_time(
    schedule: str, points: list[tuple[float, float]]
) -> None:
    """Linear in between, with two rates at the moment of a jump."""
    assert scenario(schedule).points == points


def test_a_trace_becomes_mean_rates_that_keep_its_count() -> None:
    """Of moments and of rates; times its factor; nothing after its end."""
    moments = np.sort(np.random.default_rng(0).uniform(0, 100, 1000))
    for trace in (
        trace_of(recording_of({"time": moments}, "a.csv"), 2.0),
        trace_of(
            recording_of({"time": np.arange(0, 100, 25.0), "rate": np.array([0, 8, 24, 8])}, "b")
        ),
    ):
        (points,) = [Scenario("http://a", "/", CALLS, trace, 150.0).points]
        at, rates = np.array(points).T
        expected = trace.factor * 1000
        assert np.trapezoid(rates, at) == pytest.approx(expected, rel=0.02)
        assert rates[-1] == 0.0
        assert len(points) == 300


def test_k6_gets_arrival_rates_and_thresholds() -> None:
    """Whole numbers, per minute where a rate is none; the objective and no drops."""
    told = options(k6.k6_files(scenario("poisson:400.5")))
    assert told["scenarios"]["afterfit"] == {
        "executor": "constant-arrival-rate",
        "rate": 24030,
        "timeUnit": "60s",
        "duration": "60000ms",
        "preAllocatedVUs": 256,
        "maxVUs": 256,
    }
    assert told["thresholds"] == {
        "dropped_iterations": ["count<1"],
        "http_req_duration": ["p(99.9)<=50"],
        "http_req_failed": ["rate<=0.001"],
    }
    ramp = options(k6.k6_files(scenario("ramp:10:400")))["scenarios"]["afterfit"]
    assert (ramp["executor"], ramp["startRate"]) == ("ramping-arrival-rate", 10)
    assert ramp["stages"] == [{"duration": "60000ms", "target": 400}]
    users = options(k6.k6_files(scenario("closed:4:50")))["scenarios"]["afterfit"]
    assert users == {"executor": "constant-vus", "vus": 4, "duration": "60000ms"}
    all_at_once = options(k6.k6_files(scenario("offline:9")))["scenarios"]["afterfit"]
    assert all_at_once["executor"] == "shared-iterations"


STUBS = """
import { readFileSync } from 'node:fs';
const sent = [];
const http = { post: (...a) => { sent.push(a); return { status: 200 }; } };
const encoding = { b64decode: (t) => [...Buffer.from(t, 'base64')] };
const exec = { scenario: { iterationInTest: 0 } };
const check = (a, named) => Object.values(named).every((f) => f(a));
const sleep = () => {};
class SharedArray { constructor(name, make) { return make(); } }
const open = (path) => readFileSync(path, 'utf8');
const __ENV = { X_KEY: 'hunter2' };
"""


def ran(script: str, folder: Path) -> Any:
    """Return what a script of k6 sends in node, with stand-ins for k6's own modules."""
    lines = [line for line in script.splitlines() if not line.startswith("import ")]
    own = "\n".join(lines).replace("export default function", "function ask")
    end = "ask(); exec.scenario.iterationInTest = 1; ask(); console.log(JSON.stringify(sent));"
    path = folder / "run.mjs"
    path.write_text(STUBS + own.replace("export const", "const") + end)
    done = subprocess.run(
        ["node", str(path)], check=True, capture_output=True, text=True, cwd=folder, timeout=60
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to read the script")
def test_the_script_of_k6_is_right_javascript_and_sends_the_requests(tmp_path: Path) -> None:
    """Whatever the route holds; keys come from the environment and stand nowhere."""
    made = k6.k6_files(scenario("poisson:4", route=HOSTILE, secret_headers=("x-key",)))
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    checked = tmp_path / "check.mjs"
    checked.write_bytes(made[k6.SCRIPT])
    subprocess.run(["node", "--check", str(checked)], check=True, timeout=60)
    sent = ran(made[k6.SCRIPT].decode(), tmp_path)
    assert [call[0] for call in sent] == [f"http://127.0.0.1:8080{HOSTILE}"] * 2
    assert [call[1] for call in sent] == ['{"rows":[{"age":41}]}', [255, 0]]
    headers = sent[0][2]["headers"]
    assert headers == {"Content-Type": "application/json", "x-key": "hunter2"}


def test_the_file_of_locust_is_right_python_and_says_what_it_cannot_do() -> None:
    """It holds the route as it is, the shape of the traffic, and the objective."""
    made = locust.locust_files(scenario("ramp:10:4000", route=HOSTILE))
    text = made[locust.SCRIPT].decode()
    tree = ast.parse(text)
    assert "What a closed loop cannot do" in (ast.get_docstring(tree) or "")
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in {"ROUTE", "POINTS", "PER_USER", "SECONDS"}
    }
    assert values == {
        "ROUTE": HOSTILE,
        "POINTS": [(0.0, 10.0), (60.0, 4000.0)],
        "PER_USER": 4.0,
        "SECONDS": 60.0,
    }
    with pytest.raises(UsageError, match="all at once"):
        locust.locust_files(scenario("offline:9"))


def test_requests_keep_the_headers_of_their_body_alone() -> None:
    """Keys, host and lengths stay out; a body that is no text is in base64."""
    raw = b"POST /p HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer key\r\n"
    raw += b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    target = Target(Address(secure=False, host="127.0.0.1", port=1, base=""), "/p", (raw,))
    calls = calls_of(target)
    assert calls == (Call({"Content-Type": "application/json"}, b"{}"),)
    told = json.loads(requests_file((*calls, CALLS[1])))
    assert told[0]["body"] == "{}"
    assert base64.b64decode(told[1]["base64"]) == b"\xff\x00"
