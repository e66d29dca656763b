"""A load test as a script of k6.

Sources: the executors of https://grafana.com/docs/k6/latest/using-k6/scenarios/executors/ and the
thresholds of https://grafana.com/docs/k6/latest/using-k6/thresholds/.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from string import Template
from typing import Any

from afterfit.loadtest.arrivals import Closed, Offline
from afterfit.loadtest.exports.scenario import (
    REQUESTS,
    Points,
    Scenario,
    requests_file,
    variable_of,
)

__all__ = ["SCRIPT", "k6_files"]

SCRIPT = "loadtest.js"
MINUTE = 60
LEAST_USERS = 10

_SCRIPT = Template("""\
// $schedule, $objective; made by afterfit loadtest --export k6.
//
//   k6 run $script
//   k6 run -e BASE_URL=https://host -e $variable='...' $script
//
// k6 spaces requests evenly where Afterfit sends them at random moments, so that fewer wait for
// each other here. It drops requests that find no free user: the threshold on dropped_iterations
// fails then, as the rate was another one than is told. http_req_duration counts from when a
// request is sent, not from when it was due.
import http from 'k6/http';
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';

const calls = new SharedArray('requests', () => JSON.parse(open('./$requests')));
const base = __ENV.BASE_URL || $base;
const route = $route;
const thinkSeconds = $think;
// The values of these headers come from the environment: no key is written here.
const secrets = $secrets;

export const options = $options;

export default function () {
  const call = calls[exec.scenario.iterationInTest % calls.length];
  const headers = Object.assign({}, call.headers);
  for (const [name, variable] of secrets) {
    if (__ENV[variable]) headers[name] = __ENV[variable];
  }
  const body = call.base64 === undefined ? call.body : encoding.b64decode(call.base64);
  const answer = http.post(base + route, body, { headers, timeout: $timeout });
  check(answer, { 'status is 200': (r) => r.status === 200 });
  if (thinkSeconds > 0) sleep(thinkSeconds);
}
""")


def k6_files(scenario: Scenario) -> dict[str, bytes]:
    """Return the script and the file with its requests, by name; keys are in neither."""
    secrets = [[name, variable_of(name)] for name in scenario.secret_headers]
    closed = scenario.schedule if isinstance(scenario.schedule, Closed) else None
    script = _SCRIPT.substitute(
        schedule=json.dumps(scenario.schedule.name)[1:-1],
        objective="no objective" if scenario.slo is None else str(scenario.slo),
        script=SCRIPT,
        requests=REQUESTS,
        variable=secrets[0][1],
        base=json.dumps(scenario.base),
        route=json.dumps(scenario.route),
        think=json.dumps((closed.think_ms if closed else 0.0) / 1e3),
        secrets=json.dumps(secrets),
        options=json.dumps(_options(scenario), indent=2),
        timeout=json.dumps(f"{scenario.timeout_s:g}s"),
    )
    return {SCRIPT: script.encode(), REQUESTS: requests_file(scenario.calls)}


def _options(scenario: Scenario) -> dict[str, Any]:
    thresholds: dict[str, list[str]] = {"dropped_iterations": ["count<1"]}
    slo = scenario.slo
    if slo is not None:
        thresholds["http_req_duration"] = [f"p({slo.quantile * 100:g})<={slo.limit_ms:g}"]
        thresholds["http_req_failed"] = [f"rate<={round(slo.allowed, 9):g}"]
    quantiles = ["avg", "med", "p(90)", "p(95)", "p(99)", "max"]
    return {
        "scenarios": {"afterfit": _executor(scenario)},
        "thresholds": thresholds,
        "summaryTrendStats": quantiles,
        "discardResponseBodies": True,
    }


def _executor(scenario: Scenario) -> dict[str, Any]:
    schedule, whole = scenario.schedule, _seconds(scenario.seconds)
    if isinstance(schedule, Closed):
        return {"executor": "constant-vus", "vus": schedule.users, "duration": whole}
    if isinstance(schedule, Offline):
        users = min(scenario.connections, schedule.count)
        told = {"executor": "shared-iterations", "vus": users, "iterations": schedule.count}
        return {**told, "maxDuration": whole}
    # As many as are at work at once while an answer takes a second, up to what was allowed.
    users = min(scenario.connections, max(LEAST_USERS, math.ceil(scenario.peak)))
    pool = {"preAllocatedVUs": users, "maxVUs": scenario.connections}
    points, each = scenario.points, _unit(scenario.points)
    unit = {"timeUnit": f"{each}s"}
    if len({rate for _, rate in points}) == 1:
        rate = max(1, round(points[0][1] * each))
        return {
            "executor": "constant-arrival-rate",
            "rate": rate,
            **unit,
            "duration": whole,
            **pool,
        }
    start = {"startRate": round(points[0][1] * each), **unit, **pool}
    return {"executor": "ramping-arrival-rate", **start, "stages": _stages(points, each)}


def _unit(points: Points) -> int:
    """Return over how many seconds rates are told: k6 takes whole numbers only."""
    return 1 if all(rate == round(rate) for _, rate in points) else MINUTE


def _stages(points: Points, each: int) -> list[dict[str, Any]]:
    return [
        {"duration": _seconds(at - before), "target": round(rate * each)}
        for (before, _), (at, rate) in pairwise(points)
    ]


def _seconds(seconds: float) -> str:
    return f"{round(seconds * 1e3)}ms"
