"""The blocks about rows unlike the reference: how they are told, and how well."""

from __future__ import annotations

from afterfit.core.metric import Metric, find, in_digits
from afterfit.records.package import PackageRecord, ScorerRecord
from afterfit.report import number
from afterfit.report.page import Block, Chart, Details, Intervals, Range, Text
from afterfit.report.parts import key_values, table

__all__ = ["unlike"]

METHODS = {
    "distance": "distance to the nearest centre of like rows, correlations taken out",
    "mahalanobis": "Mahalanobis distance, shrunk covariance",
    "forest": "isolation forest",
    "softmax": "1 less the probability of the likeliest class",
}
PARTS = {
    "fit": "fitted",
    "choose": "method chosen",
    "calibrate": "threshold set",
    "check": "measured below",
}


def unlike(record: PackageRecord) -> tuple[Block, ...]:
    """Return how rows unlike the reference are flagged; nothing for a bundle without a scorer."""
    scorer, metrics = record.scorer, record.metrics
    if scorer is None:
        return ()
    blocks: list[Block] = [
        Text(
            "Rows that are unlike the reference as a whole get the flag ood in their events. "
            "How well is measured on reference rows that nothing was decided by, and on rows made "
            "up of them."
        ),
        key_values(
            ("Scored by", METHODS.get(scorer.method, scorer.method)),
            ("Usual rows flagged", _share(metrics, "scorer", f"asked {in_digits(scorer.rate)}")),
            ("Evaluation rows flagged", _share(metrics, "evaluation rows", "")),
            ("AUROC, all made-up rows", _value(find(metrics, "ood_auroc", "scorer"))),
            (
                "Usual rows flagged, were 95 % of the made-up ones",
                _value(find(metrics, "ood_fpr95", "scorer")),
            ),
        ),
    ]
    kinds = [metric for metric in metrics if metric.scope.startswith("scorer:")]
    if kinds:
        blocks.append(_kinds(kinds, scorer))
    blocks.append(_how(metrics, scorer))
    return tuple(blocks)


def _kinds(kinds: list[Metric], scorer: ScorerRecord) -> Chart:
    names = [metric.scope.partition(":")[2] for metric in kinds]
    rows = [
        [scorer.kinds.get(name, name), _plain(metric.value), number.interval_text(metric), metric.n]
        for name, metric in zip(names, kinds, strict=True)
    ]
    ranges = [
        Range(name, "AUROC", metric.value, metric.low, metric.high)
        for name, metric in zip(names, kinds, strict=True)
        if metric.value is not None and metric.low is not None and metric.high is not None
    ]
    return Chart(
        title="Which rows are told from usual ones",
        description="AUROC by kind of made-up row with its 95 % interval: 1 is always, 0.5 is by "
        "chance.",
        drawing=Intervals(tuple(ranges), x_title="AUROC"),
        table=table(
            ("Made-up rows", "AUROC", "95 % interval", "Rows"),
            rows,
            caption="AUROC by kind of made-up row",
            numeric=(1, 3),
        ),
    )


def _how(metrics: tuple[Metric, ...], scorer: ScorerRecord) -> Details:
    tried = [m for m in metrics if m.scope.startswith("candidate:") and m.name == "ood_auroc"]
    rows = [[*_candidate(metric, metrics)] for metric in tried]
    columns = ("Method", "AUROC", "95 % interval", "Usual rows flagged at 95 %", "Rows")
    counts = ", ".join(
        f"{word} by {number.count(scorer.rows[name])}"
        for name, word in PARTS.items()
        if name in scorer.rows
    )
    left_out = "; ".join(f"{METHODS.get(n, n)}: {why}" for n, why in scorer.left_out.items())
    shape = " \N{MULTIPLICATION SIGN} ".join(map(str, scorer.image))
    return Details(
        "How the method was chosen",
        (
            table(columns, rows, numeric=(1, 3, 4)),
            key_values(
                ("Reference rows", counts),
                ("Not tried", left_out),
                ("Taken for an image of", shape),
                ("Features", scorer.features),
                ("Threshold", f"{scorer.threshold:g}"),
            ),
        ),
    )


def _candidate(metric: Metric, metrics: tuple[Metric, ...]) -> tuple[object, ...]:
    name = metric.scope.partition(":")[2]
    mistaken = find(metrics, "ood_fpr95", metric.scope)
    return (
        METHODS.get(name, name),
        _plain(metric.value),
        number.interval_text(metric),
        "" if mistaken is None or mistaken.value is None else in_digits(mistaken.value),
        metric.n,
    )


def _value(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return ""
    return f"{_plain(metric.value)} ({number.level_text(metric)})"


def _share(metrics: tuple[Metric, ...], scope: str, more: str) -> str:
    metric = find(metrics, "ood_false_flags", scope)
    if metric is None or metric.value is None or metric.low is None or metric.high is None:
        return ""
    sure = f"95 % interval [{in_digits(metric.low)}, {in_digits(metric.high)}]"
    parts = [sure, f"n = {number.count(metric.n)}", *([more] if more else [])]
    return f"{in_digits(metric.value)} ({', '.join(parts)})"


def _plain(value: float | None) -> str:
    return number.plain(value, places=3)
