"""The metrics that each step gives, by the names that gates use: a closed list.

``docs/reference/metrics.md`` says what each of them is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from afterfit.core.gate import Gate, GateResult, evaluate
from afterfit.core.metric import Metric
from afterfit.errors import ConfigError

__all__ = ["CLASSIFICATION", "METRICS", "REGRESSION", "is_alarm", "judged", "require_known"]

CLASSIFICATION = (
    "roc_auc",
    "pr_auc",
    "f1",
    "precision",
    "recall",
    "accuracy",
    "balanced_accuracy",
    "mcc",
    "log_loss",
    "brier",
)
REGRESSION = ("mae", "rmse", "r2", "quantile_loss")
MONITOR = "monitor"
METRICS: dict[str, tuple[str, ...]] = {
    "assess": (
        *CLASSIFICATION,
        *REGRESSION,
        "baseline_lift",
        "linear_lift",
        "champion_lift",
        "repeated_share",
        "wrong_label_share",
        "calibration_error",
        "calibration_slope",
        "calibration_intercept",
        "mean_error",
        "expected_cost",
        "cost_saving",
    ),
    "optimize": (
        "latency_p50_us",
        "latency_p99_us",
        "onnx_speedup",
        "parity_max_difference",
        "certified_drop",
        "log_loss_gain",
        "brier_gain",
    ),
    "package": ("ood_auroc", "ood_fpr95", "ood_false_flags"),
    "robustness": (
        "failed_cases",
        "monotone_breaks",
        "noise_drop",
        "missing_drop",
        "swap_drop",
        "unit_drop",
        "text_drop",
        "image_drop",
        "regressed_cases",
        "flip_share_010",
        "flip_share_025",
        "flip_share_050",
        "flip_share_100",
        "flip_distance",
    ),
    "loadtest": (
        "latency_p50_ms",
        "latency_p90_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "throughput_rps",
        "error_rate",
        "sustained_rps",
        "certified_rps",
        "queue_model_rps",
        "headroom",
        "replicas",
        "replicas_spare",
        "replicas_zone",
        "memory_slope_mb_min",
        "cold_start_s",
        "cold_start_process_s",
        "cold_start_load_s",
        "cold_start_first_ms",
        "cold_start_usual_ms",
        "latency_p50_ratio",
        "latency_p95_ratio",
        "latency_p99_ratio",
        "sustained_rps_ratio",
        "error_rate_difference",
    ),
    MONITOR: (
        *CLASSIFICATION,
        *REGRESSION,
        "labelled_share",
        "queue_p50_us",
        "queue_p95_us",
        "queue_p99_us",
        "infer_p50_us",
        "infer_p95_us",
        "infer_p99_us",
        "unanswered_share",
        "domain_auc",
        "structure_auc",
        "range_share",
        "new_category_share",
        "missing_share",
        "ood_share",
    ),
}


def require_known(gate: Gate, *, where: str = "") -> None:
    """Do nothing for a gate on what some step gives; raises ConfigError with the nearest names."""
    step, metric = gate.step, gate.metric
    known = METRICS.get(step, ()) if step else _all()
    if metric in known:
        return
    message = f"{step} gives no metric {metric!r}" if step else f"no step gives a metric {metric!r}"
    why = _instead(metric, known)
    if step and not known:
        message, why = f"no step {step!r} gives metrics", _instead(step, tuple(METRICS))
    elif elsewhere := _givers(metric):
        why = f"it is a metric of {' and '.join(elsewhere)}"
    fix = 'name a metric of docs/reference/metrics.md, for example: "loadtest.latency_p99_ms <= 20"'
    raise ConfigError(message, where=where, why=why, fix=fix)


def judged(gate: Gate, evidence: Mapping[str, Sequence[Metric]]) -> GateResult:
    """Return what a gate says of metrics by step; a known metric that none has names its steps."""
    result = evaluate(gate, evidence)
    steps = [gate.step] if gate.step else [step for step in _givers(gate.metric) if step != MONITOR]
    if result.outcome != "missing" or result.metric is not None or not steps:
        return result
    ran = " and ".join(step for step in steps if step in evidence)
    why = f"{ran} gave no {gate.metric}" if ran else f"there is no record of {' or '.join(steps)}"
    return msgspec.structs.replace(result, why=why)


def is_alarm(gate: Gate) -> bool:
    """Return whether a gate speaks of live rows alone, so that no promotion can wait for it."""
    return MONITOR in (gate.step, *_givers(gate.metric)[:1])


def _all() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in METRICS.values() for name in names))


def _givers(metric: str) -> tuple[str, ...]:
    """Return the steps that give a metric, in the order of the line."""
    return tuple(step for step, names in METRICS.items() if metric in names)


def _instead(word: str, known: tuple[str, ...]) -> str:
    """Return the names that were probably meant, or all that there are."""
    close = difflib.get_close_matches(word, known, n=3)
    akin = [name for name in known if word in name or name in word]
    near = list(dict.fromkeys([*close, *akin]))
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near[:4])}?"
    return f"there are: {', '.join(known)}"
