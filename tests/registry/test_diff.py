"""What a diff tells callers: which change breaks them, which bytes differ, what was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterfit.core.metric import Metric
from afterfit.core.signature import Column, Signature
from afterfit.records.assess import AssessRecord
from afterfit.records.record import Environment
from afterfit.registry.diff import signature_changes
from afterfit.registry.registry import Registry
from afterfit.store.records import RecordStore

MakeBundle = Callable[..., Path]


def with_column(signature: Signature, name: str, **changed: Any) -> Signature:
    """The signature with one column changed."""
    columns = tuple(
        msgspec.structs.replace(c, **changed) if c.name == name else c for c in signature.columns
    )
    return msgspec.structs.replace(signature, columns=columns)


def with_more(signature: Signature, *columns: Column) -> Signature:
    """The signature with more columns."""
    return msgspec.structs.replace(signature, columns=(*signature.columns, *columns))


@pytest.mark.parametrize(
    ("change", "where", "breaking"),
    [
        (lambda s: with_more(s, Column(name="zip", kind="text")), "columns.zip", True),
        (
            lambda s: with_more(s, Column(name="zip", kind="text", nullable=True)),
            "columns.zip",
            False,
        ),
        (lambda s: msgspec.structs.replace(s, columns=s.columns[:1]), "columns.job", True),
        (lambda s: with_column(s, "age", kind="number"), "columns.age.kind", False),
        (lambda s: with_column(s, "age", kind="text"), "columns.age.kind", True),
        (lambda s: with_column(s, "age", nullable=True), "columns.age.nullable", False),
        (lambda s: with_column(s, "job", categories=("cook",)), "columns.job.categories", False),
        (lambda s: with_column(s, "age", low=0), "columns.age.range", False),
        (lambda s: msgspec.structs.replace(s, columns=s.columns[::-1]), "columns", False),
        (lambda s: msgspec.structs.replace(s, threshold=0.3), "threshold", False),
        (lambda s: msgspec.structs.replace(s, positive="no"), "positive", True),
        (lambda s: msgspec.structs.replace(s, classes=("yes", "no")), "classes", True),
        (lambda s: msgspec.structs.replace(s, probabilities=False), "probabilities", True),
    ],
)
def test_each_change_of_the_signature_is_told_once(
    change: Callable[[Signature], Signature],
    where: str,
    breaking: bool,  # noqa: FBT001 - a table of cases
    signature: Signature,
) -> None:
    """Where it is, and whether a request that was right before is refused or means another."""
    (found,) = signature_changes(signature, change(signature))
    assert (found.where, found.breaking) == (where, breaking)
    assert list(signature_changes(signature, signature)) == []


def test_refusing_missing_values_breaks(signature: Signature) -> None:
    """Allowing them is the other way round."""
    loose = with_column(signature, "age", nullable=True)
    (found,) = signature_changes(loose, signature)
    assert (found.where, found.breaking) == ("columns.age.nullable", True)


def test_true_and_one_are_different_words(signature: Signature) -> None:
    """A caller reads another label, although Python finds both equal."""
    ones = msgspec.structs.replace(signature, classes=(0, 1), positive=1)
    truths = msgspec.structs.replace(signature, classes=(False, True), positive=True)
    assert {change.where for change in signature_changes(ones, truths)} == {"classes", "positive"}


def test_a_diff_of_two_versions_tells_bytes_and_numbers(
    registry: Registry, make_bundle: MakeBundle, signature: Signature
) -> None:
    """Files by state and size, metrics side by side with their intervals, and what was skipped."""
    records = RecordStore(registry.folder)
    digests = []
    for value in (0.8, 0.9):
        f1 = Metric(name="f1", value=value, low=value - 0.1, high=value + 0.05, n=100)
        record = AssessRecord(subject="m" * 64, env=Environment(afterfit="0"), metrics=(f1,))
        digests.append(records.put(record).digest)
    evidence = {"assess": digests[0], "loadtest": "f" * 64}
    registry.register("churn", make_bundle(b"one"), who="ana", evidence=evidence)
    other = make_bundle(b"longer", with_column(signature, "age", low=1))
    registry.register("churn", other, who="ana", evidence={"assess": digests[1]})

    diff = registry.diff("churn@1", "churn@2", records=records)
    assert not diff.same_bytes
    assert diff.breaking == ()
    assert [change.where for change in diff.signature] == ["columns.age.range"]
    (model,) = (change for change in diff.files if change.path == "model/model.onnx")
    assert (model.state, model.old_size, model.new_size) == ("changed", 3, 6)
    (pair,) = diff.metrics
    assert pair.old is not None
    assert pair.new is not None
    assert (pair.old.value, pair.old.low, pair.new.value) == (0.8, 0.8 - 0.1, 0.9)
    assert not pair.paired
    assert [text.partition(":")[0] for text in diff.skipped] == ["loadtest", "loadtest"]
    assert registry.diff("churn@1", "churn@1").same_bytes
    assert registry.diff("churn@1", "churn@2").skipped == ("metrics: no records were given",)
