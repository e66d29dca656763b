"""Records as the steps make them, small but with every part filled in, and hostile on request."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.bundle import Variant
from afterfit.core.finding import Finding, Outcome, Severity
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.core.gate import evaluate, parse_gate
from afterfit.core.metric import Metric
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Column, Signature
from afterfit.records.assess import AssessRecord, Confusion, Curve, Fold
from afterfit.records.codec import AnyRecord, Stored
from afterfit.records.inspect import InspectRecord
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.monitor import Distance, MonitorRecord
from afterfit.records.optimize import OptimizeRecord, Parity, VariantReport
from afterfit.records.package import PackageRecord
from afterfit.records.record import Envelope, Environment
from afterfit.records.robustness import Case, RobustnessRecord
from afterfit.records.ship import ShipRecord, Verdict

HOSTILE = "<script>alert('x')</script>\"'&`|**[a](javascript:alert(1))\x1b[31m"
MODEL = "3f0c" * 16
BUNDLE = "9be1" * 16

ENV = Environment(
    afterfit="0.1.0",
    python="3.11.9",
    system="Linux x86_64",
    cpu="Intel(R) Xeon(R) Processor @ 2.60GHz",
    cpu_features=("avx2", "avx512f", "fma"),
    cores=2,
    packages={"numpy": "2.4.1", "scikit-learn": "1.9.0", "onnxruntime": "1.32.0"},
    git_commit="1d6f0a9be2c34c7f9a",
    git_dirty=True,
)


def finding(
    code: str,
    outcome: Outcome,
    message: str,
    *,
    severity: Severity = "info",
    where: str = "",
    fix: str = "",
    **evidence: Any,
) -> Finding:
    """A finding as a check makes it."""
    return Finding(
        code=code,
        outcome=outcome,
        severity=severity,
        where=where,
        message=message,
        fix=fix,
        evidence=evidence,
    )


def metric(
    name: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    scope: str = "held-out",
    n: int = 16281,
    unit: str = "",
    method: str = "wilson",
) -> Metric:
    """A metric as a step makes it."""
    return Metric(
        name=name, value=value, low=low, high=high, n=n, unit=unit, scope=scope, method=method
    )


def signature(hostile: str = "") -> Signature:
    """Columns of a census table; with a hostile word as column, category and class."""
    extra = (Column(name=hostile, kind="text", nullable=True),) if hostile else ()
    education = (
        "Bachelors",
        "Doctorate",
        "HS-grad",
        "Masters",
        "Preschool",
        "Some-college",
        "11th",
    )
    return Signature(
        task="binary",
        columns=(
            Column(name="age", kind="integer", low=17, high=90),
            Column(
                name="workclass",
                kind="category",
                nullable=True,
                categories=("Private", hostile or "State-gov"),
            ),
            Column(name="education", kind="category", categories=education),
            Column(name="capital_gain", kind="number", low=0.0, high=99999.0),
            Column(name="hours_per_week", kind="number", low=1.0, high=99.0),
            *extra,
        ),
        target="income",
        classes=("<=50K", hostile or ">50K"),
        positive=hostile or ">50K",
        threshold=0.42,
    )


def inspect_record(hostile: str = "") -> InspectRecord:
    """A gradient boosting pipeline in a skops file."""
    return InspectRecord(
        subject=MODEL,
        env=ENV,
        inputs={"model": MODEL, "data": "77aa" * 16},
        format="skops",
        description=ModelDescription(
            framework="sklearn",
            estimator="HistGradientBoostingClassifier",
            task="binary",
            classes=("<=50K", ">50K"),
            saved_with={"scikit-learn": "1.9.0"},
            size_bytes=1_482_112,
        ),
        signature=signature(hostile),
        audited=41,
        trusted=("mypkg.encode.Cyclic",),
        n_data=16281,
        n_train=32561,
        findings=(
            finding("I001", "passed", "Every name in the file is known to the audit"),
            finding(
                "I007",
                "tip",
                "The model was given a positive class by the order of its classes",
                severity="low",
                fix='positive = ">50K" in afterfit.toml',
            ),
        ),
    )


def assess_record(hostile: str = "") -> AssessRecord:
    """Held-out metrics, a baseline, folds, curves, and a finding of each outcome."""
    x = np.linspace(0, 1, 120)
    metrics = (
        metric("roc_auc", 0.9274, 0.9232, 0.9316, method="delong"),
        metric("pr_auc", 0.8312, 0.8204, 0.8421, method="bootstrap"),
        metric("f1", 0.7203, 0.7094, 0.7310, method="bootstrap"),
        metric("precision", 0.7021, 0.6886, 0.7153),
        metric("recall", 0.7395, 0.7254, 0.7532),
        metric("accuracy", 0.8641, 0.8588, 0.8693),
        metric("log_loss", 0.2783, 0.2721, 0.2846, unit="nats", method="t-hall"),
        metric("roc_auc", 0.5, scope="baseline:prior"),
        metric("pr_auc", 0.2362, scope="baseline:prior"),
        metric("f1", 0.3821, scope="baseline:prior"),
        metric("accuracy", 0.7638, scope="baseline:prior"),
        metric("log_loss", 0.5468, unit="nats", scope="baseline:prior"),
        metric("roc_auc", 0.9251, 0.9213, 0.9289, scope="cv", n=32561),
        metric("f1", 0.7148, 0.7069, 0.7227, scope="cv", n=32561),
        metric("accuracy", 0.8712, 0.8675, 0.8749, scope="cv", n=32561),
    )
    return AssessRecord(
        subject=MODEL,
        env=ENV,
        metrics=metrics,
        baseline="prior",
        n_labelled=16281,
        resolved={"seed": 7, "effort": "standard", "metrics": ["roc_auc", "f1"]},
        confusion=Confusion(
            labels=("<=50K", hostile or ">50K"), counts=((11228, 1207), (1002, 2844))
        ),
        curves=(
            Curve(
                name="ROC",
                x_title="false positive rate",
                y_title="true positive rate",
                x=tuple(x),
                y=tuple(x**0.18),
            ),
            Curve(
                name="precision-recall",
                x_title="recall",
                y_title="precision",
                x=tuple(x),
                y=tuple(1 - 0.75 * x**4),
            ),
            Curve(
                name=f"reliability{':' + hostile if hostile else ''}",
                x_title="predicted probability",
                y_title="share that was positive",
                x=tuple(x[::8]),
                y=tuple(x[::8] ** 1.15),
            ),
        ),
        folds=tuple(
            Fold(
                fold=i,
                n_train=26048,
                n_test=6513,
                metrics=(metric("roc_auc", 0.92 + i / 500, scope="fold", n=6513),),
            )
            for i in range(5)
        ),
        findings=(
            finding(
                "A003",
                "issue",
                "Rows of one household are on both sides of the split",
                severity="high",
                where=hostile or "fnlwgt",
                fix="afterfit assess --group fnlwgt",
                rows=612,
            ),
            finding(
                "A011",
                "issue",
                "Probabilities above 0.8 are too low by 0.06",
                severity="medium",
                where="probability 0.8 to 1.0",
                fix="Calibrate with isotonic regression on held-out rows.",
            ),
            finding(
                "A021",
                "tip",
                "A threshold of 0.38 would raise F1 by 0.004 [0.001, 0.007]",
                severity="low",
            ),
            finding("A005", "passed", "The model beats the baseline on every metric"),
            finding(
                "A009",
                "skipped",
                "Quality by workclass = Never-worked: too few rows",
                needed_n=100,
                n=7,
            ),
            finding("A014", "not_applicable", "No time column, so no split by time"),
            finding("A016", "ignored", "Two columns hold the same values", where="education_num"),
        ),
    )


def variant_report(name: str, status: Any, p50: float | None, **more: Any) -> VariantReport:
    """A variant with its measurements."""
    metrics = (
        ()
        if p50 is None
        else (
            metric(
                "latency_p50_us", p50, p50 * 0.97, p50 * 1.05, scope="batch:1", n=2000, unit="us"
            ),
            metric("latency_p50_us", p50 * 4, scope="batch:64", n=500, unit="us"),
            metric(
                "size_bytes",
                1_482_112 if name == "native" else 912_004,
                scope="",
                n=0,
                unit="bytes",
            ),
            metric("load_ms", 412.0 if name == "native" else 18.4, scope="", n=5, unit="ms"),
        )
    )
    return VariantReport(name=name, status=status, metrics=metrics, **more)


def optimize_record(hostile: str = "") -> OptimizeRecord:
    """Three variants: the chosen ONNX one, the native one, and one that was refused."""
    exact = Parity(
        rows="held-out", n=16281, max_difference=3.1e-7, beyond=0, flips=0, tolerance=1e-5
    )
    worse = Parity(
        rows="boundary",
        n=4096,
        max_difference=0.0831,
        beyond=211,
        flips=37,
        tolerance=1e-5,
        message="float32 rounds thresholds",
    )
    return OptimizeRecord(
        subject=MODEL,
        env=ENV,
        chosen="onnx-fp32",
        variant=Variant(
            name="onnx-fp32", runtime="onnx", framework="sklearn", file="model/model.onnx"
        ),
        variants=(
            variant_report("native", "as_is", 1243.0),
            variant_report(
                "onnx-fp32",
                "certified",
                26.4,
                parity=(exact,),
                repaired="thresholds moved to float32",
            ),
            variant_report(
                "onnx-int8", "rejected", 24.1, parity=(worse,), why=f"37 labels change {hostile}"
            ),
            variant_report("pruned", "not_available", None, why="not for this estimator"),
        ),
        findings=(finding("O001", "passed", "Parity held on 16,281 rows"),),
    )


def robustness_record(hostile: str = "") -> RobustnessRecord:
    """Cases by kind and column, one of them a crash."""
    cases = [
        Case(case=kind, column=column, n=512, outcome="answered", changed=changed, max_shift=shift)
        for kind, changed, shift in (("missing", 14, 0.21), ("far_out_of_range", 33, 0.48))
        for column in ("age", "capital_gain", "hours_per_week")
    ]
    cases.append(
        Case(
            case="new_category",
            column=hostile or "workclass",
            n=512,
            outcome="refused",
            message="the encoder knows 9 categories",
        )
    )
    cases.append(
        Case(case="infinity", column="age", n=512, outcome="crashed", message="ValueError: inf")
    )
    cases.append(Case(case="empty_text", column="age", n=0, outcome="not_applicable"))
    return RobustnessRecord(
        subject=BUNDLE,
        env=ENV,
        cases=tuple(cases),
        findings=(
            finding(
                "R004",
                "issue",
                "An infinite age crashes the model",
                severity="medium",
                where="age",
                fix="Refuse it at the door: range.age = [0, 120] in afterfit.toml",
            ),
            finding("R001", "passed", "No strange row got an answer that is not a number"),
        ),
    )


def loadtest_record() -> LoadtestRecord:
    """A minute of requests at a steady rate."""
    quantiles = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0]
    times = [0.41, 0.52, 0.61, 0.74, 1.02, 1.31, 2.44, 3.1, 6.8, 8.9, 14.2, 21.7]
    return LoadtestRecord(
        subject=BUNDLE,
        env=ENV,
        schedule="closed:4",
        requests=47_988,
        errors=0,
        duration_s=60.0,
        rate=799.8,
        quantiles=tuple(zip(quantiles, times, strict=True)),
        settings={"workers": 2, "intra_op": 1, "batch_cap": 64},
        metrics=(
            metric(
                "latency_p50_ms",
                0.61,
                0.60,
                0.62,
                scope="",
                n=47988,
                unit="ms",
                method="order statistics",
            ),
            metric(
                "latency_p99_ms",
                2.44,
                2.31,
                2.60,
                scope="",
                n=47988,
                unit="ms",
                method="order statistics",
            ),
        ),
        status="partial",
        findings=(finding("L006", "skipped", "The greatest rate was not searched: out of time"),),
    )


def package_record(hostile: str = "") -> PackageRecord:
    """A bundle of six files."""
    return PackageRecord(
        subject=MODEL,
        env=ENV,
        bundle=BUNDLE,
        files={
            "manifest.json": 912,
            "signature.json": 1840,
            "fingerprint.json": 21_004,
            "golden.json": 8_120,
            hostile or "model/model.onnx": 912_004,
            "requirements.lock": 2_310,
        },
    )


def stored(record: AnyRecord, seconds: float = 3.2) -> Stored:
    """A record in its envelope."""
    return Stored(
        envelope=Envelope(
            digest=record.digest, created="2026-11-23T14:05:09+00:00", duration_s=seconds
        ),
        body=record,
    )


def all_records(hostile: str = "") -> dict[str, Stored]:
    """One record of every step of the line."""
    records: list[AnyRecord] = [
        inspect_record(hostile),
        assess_record(hostile),
        optimize_record(hostile),
        package_record(hostile),
        robustness_record(hostile),
        loadtest_record(),
    ]
    return {record.step: stored(record, 1.4 * place + 0.3) for place, record in enumerate(records)}


def ship_record(
    verdict: Verdict = "promoted",
    gates: tuple[str, ...] = ("roc_auc.low >= 0.92", "loadtest.latency_p99_ms <= 20"),
    *,
    name: str = "census-income",
    why: str = "",
    skipped: dict[str, str] | None = None,
    records: dict[str, Stored] | None = None,
) -> ShipRecord:
    """A release whose gates are judged on the records."""
    shown = all_records() if records is None else records
    evidence = {step: item.body.metrics for step, item in shown.items()}
    return ShipRecord(
        subject=MODEL,
        env=ENV,
        name=name,
        version=7,
        bundle=BUNDLE,
        verdict=verdict,
        why=why,
        records={step: item.digest for step, item in shown.items()},
        reused=("inspect",),
        skipped=skipped or {},
        gates=tuple(evaluate(parse_gate(text), evidence) for text in gates),
        previous="c04d" * 16,
    )


def fingerprint(seed: int = 0, n: int = 4000, shift: float = 0.0) -> Fingerprint:
    """The fingerprint of a census-like table, and of the scores a model gave it."""
    random = np.random.default_rng(seed)
    return build(*_table(random, n, shift), seed=seed)


def _table(random: np.random.Generator, n: int, shift: float) -> tuple[Any, Signature, Predictions]:
    age = random.normal(38 + 12 * shift, 12, n).clip(17, 90)
    work = random.choice(np.array(["Private", "State-gov", "Self-emp"], dtype=object), n)
    flag = random.random(n) < 0.3
    p = random.beta(2, 5 - 2 * shift, n)
    columns = (
        Column(name="age", kind="number"),
        Column(name="workclass", kind="category"),
        Column(name="married", kind="boolean"),
    )
    frame = {"age": age, "workclass": work, "married": flag}
    made = Signature(task="binary", columns=columns, classes=("no", "yes"), positive="yes")
    return frame, made, Predictions(probabilities=np.column_stack([1 - p, p]))


def monitor_record(hostile: str = "") -> MonitorRecord:
    """A day of live rows beside the reference."""
    reference = fingerprint()
    live = reference.blank()
    frame, _, predictions = _table(np.random.default_rng(1), 2500, 0.5)
    live.update(frame, predictions.score(1))
    distances = [
        Distance(
            column=name,
            name="total_variation",
            value=value,
            n=2500,
            n_ref=4000,
            message="chance alone: 0.04",
        )
        for name, value in (
            ("\0output", 0.31),
            ("age", 0.22),
            ("workclass", 0.02),
            ("married", 0.01),
        )
    ]
    distances.append(
        Distance(
            column=hostile or "notes",
            name="total_variation",
            value=None,
            n=12,
            n_ref=4000,
            message="too few rows",
        )
    )
    return MonitorRecord(
        subject=BUNDLE,
        env=ENV,
        counts={"served": 2500, "refused": 4, "failed": 2, "label": 310},
        period=("2026-11-22T00:00:00+00:00", "2026-11-23T00:00:00+00:00"),
        reference=reference,
        live=live,
        distances=tuple(distances),
        versions={BUNDLE: {"primary": 2400, "canary": 100}},
        metrics=(metric("infer_p99", 212.0, 199.0, 240.0, n=2500, unit="us", scope="live"),),
        findings=(
            finding(
                "M003", "issue", "age has moved from the reference", severity="medium", where="age"
            ),
            finding("M007", "skipped", "Too few labels to measure quality", needed_n=500, n=310),
        ),
    )
