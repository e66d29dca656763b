"""The Prometheus text of what each model did in each role, and of how shadows differ.

The labels are those of the slots, of which there is a bounded number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from afterfit.runtime.metrics import Metrics, escape, header
from afterfit.runtime.slots import OTHER, Slot
from afterfit.runtime.tally import ModelTotals, PairTotals

__all__ = ["model_lines"]

Model = tuple[str, ModelTotals]
Pair = tuple[str, PairTotals]


def model_lines(metrics: Metrics, slots: Sequence[Slot]) -> str:
    """Return the lines, with a line break after each."""
    models = [
        (_labels(slot), metrics.model_totals(slot.index))
        for slot in slots
        if slot.key.role != "pair"
    ]
    other = metrics.model_totals(None)
    if other.requests or other.failed:
        models.append((f'model="{OTHER}",version="",role="{OTHER}"', other))
    pairs = [
        (_pair_labels(slot), metrics.pair_totals(slot.index))
        for slot in slots
        if slot.key.role == "pair"
    ]
    lines = [*_models(models), *_pairs(pairs)]
    return "".join(f"{line}\n" for line in lines)


def _models(models: Sequence[Model]) -> Iterator[str]:
    yield from _metric(
        "afterfit_model_rows_total", "counter", "Rows that a model answered, by role.", models,
        lambda total: total.rows,
    )  # fmt: skip
    yield from _metric(
        "afterfit_model_calls_total", "counter", "Calls of a model, each of one batch.", models,
        lambda total: total.calls,
    )  # fmt: skip
    yield from _metric(
        "afterfit_model_failed_total", "counter", "Requests that a model did not answer.", models,
        lambda total: total.failed,
    )  # fmt: skip
    yield from _metric(
        "afterfit_model_ood_total", "counter", "Rows unlike the reference as a whole.", models,
        lambda total: total.ood,
    )  # fmt: skip
    name = "afterfit_model_request_seconds"
    yield from header(name, "summary", "From the last byte of a request to its answer, by model.")
    for labels, total in models:
        yield f"{name}_sum{{{labels}}} {total.seconds:.9g}"
        yield f"{name}_count{{{labels}}} {total.requests:.0f}"
    yield from header(
        "afterfit_stand_in_total", "counter", "Requests that a stand-in answered, by reason."
    )
    for labels, total in models:
        for reason in ("busy", "late", "defect"):
            value = getattr(total, reason)
            if value:
                yield f'afterfit_stand_in_total{{{labels},reason="{reason}"}} {value:.0f}'


def _pairs(pairs: Sequence[Pair]) -> Iterator[str]:
    told: list[tuple[str, str, str, Callable[[PairTotals], float]]] = [
        ("rows_total", "counter", "Rows that a shadow and the primary answered.", _rows),
        ("flips_total", "counter", "Rows that the shadow gives another class.", _flips),
        ("difference_sum", "counter", "Sum of the absolute differences of scores.", _absolute),
        ("difference_max", "gauge", "Greatest absolute difference of scores.", _largest),
        ("dropped_total", "counter", "Rows that the shadow had no time for.", _dropped),
        ("failed_total", "counter", "Rows that the shadow gave no answer to.", _failed),
    ]
    for name, kind, text, value in told if pairs else ():
        yield from header(f"afterfit_shadow_{name}", kind, text)
        for labels, total in pairs:
            yield f"afterfit_shadow_{name}{{{labels}}} {value(total):.9g}"


def _metric(
    name: str,
    kind: str,
    text: str,
    models: Iterable[Model],
    value: Callable[[ModelTotals], float],
) -> Iterator[str]:
    yield from header(name, kind, text)
    for labels, total in models:
        yield f"{name}{{{labels}}} {value(total):.0f}"


def _labels(slot: Slot) -> str:
    model = escape(slot.key.model)
    return f'model="{model}",version="{slot.number}",role="{slot.key.role}"'


def _pair_labels(slot: Slot) -> str:
    return f'model="{escape(slot.key.model)}",version="{slot.number}",primary="{slot.against}"'


def _rows(total: PairTotals) -> float:
    return total.rows


def _flips(total: PairTotals) -> float:
    return total.flips


def _absolute(total: PairTotals) -> float:
    return total.absolute


def _largest(total: PairTotals) -> float:
    return total.largest


def _dropped(total: PairTotals) -> float:
    return total.dropped


def _failed(total: PairTotals) -> float:
    return total.failed
