"""A load test as a Locust file.

Sources: https://docs.locust.io/en/stable/custom-load-shape.html, wait times of
https://docs.locust.io/en/stable/writing-a-locustfile.html, exit codes of
https://docs.locust.io/en/stable/running-without-web-ui.html.
"""

from __future__ import annotations

import json
from string import Template

from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import Closed, Offline
from afterfit.loadtest.exports.scenario import REQUESTS, Scenario, requests_file, variable_of

__all__ = ["SCRIPT", "locust_files"]

SCRIPT = "locustfile.py"
MOST_USERS = 1000

_SCRIPT = Template('''\
"""$schedule, $objective; made by afterfit loadtest --export locust.

    locust --headless -f $script
    BASE_URL=https://host $variable='...' locust --headless -f $script

What a closed loop cannot do: Locust's users wait for an answer before they ask again. Where the
server is slow they ask less often, so that the rate falls just when it matters, and a stall is
seen by as many requests as there are users, not by all that would have come meanwhile. Percentiles
look better than those of real callers; no setting mends that. Latency counts from when a request
is sent, not from when it was due.
"""

import base64
import itertools
import json
import os
from pathlib import Path

from locust import FastHttpUser, LoadTestShape, constant, constant_throughput, events, task

CALLS = json.loads((Path(__file__).parent / "$requests").read_text(encoding="utf-8"))
ROUTE = $route
SECONDS = $seconds
# (s, requests/s), linear in between; none where users come back as soon as they may.
POINTS = $points
USERS = $users
PER_USER = $per_user  # requests/s of one user at most
# The values of these headers come from the environment: no key is written here.
SECRETS = $secrets
QUANTILE, LIMIT_MS = $objective_numbers
COUNT = itertools.count()


def headers_of(call):
    found = dict(call["headers"])
    found.update({name: os.environ[key] for name, key in SECRETS if os.environ.get(key)})
    return found


class Caller(FastHttpUser):
    host = os.environ.get("BASE_URL", $base)
    connection_timeout = network_timeout = $timeout
    wait_time = constant_throughput(PER_USER) if POINTS else constant($think)

    @task
    def ask(self):
        call = CALLS[next(COUNT) % len(CALLS)]
        body = call["body"].encode() if "body" in call else base64.b64decode(call["base64"])
        self.client.post(ROUTE, data=body, headers=headers_of(call), name=ROUTE)


def rate_at(at):
    for (start, before), (end, after) in zip(POINTS, POINTS[1:]):
        if start <= at < end:
            return before + (after - before) * (at - start) / (end - start)
    return POINTS[-1][1]


class Traffic(LoadTestShape):
    def tick(self):
        at = self.get_run_time()
        if at >= SECONDS:
            return None
        users = max(1, round(rate_at(at) / PER_USER)) if POINTS else USERS
        return users, max(users, 1)


@events.quitting.add_listener
def judge(environment, **_):
    total = environment.stats.total
    slow = QUANTILE and (total.get_response_time_percentile(QUANTILE) or 0) > LIMIT_MS
    failed = QUANTILE and total.fail_ratio > 1 - QUANTILE
    if slow or failed or not total.num_requests:
        environment.process_exit_code = 1
''')


def locust_files(scenario: Scenario) -> dict[str, bytes]:
    """Return the Locust file and that of its requests, by name; keys are in neither.

    Raises UsageError for requests that are due all at once, which users cannot send.
    """
    schedule = scenario.schedule
    if isinstance(schedule, Offline):
        raise UsageError(
            "Locust has no requests that are due all at once",
            where=f"--schedule {schedule.name}",
            fix="--export k6",
        )
    closed = schedule if isinstance(schedule, Closed) else None
    secrets = [(name, variable_of(name)) for name in scenario.secret_headers]
    slo = scenario.slo
    script = _SCRIPT.substitute(
        schedule=json.dumps(schedule.name)[1:-1],
        objective="no objective" if slo is None else str(slo),
        script=SCRIPT,
        requests=REQUESTS,
        variable=secrets[0][1],
        route=ascii(scenario.route),
        seconds=repr(scenario.seconds),
        points=repr([(round(at, 3), round(rate, 6)) for at, rate in scenario.points]),
        users=repr(closed.users if closed else 0),
        per_user=repr(max(1.0, scenario.peak / MOST_USERS)),
        secrets=repr(secrets),
        objective_numbers=repr((0.0, 0.0) if slo is None else (slo.quantile, slo.limit_ms)),
        base=ascii(scenario.base),
        timeout=repr(scenario.timeout_s),
        think=repr((closed.think_ms if closed else 0.0) / 1e3),
    )
    return {SCRIPT: script.encode(), REQUESTS: requests_file(scenario.calls)}
