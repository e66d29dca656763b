"""The model card: filled from records, honest about what nobody said, and no markup of others."""

from __future__ import annotations

import json
import re

import msgspec
from tests.report.samples import BUNDLE, HOSTILE, all_records, stored

from afterfit.core.metric import find
from afterfit.core.sections import CardSection
from afterfit.report import html
from afterfit.report.model_card import UNTOLD, card_markdown, card_page

TOLD = CardSection(
    owner="Risk team", license="apache-2.0", intended_use="leads of a shop", title="Churn"
)


def metadata(card: str) -> list[str]:
    """The lines of the head."""
    before, head, _ = card.split("---\n", 2)
    assert before == ""
    return head.splitlines()


def test_the_head_is_what_hugging_face_reads() -> None:
    """Task, library, licence, and every held-out metric with its value."""
    records = all_records()
    judged = msgspec.structs.replace(records["assess"].body, inputs={"data": "ab" * 32})
    records["assess"] = stored(judged)
    page = card_page("churn", 3, BUNDLE, records, TOLD)
    lines = metadata(card_markdown(page, records, TOLD))
    assert 'license: "apache-2.0"' in lines
    assert "pipeline_tag: tabular-classification" in lines
    auc = find(judged.metrics, "roc_auc", "held-out")
    assert auc is not None
    (line,) = [each for each in lines if '"roc_auc"' in each]
    assert f"value: {auc.value!r}" in line
    assert "sha256:" + "ab" * 32 in "\n".join(lines)


def test_what_nobody_said_is_told_and_what_did_not_run_names_its_command() -> None:
    """No sentence is made up."""
    records = {"inspect": all_records()["inspect"]}
    card = card_markdown(card_page("churn", 3, BUNDLE, records, CardSection()), records, TOLD)
    assert UNTOLD.split(".", 1)[0] in card
    assert "not said" in card
    assert "afterfit assess" in card
    assert "model-index" not in card


def test_names_from_outside_are_no_markup_and_no_yaml() -> None:
    """A hostile column, label or owner stays text in both forms."""
    told = CardSection(owner=HOSTILE, license='mit"\nevil: true', title=HOSTILE)
    records = all_records(HOSTILE)
    page = card_page(HOSTILE, 3, BUNDLE, records, told)
    card = card_markdown(page, records, told)
    outside_code = re.sub(r"(`+).*?\1", "", card.split("---\n", 2)[2])
    assert "<script>" not in outside_code
    assert not [line for line in metadata(card) if line.startswith("evil")]
    assert json.loads(metadata(card)[0].removeprefix("license: ")) == told.license
    assert "<script>alert" not in html.render(page)


def test_the_card_can_be_read_in_one_go() -> None:
    """Curves, cases and settings are on the page; as Markdown they would be hundreds of lines."""
    records = all_records()
    page = card_page("churn", 3, BUNDLE, records, TOLD)
    card = card_markdown(page, records, TOLD)
    assert len(card.splitlines()) < 200
    assert "false positive rate" not in card
    assert "Metrics on rows that the model has not seen" in card
    assert "false positive rate" in html.render(page)
