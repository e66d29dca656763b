"""The suite finds what is wrong with a server, exactly that, and nothing in a right one."""

from __future__ import annotations

import pytest
from tests.testing.conformance.faults import FAULTS, Wrong
from tests.testing.conformance.reference import MODELS, Reference

from afterfit.testing import conformance


@pytest.mark.parametrize("model", sorted(MODELS))
def test_nothing_is_wrong_with_a_right_server(model: str) -> None:
    """Every check passes or does not concern the model; none is skipped."""
    with Reference() as server:
        report = conformance.run(server.url, model=model)
        assert server.defects == []
    unclean = [o for o in report.outcomes if o.status in {"fail", "skipped"}]
    assert unclean == []
    assert report.conforms
    assert report.server == "reference 1.0"
    assert 100 < report.requests == server.requests < 400


@pytest.mark.parametrize("wrong", FAULTS, ids=lambda wrong: wrong.checks)
def test_one_fault_is_found_by_its_check_alone(wrong: Wrong) -> None:
    """A server that is wrong in one clause fails that check and no other."""
    with Reference(wrong.make()) as server:
        report = conformance.run(server.url, model=wrong.model, timeout=wrong.timeout)
    failed = {o.check: (o.why, o.sent, o.came) for o in report.failed()}
    assert set(failed) == {wrong.checks}, failed
    (failure,) = report.failed()
    assert failure.why
    assert failure.sent or wrong.checks == "http.head-no-body"
    assert report.conforms == (failure.level != "must")


def test_every_check_has_a_fault_that_it_finds() -> None:
    """No check is without its proof."""
    proven = {wrong.checks for wrong in FAULTS}
    assert {check.id for check in conformance.CHECKS} == proven
