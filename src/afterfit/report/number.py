"""Numbers as people read them: three significant digits, a unit, an interval and a sample size."""

from __future__ import annotations

import math

from afterfit.core.formulae import FORMULAE
from afterfit.core.gate import GateResult
from afterfit.core.metric import Metric

DIGITS = 3
MOST_NEEDED, NEEDED_DIGITS = 1_000_000, 2
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
HARD_SPACE = "\N{NO-BREAK SPACE}"

_UNITS = frozenset({"us", "ms", "s", "rps", "bytes"})
_WORDS = {"us": "µs", "requests_per_s": "requests/s", "rps": "requests/s"}
_TITLES = {"p50": "median", "onnx": "ONNX"}


def count(value: int) -> str:
    """Return a whole number with thousands separated: ``16,281``."""
    return f"{value:,}"


def needed_count(value: int) -> str:
    """Return about how many would do, rounded up to two digits: ``4,000``.

    Beyond a million the number only says that there is next to nothing to see.
    """
    if value > MOST_NEEDED:
        return "more than 1 million"
    scale = 10 ** max(0, len(str(value)) - NEEDED_DIGITS)
    return count(math.ceil(value / scale) * scale)


def needed(value: int) -> str:
    """Return about how many rows would do: ``4,000 rows``."""
    beyond = ": this gap is too small to settle" if value > MOST_NEEDED else ""
    return f"{needed_count(value)} row{'' if value == 1 else 's'}{beyond}"


def plural(value: int, word: str, words: str = "") -> str:
    """Return a count with its noun: ``1 row``, ``2 rows``."""
    return f"{count(value)} {word if value == 1 else words or word + 's'}"


def decimals(value: float, digits: int = DIGITS) -> int:
    """Return how many decimals show ``digits`` significant digits; more just below 1.

    0.99987 would read as a perfect 1.00, so there the first digit of the distance to 1 is kept.
    """
    if value == 0 or not math.isfinite(value):
        return 0
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if 0 < abs(value) < 1 and round(abs(value), max(0, places)) == 1:
        places = -math.floor(math.log10(1 - abs(value)) + 1e-9)
    return max(0, min(places, 12))


def plain(value: float | None, *, places: int | None = None) -> str:
    """Return a number with three significant digits, or ``places`` decimals, without a unit."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if places is None:
        if value != 0 and not 1e-4 <= abs(value) < 1e9:
            return f"{value:.3g}"
        places = decimals(value)
    if abs(value) >= 1000:
        value = _significant(value)
    return f"{value:,.{places}f}".replace("-", MINUS)


def _significant(value: float) -> float:
    scale = 10 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return float(round(value / scale) * scale)


def unit_word(unit: str) -> str:
    """Return a unit as it is printed: ``us`` is ``µs``."""
    return _WORDS.get(unit, unit)


def number(value: float | None, unit: str = "") -> str:
    """Return a number with its unit: ``12.3 ms``, ``1.20 MB``, ``0.812``."""
    if value is None or math.isnan(value):
        return NOTHING
    if unit == "bytes":
        return size(value)
    word = unit_word(unit)
    return f"{plain(value)} {word}".rstrip()


def size(value: float) -> str:
    """Return a number of bytes: ``812 B``, ``1.20 MB`` (powers of 1000)."""
    if value < 1000:
        return f"{value:.0f} B"
    for name, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if value < scale * 1000 or name == "GB":
            return f"{plain(value / scale)} {name}"
    raise AssertionError


def seconds(value: float) -> str:
    """Return a duration: ``0.20 s``, ``12 s``, ``2 min 5 s``."""
    if value < 10:
        return f"{value:.2g} s" if value >= 0.001 else "< 1 ms"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def age(seconds: float) -> str:
    """Return how old something is, in its largest whole unit: ``12 s``, ``3 min``, ``2 d``."""
    for unit, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {word}"
    return f"{max(0.0, seconds):.0f} s"


def metric_text(metric: Metric | None, *, n: bool = False) -> str:
    """Return a metric as one reads it: ``0.812 [0.801, 0.823]``, with n where asked."""
    if metric is None or metric.value is None:
        return NOTHING if metric is None else f"not computed{_reason(metric)}"
    text = number(metric.value, metric.unit)
    spread = interval_text(metric)
    sample = f" (n = {count(metric.n)})" if n and metric.n else ""
    return f"{text} {spread}".rstrip() + sample


def _reason(metric: Metric) -> str:
    return f" ({metric.method})" if metric.method else ""


def interval_text(metric: Metric) -> str:
    """Return the bounds with as many decimals as the value: ``[0.801, 0.823]``; or nothing."""
    if metric.value is None or metric.low is None or metric.high is None:
        return ""
    if metric.unit == "bytes":
        return f"[{size(metric.low)}, {size(metric.high)}]"
    places = decimals(metric.value)
    low, high = (
        plain(bound, places=_bound_places(bound, places)) for bound in (metric.low, metric.high)
    )
    return f"[{low}, {high}]"


def _bound_places(bound: float, places: int) -> int:
    """Return the value's decimals, or more where the bound would read as exactly 0 or 1."""
    reads_exact = 0 < abs(bound) < 1 and round(abs(bound), places) in (0, 1)
    return decimals(bound, 1) if reads_exact else places


def level_text(metric: Metric) -> str:
    """Return how sure the interval is: ``95 % interval, n = 16,281``."""
    parts = []
    if metric.low is not None and metric.high is not None:
        parts.append(f"{metric.level * 100:g}{HARD_SPACE}% interval {interval_text(metric)}")
    if metric.n:
        parts.append(f"n = {count(metric.n)}".replace(" ", HARD_SPACE))
    return ", ".join(parts)


def gate_value(result: GateResult) -> str:
    """Return what a gate looked at, with enough digits to tell it from its limit."""
    if result.value is None:
        return NOTHING
    unit = result.metric.unit if result.metric else ""
    if unit == "bytes":
        return number(result.value, unit)
    text = plain(result.value)
    for places in range(decimals(result.value), 13):
        text = plain(result.value, places=places)
        if round(result.value, places) != result.limit or result.value == result.limit:
            break
    return f"{text} {unit_word(unit)}".rstrip()


def metric_title(name: str) -> str:
    """Return what a metric is called: ``ROC AUC``, ``latency p99``; unknown names lose their _."""
    if name in FORMULAE:
        return FORMULAE[name].title
    words = [_TITLES.get(word, word) for word in name.split("_")]
    if len(words) > 1 and words[-1] in _UNITS:
        words.pop()
    return " ".join(words)
