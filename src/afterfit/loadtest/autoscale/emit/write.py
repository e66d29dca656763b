"""Files for HPA, KEDA, Knative and Ray Serve from a record of ``autoscale``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.core.dns import dns_name
from afterfit.errors import UsageError
from afterfit.records.autoscale import AutoscaleRecord, Floor, PolicyOutcome

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
TARGETS = {
    "hpa": ("scheduled", "hpa-rps", "hpa-cpu"),
    "keda": ("scheduled", "keda"),
    "knative": ("knative",),
    "ray": ("ray",),
}
"""What can be written, and the policies that each can be."""
DAY = 86400
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH = datetime.fromisoformat("2024-01-01T00:00:00+00:00")
"""A Monday: where traces without dates begin."""


@dataclass(frozen=True)
class Names:
    """What the files call things; ``counter`` is the server's own count of requests."""

    name: str
    namespace: str
    image: str
    prometheus: str
    kubectl: str = "kubectl"
    counter: str = "afterfit_requests_total"
    gauge: str = "afterfit_requests_per_second"

    @classmethod
    def of(cls, record: AutoscaleRecord, *, namespace: str, prometheus: str) -> Names:
        """Return the names of a version; raises UsageError for ones that Kubernetes refuses."""
        name = dns_name(record.name)
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
            raise UsageError(
                "no namespace", where=f"--namespace {namespace!r}",
                why="it has small letters, digits and -", fix="--namespace default",
            )  # fmt: skip
        if not re.fullmatch(r"https?://[^\s\"'\\]+", prometheus):
            raise UsageError(
                "no address of Prometheus", where=f"--prometheus {prometheus!r}",
                why="it is a URL", fix="--prometheus http://prometheus.monitoring:9090",
            )  # fmt: skip
        return cls(name, namespace, f"{name}:{record.number or 'latest'}", prometheus)


@dataclass(frozen=True)
class Part:
    """One part of a schedule: when it starts and ends as cron fields, and its replicas."""

    starts: str
    ends: str
    least: int
    said: str


def written(record: AutoscaleRecord, targets: tuple[str, ...], names: Names) -> dict[str, str]:
    """Return file name to text; raises UsageError where no policy of a target was simulated.

    Of several policies that a target can be, the cheapest that holds is written.
    """
    files = {}
    for target in targets:
        policy = _policy(record, target)
        parts = parts_of(record, policy)
        told = {
            "record": record, "policy": policy, "names": names, "parts": parts,
            "dated": _dated(record),
        }  # fmt: skip
        env = _environment()
        files[f"{target}.yaml"] = env.get_template(f"{target}.yaml.j2").render(told) + "\n"
        if target == "hpa" and parts:
            files["schedule.yaml"] = env.get_template("schedule.yaml.j2").render(told) + "\n"
    return files


def _policy(record: AutoscaleRecord, target: str) -> PolicyOutcome:
    wanted = TARGETS[target]
    for policy in record.policies:
        if policy.name in wanted:
            return policy
    raise UsageError(
        f"nothing to write for {target}",
        where=f"--for {target}",
        why=f"none of {', '.join(wanted)} was simulated",
        fix=f"leave --policies out, or add {wanted[-1]}",
    )


def parts_of(record: AutoscaleRecord, policy: PolicyOutcome) -> tuple[Part, ...]:
    """Return the schedule of a policy in UTC: of the event's dates, of the day or of the week."""
    lead = policy.settings.get("lead_s", 0.0)
    return tuple(
        Part(
            _cron(record, floor.start_s - lead),
            _cron(record, floor.end_s),
            floor.least,
            _said(record, floor),
        )
        for floor in policy.floors
    )


def _dated(record: AutoscaleRecord) -> bool:
    return any(note.startswith("event") for note in record.trace.notes)


def _moment(record: AutoscaleRecord, seconds: float) -> datetime:
    start = datetime.fromisoformat(record.trace.start) if record.trace.start else _EPOCH
    # Cron knows minutes: rather one too early.
    return start + timedelta(seconds=60 * math.floor(seconds / 60))


def _cron(record: AutoscaleRecord, seconds: float) -> str:
    when = _moment(record, max(0.0, seconds) if _dated(record) else seconds)
    if _dated(record):
        return f"{when.minute} {when.hour} {when.day} {when.month} *"
    if record.trace.seconds <= DAY:
        return f"{when.minute} {when.hour} * * *"
    return f"{when.minute} {when.hour} * * {when.isoweekday() % 7}"


def _said(record: AutoscaleRecord, floor: Floor) -> str:
    ends = [_moment(record, seconds) for seconds in (floor.start_s, floor.end_s)]
    if _dated(record):
        texts = [f"{when:%Y-%m-%d %H:%M}" for when in ends]
    elif record.trace.seconds <= DAY:
        texts = [f"{when:%H:%M}" for when in ends]
    else:
        texts = [f"{_WEEK[when.weekday()]} {when:%H:%M}" for when in ends]
    return f"{texts[0]} to {texts[1]} UTC"


@cache
def _environment() -> Environment:
    import jinja2

    # YAML, no HTML: what comes from people is made one line (comments) or checked (names).
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
    )
    found.filters.update(line=_line, whole=_whole, plain=_plain, milli=_milli)
    return found


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _whole(value: float) -> str:
    return str(round(value))


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _milli(value: float) -> str:
    """Return a quantity of Kubernetes: whole, or in thousandths."""
    return str(round(value)) if value == round(value) else f"{math.floor(value * 1000 + 1e-6)}m"
