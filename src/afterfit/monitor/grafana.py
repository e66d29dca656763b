"""A dashboard for Grafana from the names at ``/metrics``: to import, or to provision as a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from afterfit.core.gate import Gate
from afterfit.monitor.gates import LATENCY
from afterfit.monitor.prometheus import ALL, BUCKET, FAILED

__all__ = ["dashboard", "dashboard_file"]

SCHEMA = 39
"""The version of Grafana's dashboard model (10.4 and later read it)."""
WIDTH, HEIGHT = 12, 8


class Panel(NamedTuple):
    """A plot: its title, Grafana's unit, and (expression, legend) of each line."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    limit: float | None = None


def dashboard(gates: Iterable[Gate] = ()) -> dict[str, Any]:
    """Return the dashboard as plain values; limits of gates are drawn as thresholds."""
    panels = [_panel(place, each) for place, each in enumerate(_panels(list(gates)))]
    source = {
        "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "hide": 0, "refresh": 1, "current": {}, "options": [],
    }  # fmt: skip
    return {
        "uid": "afterfit",
        "title": "Afterfit",
        "tags": ["afterfit"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def dashboard_file(gates: Iterable[Gate] = ()) -> bytes:
    """Return the dashboard as JSON."""
    return msgspec.json.format(msgspec.json.encode(dashboard(gates)), indent=2) + b"\n"


def _panels(gates: list[Gate]) -> list[Panel]:
    quantiles = tuple(
        (f"histogram_quantile({q:g}, sum by (le) (rate({BUCKET}[5m])))", f"p{100 * q:g}")
        for q in (0.5, 0.95, 0.99)
    )
    by_model = "sum by (model, version, role) (rate({}[5m]))"
    legend = "{{model}}@{{version}} {{role}}"
    mean = (
        f"{by_model.format('afterfit_model_request_seconds_sum')}"
        f" / {by_model.format('afterfit_model_request_seconds_count')}"
    )
    shadow = "sum by (model, version) (rate(afterfit_shadow_{}_total[5m]))"
    flips = f"{shadow.format('flips')} / {shadow.format('rows')}"
    return [
        Panel("Requests", "reqps", ((f"sum by (route) (rate({ALL}[5m]))", "{{route}}"),)),
        Panel("Latency", "s", quantiles, _limit(gates, LATENCY, 1000.0)),
        Panel(
            "Requests that fail", "percentunit",
            ((f"sum(rate({FAILED}[5m])) / sum(rate({ALL}[5m]))", "5xx"),),
            _limit(gates, ("error_rate",), 1.0),
        ),
        Panel("Workers that are ready", "short",
              (("sum by (instance) (afterfit_workers_ready)", "{{instance}}"),)),
        Panel("Rows by model", "rowsps",
              ((by_model.format("afterfit_model_rows_total"), legend),)),
        Panel("Mean latency by model", "s", ((mean, legend),)),
        Panel("Unusual rows", "rowsps",
              (("sum by (flag) (rate(afterfit_rows_flagged_total[5m]))", "{{flag}}"),)),
        Panel("Rows unlike the reference", "rowsps",
              ((by_model.format("afterfit_model_ood_total"), legend),)),
        Panel("Shadows that decide otherwise", "percentunit",
              ((flips, "{{model}}@{{version}}"),)),
        Panel("Events that were lost", "short",
              (("increase(afterfit_events_dropped_total[5m])", "queue full"),
               ("increase(afterfit_events_failed_total[5m])", "sink failed"))),
    ]  # fmt: skip


def _limit(gates: list[Gate], names: Iterable[str], divisor: float) -> float | None:
    """Return the strictest upper limit that a gate sets."""
    known = set(names)
    limits = [g.limit / divisor for g in gates if g.metric in known and g.op in ("<", "<=")]
    return min(limits, default=None)


def _panel(place: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {
            "x": place % 2 * WIDTH, "y": place // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {
                    "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
                },
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": expr, "legendFormat": legend}
            for i, (expr, legend) in enumerate(panel.lines)
        ],
    }  # fmt: skip
