"""The findings of platforms: each has its page, and says what to do."""

from __future__ import annotations

import inspect

import pytest

from afterfit.core.finding import Check
from afterfit.platforms import findings

CHECKS = sorted(
    (each for _, each in inspect.getmembers(findings, inspect.isclass)
     if issubclass(each, Check) and each is not Check),
    key=lambda check: check.code,
)  # fmt: skip


def test_codes_are_those_of_platforms_without_a_gap() -> None:
    """P001, P002 and so on."""
    assert [check.code for check in CHECKS] == [f"P{n:03d}" for n in range(1, len(CHECKS) + 1)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_each_has_a_page_that_says_what_to_do(check: type[Check]) -> None:
    """What it does, why it matters, and the fix."""
    page = check.page()
    assert page[""]
    assert {"What it does", "Why it matters", "Fix"} <= set(page)
