"""The Pareto front of lossy variants on the page, and their certificates."""

from __future__ import annotations

import msgspec
from tests.report import samples
from tests.report.samples import optimize_record

from afterfit.core.metric import Metric
from afterfit.records.optimize import Certificate, Guard, OptimizeRecord, VariantReport
from afterfit.report import text
from afterfit.report.build import release_page
from afterfit.report.front import front
from afterfit.report.page import Chart, Front, Table


def certificate(verdict: str, drop: float) -> Certificate:
    """Return a certificate with one guard that is beyond its limit, but not shown to be."""
    return msgspec.convert(
        {
            "artifact": "ab",
            "verdict": verdict,
            "metric": "accuracy",
            "native": 0.9,
            "value": 0.9 - drop,
            "drop": drop,
            "low": drop - 0.004,
            "high": drop + 0.004,
            "margin": 0.01,
            "alpha": 0.0167,
            "candidates": 3,
            "n": 4000,
            "method": "tango",
            "needed_n": None if verdict == "certified" else 9000,
            "guards": [Guard(name="slice_drop", value=0.03, limit=0.02, held=True, where="plan a")],
            "runtime": "onnxruntime 1.32.0",
        },
        Certificate,
    )


def lossy(name: str, us: float, drop: float, verdict: str = "", *, ahead: bool) -> VariantReport:
    """Return a variant of so many µs that loses ``drop`` on the selection rows."""
    return VariantReport(
        name=name,
        status="certified" if verdict == "certified" else "rejected",
        technique="prune",
        front=ahead,
        certificate=certificate(verdict, drop) if verdict else None,
        metrics=(
            Metric(name="latency_p50_us", value=us, n=90, unit="us", scope="batch:1"),
            Metric(name="drop", value=drop, n=2000, scope="selection"),
        ),
    )


def record(*variants: VariantReport) -> OptimizeRecord:
    """Return the sample record with these variants beside its own."""
    whole = optimize_record()
    return msgspec.structs.replace(whole, variants=(*whole.variants, *variants))


def drawn(found: OptimizeRecord) -> Front:
    """Return the drawing of a record's front."""
    (chart,) = [block for block in front(found) if isinstance(block, Chart)]
    assert isinstance(chart.drawing, Front)
    return chart.drawing


def test_without_lossy_variants_there_is_no_front() -> None:
    """Exact forms lose nothing, so there is nothing to weigh."""
    assert front(optimize_record()) == ()


def test_each_variant_has_its_place_and_those_ahead_a_number() -> None:
    """Time across, loss upwards; one that others beat everywhere has no number."""
    drawing = drawn(
        record(lossy("fast", 9.0, 0.008, ahead=True), lossy("beaten", 20.0, 0.009, ahead=False))
    )
    places = {dot.name: dot for dot in drawing.dots}
    assert (places["fast"].x, places["fast"].y, places["fast"].label) == (9.0, 0.008, "1")
    assert places["beaten"].label == ""
    assert [dot.y for dot in drawing.dots if dot.name not in {"fast", "beaten"}] == [0.0] * (
        len(drawing.dots) - 2
    )


def test_labels_that_would_stand_on_each_other_are_left_out() -> None:
    """Two at one place get one number; the table still names both."""
    twins = [lossy(name, 9.0, 0.008, ahead=True) for name in ("one", "two")]
    far = lossy("far", 90.0, 0.0001, ahead=True)
    labels = [dot.label for dot in drawn(record(*twins, far)).dots if dot.name in {"one", "two"}]
    assert sorted(map(bool, labels)) == [False, True]


def test_a_page_says_that_its_quality_is_not_that_of_the_lossy_form_which_ships() -> None:
    """Metrics and figures are the given model's; another that answers otherwise is named there."""
    ship, records = samples.ship_record(), samples.all_records()
    assert "Measured on the model as it was given" not in text.render(release_page(ship, records))
    found = record(lossy("small", 9.0, 0.001, "certified", ahead=True))
    found = msgspec.structs.replace(found, chosen="small")
    page = release_page(ship, {**records, "optimize": samples.stored(found)})
    said = " ".join(text.render(page).split())
    assert (
        "Measured on the model as it was given, not on small, which ships and answers otherwise: "
        "its accuracy is 0.899 where the model's is 0.900 (4,000 rows that chose nothing)."
    ) in said
    assert "of the model as given, another form ships" in said


def test_certificates_say_the_bound_the_rows_and_what_would_be_enough() -> None:
    """A guard beyond its limit that holds is said to be so by chance, perhaps."""
    found = record(
        lossy("good", 9.0, 0.001, "certified", ahead=True),
        lossy("short", 8.0, 0.008, "insufficient", ahead=True),
    )
    (table,) = [block for block in front(found) if isinstance(block, Table)]
    text = str(table)
    assert "0.00500" in text
    assert "about 9,000 rows" in text
    assert "slice drop 0.0300 of 0.02 (plan a), by chance perhaps" in text
    assert "98.3 %" in text
