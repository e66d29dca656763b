"""Names of models become names that Kubernetes takes."""

from __future__ import annotations

import re

import pytest

from afterfit.core.dns import MOST_NAME, dns_name


@pytest.mark.parametrize(
    ("text", "name"),
    [("churn", "churn"), ("Churn Model!", "churn-model"), ("7.x_y", "m-7-x-y"), ("", "model"),
     ("--", "model"), ("Ünïcode", "n-code"), ("1e3", "m-1e3")],
)  # fmt: skip
def test_a_name_is_a_label_of_dns(text: str, name: str) -> None:
    """Small letters, digits and -, a letter first, neither end a dash."""
    assert dns_name(text) == name
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", dns_name(text))


def test_a_long_name_leaves_room_for_what_comes_behind() -> None:
    """Cut to 40, and not after a dash."""
    assert dns_name("a" * 120) == "a" * MOST_NAME
    assert dns_name("a" * (MOST_NAME - 1) + ".b") == "a" * (MOST_NAME - 1)
