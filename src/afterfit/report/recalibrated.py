"""What a map behind the probabilities changes, and where the threshold went."""

from __future__ import annotations

from collections.abc import Mapping

from afterfit.core.metric import Metric
from afterfit.core.signature import Signature
from afterfit.records.assess_calibration import LossChange
from afterfit.records.codec import Stored
from afterfit.records.optimize import OptimizeRecord, Recalibrated
from afterfit.report import number
from afterfit.report.page import Block, Cell, Tone
from afterfit.report.parts import key_values, table

__all__ = ["MAPS", "decided", "recalibration"]

MAPS = {
    "temperature": "temperature",
    "platt": "Platt's line",
    "isotonic": "rising line (isotonic)",
}
_TITLES = {"log_loss": "Log loss", "brier": "Brier score"}
_TONES: dict[str, Tone] = {"helps": "good", "hurts": "bad"}


def decided(signature: Signature, records: Mapping[str, Stored]) -> Signature:
    """Return the signature of what ships, with the threshold that a map may have moved."""
    body = records["optimize"].body if "optimize" in records else None
    return body.decides(signature) if isinstance(body, OptimizeRecord) else signature


def recalibration(record: OptimizeRecord) -> tuple[Block, ...]:
    """Return the map with its verdict and what it changes; nothing where none was fitted."""
    found = record.recalibrated
    if found is None:
        return ()
    told = ", ".join(f"{name} {number.plain(v)}" for name, v in found.map.parameters.items())
    ships = "ships" if found.variant == record.chosen else "does not ship"
    verdict = Cell(f"{found.verdict}; {ships}", _TONES.get(found.verdict, "muted"))
    return (
        key_values(
            ("Map of the probabilities", f"{MAPS[found.map.method]} ({told})"),
            ("Behind", Cell(found.base, code=True)),
            ("Verdict", verdict),
            ("Threshold", _threshold(found)),
            ("Rows that fitted it", found.fitted),
        ),
        table(
            ("", "Without the map ↓", "With it ↓", "Gained"),
            [_row(change) for change in found.map.losses],
            caption="What the map changes",
            numeric=(1, 2, 3),
            note=f"On {number.plural(found.judged, 'row')} that neither trained the model, as far "
            f"as its training table tells, nor fitted the map; gains are paired, with "
            f"{found.map.losses[0].gain.level * 100:g} % intervals.",
        ),
    )


def _threshold(found: Recalibrated) -> str:
    if found.threshold is None:
        return "as it was: the map leaves every label"
    before = number.plain(0.5 if found.before is None else found.before)
    return f"{before} of the model is {number.plain(found.threshold)} behind the map: same labels"


def _row(change: LossChange) -> list[object]:
    unit = f" ({change.gain.unit})" if change.gain.unit else ""
    return [
        _TITLES[change.name] + unit,
        number.plain(change.before),
        number.plain(change.after),
        _gain(change.gain),
    ]


def _gain(gain: Metric) -> str:
    if gain.value is None:
        return number.NOTHING
    return f"{number.plain(gain.value)} {number.interval_text(gain)}".rstrip()
