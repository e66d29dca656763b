"""How kept cases stand beside the version before: new failures, columns that went, no time."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.robustness.models import BINARY, COLUMNS, Scoring, found, people
from tests.robustness.test_shrink import Book, asked, pair_crash, safe, ulm

from afterfit.core.fingerprint import build
from afterfit.core.frame import Frame
from afterfit.core.gate import parse_gate
from afterfit.core.metric_names import require_known
from afterfit.robustness.kept import kept_cases
from afterfit.robustness.probe import ask
from afterfit.robustness.shrink import Shrinker


def test_a_new_failure_is_a_regression_where_the_version_before_passed_the_same_case() -> None:
    """Of a version that failed it too, or that was never asked, it is new."""
    good, document = asked(Scoring(safe))
    assert document.cases == ()
    record, kept = asked(Scoring(pair_crash), book=Book(document, good))
    assert [case.standing for case in kept.cases] == ["regressed"]
    (issue,) = found(record, "R060")
    assert issue.severity == "high"
    assert issue.evidence["count"] == 1
    unasked = msgspec.structs.replace(good, cases=())
    _, kept = asked(Scoring(pair_crash), book=Book(document, unasked))
    assert [case.standing for case in kept.cases] == ["new"]
    # It failed there, though its document is gone: it is no news, and no regression.
    bad, _ = asked(Scoring(pair_crash))
    _, kept = asked(Scoring(pair_crash), book=Book(None, bad))
    assert [case.standing for case in kept.cases] == ["new"]


def test_a_case_whose_column_went_is_gone_and_comes_back_as_new() -> None:
    """A model without the city cannot fail there; nothing is counted, nothing is lost."""
    first, document = asked(Scoring(pair_crash))
    without = msgspec.structs.replace(
        BINARY, columns=tuple(column for column in COLUMNS if column.name != "city")
    )
    second, later = asked(
        Scoring(lambda frame: np.full(len(frame["age"]), 0.3)), without, book=Book(document, first)
    )
    assert [case.standing for case in later.cases] == ["gone"]
    assert found(second, "R062", "not_applicable")
    _, last = asked(Scoring(pair_crash), book=Book(later, second))
    assert [case.standing for case in last.cases] == ["new"]
    assert len({case.first for case in last.cases}) == 1


def test_another_model_column_gets_its_harmless_value() -> None:
    """A case of an earlier version that has no age is asked with the usual one."""
    first, document = asked(Scoring(pair_crash))
    old = msgspec.structs.replace(
        document,
        cases=tuple(
            msgspec.structs.replace(
                case,
                rows=tuple({k: v for k, v in row.items() if k != "age"} for row in case.rows),
            )
            for case in document.cases
        ),
    )
    _, later = asked(Scoring(pair_crash), book=Book(old, first))
    assert [case.standing for case in later.cases] == ["known"]
    assert later.cases[0].rows == document.cases[0].rows


def test_cases_that_the_time_did_not_reach_stay_as_they_were_and_are_skipped() -> None:
    """What was not asked has not passed."""
    first, document = asked(Scoring(pair_crash))
    data = people()
    rows = {name: values[:40] for name, values in data.frame.items()}
    model = Scoring(safe)
    shrinker = Shrinker(
        lambda frame: ask(model, frame), BINARY, build(data.frame, BINARY), rows, 0, 0.0
    )
    kept = kept_cases(shrinker, (), (), Book(document, first), subject="later")
    assert kept.cases == document.cases
    assert [name.startswith("earlier case") for name in kept.unreached] == [True]
    assert {f.code: f.outcome for f in kept.findings}["R060"] == "skipped"
    assert model.calls == 0


def test_another_failure_of_the_column_is_shrunk_beside_the_known_one() -> None:
    """The first case is fixed, a second kind of failure in its column is a case of its own."""
    first, document = asked(Scoring(pair_crash))

    def elsewhere(frame: Frame) -> np.ndarray:
        income = np.asarray(frame["income"], dtype=np.float64)
        if (income > 1e5).any() and not ulm(frame).all():
            raise OverflowError("too rich")
        return safe(frame)

    _, later = asked(Scoring(elsewhere), book=Book(document, first))
    assert sorted(case.standing for case in later.cases) == ["fixed", "regressed"]


@pytest.mark.parametrize(
    "gate", ["robustness.flip_share_010.high <= 0.2", "robustness.regressed_cases == 0"]
)
def test_gates_can_ask_for_them(gate: str) -> None:
    """The names are among those that gates know."""
    require_known(parse_gate(gate))
