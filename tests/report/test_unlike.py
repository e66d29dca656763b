"""What a page says of rows unlike the reference: how they are told, and what is missed."""

from __future__ import annotations

import msgspec
from tests.report import samples

from afterfit.core.metric import Metric
from afterfit.records.package import PackageRecord, ScorerRecord
from afterfit.report import html
from afterfit.report.build import record_page
from afterfit.report.text import render


def _metric(name: str, scope: str, value: float, low: float, high: float) -> Metric:
    return Metric(name=name, scope=scope, value=value, low=low, high=high, n=500, method="wilson")


def _record() -> PackageRecord:
    scorer = ScorerRecord(
        method="distance",
        rate=0.01,
        threshold=3.25,
        features=12,
        centres=40,
        rows={"fit": 6000, "choose": 1000, "calibrate": 2000, "check": 500},
        kinds={"mixed": "each value from one of two rows"},
        left_out={"softmax": "the model gives no <probabilities>"},
    )
    metrics = (
        _metric("ood_auroc", "scorer", 0.93, 0.91, 0.95),
        _metric("ood_fpr95", "scorer", 0.31, 0.27, 0.35),
        _metric("ood_false_flags", "scorer", 0.012, 0.0044, 0.026),
        _metric("ood_false_flags", "evaluation rows", 0.018, 0.0083, 0.034),
        _metric("ood_auroc", "scorer:mixed", 0.743, 0.71, 0.77),
        _metric("ood_auroc", "candidate:forest", 0.71, 0.68, 0.74),
        _metric("ood_fpr95", "candidate:forest", 0.8, 0.76, 0.83),
    )
    return msgspec.structs.replace(samples.package_record(), scorer=scorer, metrics=metrics)


def test_each_number_has_its_interval_and_what_was_asked() -> None:
    """The shares that are flagged, the AUROC of each kind, and every method that was tried."""
    text = " ".join(render(record_page(samples.stored(_record()))).split()).replace("\xa0", " ")
    assert "1.2 % (95 % interval [0.44 %, 2.6 %], n = 500, asked 1 %)" in text
    assert "1.8 % (95 % interval [0.83 %, 3.4 %], n = 500)" in text
    assert "each value from one of two rows 0.743 [0.710, 0.770] 500" in text
    assert "distance to the nearest centre" in text


def test_a_page_has_what_was_not_tried_escaped() -> None:
    """Words of a model are no markup."""
    page = html.render(record_page(samples.stored(_record())))
    assert "no &lt;probabilities&gt;" in page
    assert "isolation forest" in page


def test_a_bundle_without_a_scorer_says_nothing_of_one() -> None:
    """No row of the table, no empty chart."""
    text = render(record_page(samples.stored(samples.package_record())))
    assert "unlike" not in text
