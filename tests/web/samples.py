"""A workspace with something on every page, from made-up records and a real registry and store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tests.registry.conftest import SIGNATURE
from tests.report import samples

from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.metric import Metric
from afterfit.monitor.store import Change, open_store
from afterfit.records.signals import Alarm, Delivery, Scope, SignalPoint
from afterfit.web.app import application
from afterfit.web.guard import Door, Hosts
from afterfit.web.site import Site, kept_by_monitor

HOUR = 3_600_000_000
NOW = 1_795_000_000_000_000 // HOUR * HOUR
"""µs: the end of the last window."""
WINDOWS = 48
MODEL, SUBJECT = "churn", "tenure_months"


def bundle(folder: Path, content: bytes) -> Path:
    """A bundle that the registry takes."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.onnx").write_bytes(content)
    variant = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model/model.onnx")
    (folder / "signature.json").write_bytes(canonical_json(SIGNATURE))
    (folder / "variant.json").write_bytes(canonical_json(variant))
    fingerprint = Fingerprint(n_ref=0, seed=0, columns=[])
    (folder / "fingerprint.json").write_bytes(canonical_json(fingerprint))
    write_manifest(folder)
    return folder


def filled(folder: Path, hostile: str = "") -> Path:
    """A workspace with two versions, their records, a promotion, a rollback and alarms."""
    folder.mkdir(parents=True)
    site = Site(folder)
    records = samples.all_records(hostile)
    kept = {step: site.records.add(stored) for step, stored in records.items()}
    site.records.add(samples.stored(samples.monitor_record(hostile)))
    evidence = {step: stored.digest for step, stored in kept.items()}
    for place in (1, 2):
        made = bundle(folder / f"made-{place}", f"model {place}".encode())
        version = site.registry.register(MODEL, made, who="ana", evidence=evidence)
        shipped = samples.ship_record(name=MODEL, records=kept, why=hostile)
        shipped = msgspec.structs.replace(shipped, version=version.number)
        site.records.add(samples.stored(shipped))
        site.registry.promote(MODEL, place, who="ana", why=hostile or f"release {place}")
    site.registry.promote(MODEL, 1, "challenger", who="ben", why="compare with the old one")
    site.registry.rollback(MODEL, who="ben", why=hostile or "complaints since noon")
    watched(folder, hostile)
    return folder


def watched(folder: Path, hostile: str = "") -> None:
    """What a monitor would have kept: two days of windows, and three alarms."""
    store = open_store("", folder / "monitor")
    points = [*drift_points(hostile), *performance_points(), *latency_points()]
    store.commit("shop", Change(points=points, alarms=list(alarms(points))))
    store.close()


def scope(part: str = "") -> Scope:
    """The second version on an endpoint."""
    return Scope(endpoint="shop", model=MODEL, version=2, digest=samples.BUNDLE, slice=part)


def span(place: int) -> dict[str, Any]:
    """The hour of a window."""
    return {"start": NOW - (WINDOWS - place) * HOUR, "end": NOW - (WINDOWS - place - 1) * HOUR}


def drift_points(hostile: str = "") -> Iterator[SignalPoint]:
    """Three columns of which one moves after a day, and one with categories that does."""
    random = np.random.default_rng(7)
    edges = np.linspace(2, 60, 15).round(1).tolist()
    for name, moved in ((SUBJECT, 0.21), (hostile or "plan", 0.12), ("age", 0.0), ("region", 0.0)):
        for place in range(WINDOWS):
            late = place >= WINDOWS // 2
            value = float(abs(random.normal(0.02, 0.006)) + moved * late)
            alarm = late and moved > 0
            evidence: dict[str, Any] = {}
            if alarm and name == SUBJECT:
                before = np.full(16, 1 / 16)
                after = before * np.linspace(2, 0.1, 16)
                evidence = {"edges": edges, "before": before.tolist()}
                evidence["after"] = (after / after.sum()).tolist()
            elif alarm:
                kinds = ["basic", hostile or "family", "premium", "rare or new"]
                evidence = {"categories": kinds, "before": [0.5, 0.3, 0.2, 0.0]}
                evidence["after"] = [0.38, 0.3, 0.2, 0.12]
            yield SignalPoint(
                signal="drift",
                subject=name,
                scope=scope(),
                n=int(random.integers(900, 1100)),
                state="alarm" if alarm else "ok",
                value=value,
                usual=0.0,
                threshold=0.08,
                least=0.05,
                unit="share of rows",
                message=f"{value:.2f} of the rows lie elsewhere" if alarm else "",
                loss=Metric(name="roc_auc", value=0.021, low=0.008, high=0.034, n=1000)
                if alarm
                else None,
                evidence=evidence,
                **span(place),
            )


def performance_points() -> Iterator[SignalPoint]:
    """An AUC that falls a little, with too few labels in the last windows."""
    for place in range(WINDOWS):
        few = place >= WINDOWS - 4
        value = 0.91 - 0.02 * (place > WINDOWS // 2) + 0.004 * ((place * 7) % 5 - 2)
        yield SignalPoint(
            signal="performance",
            subject="roc_auc",
            scope=scope(),
            n=40 if few else 700,
            state="insufficient" if few else "ok",
            value=None if few else value,
            low=None if few else value - 0.018,
            high=None if few else value + 0.018,
            usual=0.912,
            threshold=0.86,
            needed=200,
            **span(place),
        )


def latency_points() -> Iterator[SignalPoint]:
    """Latencies whose tail grows."""
    edges = [0.25 * 2 ** (k / 2) for k in range(15)]
    for place in range(WINDOWS):
        heavy = np.exp(-0.5 * ((np.arange(14) - 4 - 0.06 * place) / (1.2 + 0.02 * place)) ** 2)
        counts = (heavy * 4000).astype(int).tolist()
        for subject, value in (("infer_p50", 1.1), ("infer_p99", 4.0 + place / 10)):
            evidence = {"edges_ms": edges, "counts": counts} if subject == "infer_p50" else {}
            yield SignalPoint(
                signal="latency",
                subject=subject,
                scope=scope(),
                n=sum(counts),
                state="ok",
                value=value,
                low=value * 0.97,
                high=value * 1.04,
                unit="ms",
                evidence=evidence,
                **span(place),
            )


def alarms(points: list[SignalPoint]) -> Iterator[Alarm]:
    """One that lasts and was told, one that waits, and one that is over."""
    drifted = [point for point in points if point.state == "alarm"]
    by_subject = {point.subject: point for point in drifted}
    opened = NOW - WINDOWS // 2 * HOUR
    for place, (subject, worst) in enumerate(by_subject.items()):
        deliveries = (
            Delivery(channel="slack", at=opened + HOUR // 6, state="failed", message="timeout"),
            Delivery(channel="slack", at=opened + HOUR // 3, state="sent", attempt=2),
            Delivery(channel="rollback", at=opened + HOUR, state="dry_run", message="to version 1"),
        )
        yield Alarm(
            signal="drift",
            subject=subject,
            scope=scope(),
            state="pending" if place else "firing",
            severity="medium" if place else "high",
            opened=opened + place * HOUR,
            updated=NOW,
            windows=24 - place,
            worst=worst,
            runbook="M070",
            deliveries=() if place else deliveries,
        )
    yield Alarm(
        signal="drift",
        subject="age",
        scope=scope(),
        state="resolved",
        severity="low",
        opened=NOW - 300 * HOUR,
        updated=NOW - 290 * HOUR,
        resolved=NOW - 290 * HOUR,
        worst=drifted[0],
    )


def site_of(folder: Path) -> Site:
    """The site of a workspace, with what its monitor keeps."""
    return Site(folder, monitor=lambda: kept_by_monitor(folder), clock=lambda: NOW / 1e6)


@dataclass
class Answer:
    """What came back; names of headers in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.body)


class Browser:
    """Asks the application itself, with no server between; keeps its cookies when told to."""

    def __init__(
        self,
        site: Site,
        *,
        bound: str = "127.0.0.1",
        names: tuple[str, ...] = (),
        door: Door | None = None,
    ) -> None:
        self.app = application(site, Hosts(bound, frozenset(names)), door or Door())

    def get(self, path: str, **headers: str) -> Answer:
        """The answer to a GET."""
        return self.ask("GET", path, headers)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """The answer; ``_`` in the name of a header stands for ``-``."""
        told = {"host": "127.0.0.1:8090"}
        told |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        raw, _, query = path.partition("?")
        pairs = [(k.encode(), v.encode()) for k, v in told.items()]
        asked = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": _unquoted(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": pairs,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8090),
        }
        return asyncio.run(_exchange(self.app, asked, body))


async def _exchange(app: Any, asked: dict[str, Any], body: bytes) -> Answer:
    answer = Answer()
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(asked, receive, send)
    return answer


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)
