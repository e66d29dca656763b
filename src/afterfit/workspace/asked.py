"""What a person asked of each step, by the call's own words and by the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from afterfit.config import Config
from afterfit.inspect.config import InspectConfig
from afterfit.workspace.sources import Sources

_ROLES = ("data.entity", "data.group", "data.target", "data.time")
_EFFORT = ("line.effort", "line.seed")
_COSTS = ("cost.false_negative", "cost.false_positive", "cost.true_negative", "cost.true_positive")
ASKED: dict[str, tuple[str, ...]] = {
    "inspect": ("model.classes", "model.positive", "model.task", "model.threshold", *_ROLES),
    "assess": (
        *_EFFORT,
        *_COSTS,
        "compare.margin",
        "fairness.columns",
        "line.folds",
        "line.refit",
        "model.name",
        *_ROLES,
    ),
    "optimize": (
        *_EFFORT,
        "line.goal",
        "optimize.allow",
        "optimize.batch",
        "optimize.budget",
        "optimize.max_drop",
        "optimize.metric",
    ),
    "package": ("line.seed", "ood.rate", "ood.scorer"),
    "robustness": (*_EFFORT, "model.name", "robustness.fixed", "robustness.monotone"),
    "loadtest": (
        *_EFFORT,
        "loadtest.budget",
        "loadtest.confidence",
        "loadtest.expected_rps",
        "loadtest.seconds",
        "loadtest.slo",
        "serve.threads",
        "serve.workers",
    ),
}
"""The settings that concern each step; every setting but paths concerns the whole line."""
PATHS = ("data.data", "data.train", "model.code", "serve.client_ca", "serve.keys",
         "serve.tls_cert", "serve.tls_key", "workspace")  # fmt: skip


def asked_of(step: str, sources: Sources, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person asked of a step: the call's own words before those of the configuration.

    Paths are no part of it: the digests of what they held are.
    """
    said = {
        "data.target": sources.target if isinstance(sources.target, str) else None,
        "model.classes": list(sources.classes) or None,
        "model.positive": sources.positive,
        "model.task": sources.task,
        "model.threshold": sources.threshold,
    }
    said = {**given, **{name: value for name, value in said.items() if value is not None}}
    wanted = ASKED[step] if step in ASKED else tuple(name for name in said if name not in PATHS)
    return {name: said[name] for name in sorted(said) if name in wanted}


def inspect_config(sources: Sources, config: Config) -> InspectConfig:
    """Return what inspect is asked: the call's own words before those of the configuration."""
    model = config.model
    return InspectConfig(
        task=sources.task or model.task,
        classes=sources.classes or model.classes,
        positive=model.positive if sources.positive is None else sources.positive,
        threshold=model.threshold if sources.threshold is None else sources.threshold,
    )


def replace_seconds(config: Any) -> Any:
    """Return a step's settings without its time budget, which JSON cannot hold when unbounded."""
    return msgspec.structs.replace(config, seconds=0.0)
