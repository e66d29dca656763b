"""Plain text, Markdown and the CI summary of the same pages."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from tests.report import samples

from afterfit.report import ci, markdown, text
from afterfit.report.build import monitor_page, record_page, release_page
from afterfit.report.page import Details, FindingList, Page


@pytest.fixture(scope="module")
def release() -> Page:
    """A promoted release of which every step ran."""
    return release_page(samples.ship_record(), samples.all_records())


@pytest.fixture(scope="module")
def hostile() -> Page:
    """A release whose every name tries to be something else."""
    word = samples.HOSTILE + "\x00\x07\u202e\r\n# heading"
    return release_page(samples.ship_record(name=word, why=word), samples.all_records(word))


@pytest.mark.parametrize("width", [40, 80, 96])
def test_text_keeps_to_its_width(release: Page, width: int) -> None:
    """No line is longer than the terminal, commands and digests apart."""
    lines = text.render(release, width=width).splitlines()
    long = [line for line in lines if len(line) > width]
    assert all(line.startswith("  afterfit ") for line in long)


def test_text_says_the_verdict_first(release: Page) -> None:
    """The third line is the verdict."""
    lines = text.render(release).splitlines()
    assert lines[0] == "census-income"
    assert lines[3].startswith("PROMOTED: ")


def test_text_has_no_heading_without_anything_below_it(release: Page) -> None:
    """Tables that a screen folds are in the page; here their headings alone would be left."""
    lines = text.render(release).splitlines()
    assert any(isinstance(b, Details) for s in release.sections for b in s.blocks)
    for section in release.sections:
        for block in section.blocks:
            if isinstance(block, Details) and not _findings_in(block):
                assert block.summary not in lines
    for above, line, below in zip(lines[:-1], lines[1:], [*lines[2:], ""], strict=True):
        if line and set(line) == {"-"} and len(line) == len(above):
            assert below.strip(), above


def _findings_in(block: Details) -> bool:
    return any(isinstance(part, FindingList) and part.items for part in block.blocks)


def test_text_tells_not_run_from_passed() -> None:
    """A step that did not run is in capitals with its reason; a skipped check says its need."""
    records = {"assess": samples.stored(samples.assess_record())}
    ship = samples.ship_record(records=records, skipped={"loadtest": "out of time"})
    shown = text.render(release_page(ship, records))
    assert "loadtest    NOT RUN    out of time" in shown
    assert "not run: out of time" in shown
    assert "A009 Quality by workclass = Never-worked: too few rows (needs 100 rows)" in shown


def test_no_name_steers_the_terminal(hostile: Page) -> None:
    """No escape sequence, bell, or character that turns the reading direction gets through."""
    shown = text.render(hostile)
    bad = [c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]
    assert bad == []


def test_markdown_lets_no_name_become_markup(hostile: Page) -> None:
    """No raw HTML, no link, no heading and no broken table row out of a name."""
    shown = markdown.render(hostile)
    lines = [line for line in shown.splitlines() if not line.startswith("    ")]
    prose = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "CODE", "\n".join(lines))
    assert "CODE" in prose
    assert "<" not in prose
    assert "](" not in prose.replace("\\](", "")
    assert not [line for line in shown.splitlines() if line.startswith("# heading")]
    for block in shown.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        widths = {_cells(row) for row in rows}
        assert len(widths) <= 1, block


def _cells(row: str) -> int:
    return row.replace("\\|", "").count("|")


def test_ci_summary_is_short_and_says_what_the_exit_means(release: Page) -> None:
    """Verdict, gates, issues and the exit; evidence stays out."""
    shown = ci.summary(release, 0)
    assert len(shown) < 4000
    assert "Exit 0: every gate passed." in shown
    assert "`A003`" in shown
    assert "612" not in shown
    assert "A005" not in shown


@pytest.mark.parametrize(
    ("verdict", "gate", "code"),
    [
        ("promoted", "roc_auc >= 0.9", 0),
        ("stopped", "roc_auc >= 0.99", 1),
        ("registered", "x > 1", 1),
    ],
)
def test_the_exit_follows_the_gates(verdict: str, gate: str, code: int) -> None:
    """A failed gate and a gate without a number both end in 1."""
    assert ci.exit_code(samples.ship_record(verdict, (gate,))) == code  # type: ignore[arg-type]


def test_a_page_is_plain_json_too(release: Page) -> None:
    """The dictionary survives JSON and keeps the kind of each block."""
    back = json.loads(json.dumps(release.as_dict()))
    assert back["verdict"]["word"] == "Promoted"
    kinds = {block["kind"] for section in back["sections"] for block in section["blocks"]}
    assert {"table", "chart", "findings", "key_value", "commands", "details"} <= kinds


def test_every_renderer_takes_every_page() -> None:
    """Text and Markdown of a monitoring period and of each record say something of it."""
    pages = [monitor_page(samples.monitor_record())]
    pages += [record_page(stored) for stored in samples.all_records().values()]
    for page in pages:
        assert page.title in text.render(page)
        assert f"# {page.title}" in markdown.render(page)
