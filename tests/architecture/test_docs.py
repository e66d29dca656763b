"""The pages under docs/ and beside them: links lead somewhere, decisions are listed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages(root: Path) -> list[Path]:
    """Every page in Markdown: those in the root folder and all below docs/."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def broken_links(page: Path) -> list[str]:
    """The relative links of the page that lead to no file or folder."""
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text("utf-8"))]
    local = [target for target in targets if target and "://" not in target]
    return [t for t in local if not t.startswith("mailto:") and not (page.parent / t).exists()]


def test_every_relative_link_leads_somewhere(project_root: Path) -> None:
    """A link to a page that was moved or never written fails, by page."""
    found = pages(project_root)
    assert found
    assert {str(page): links for page in found if (links := broken_links(page))} == {}


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """The check above can fail."""
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top), [web](https://example.org), [gone](gone.md)", "utf-8")
    assert broken_links(page) == ["gone.md"]


def test_every_decision_is_listed_and_has_its_three_parts(project_root: Path) -> None:
    """A decision page has Context, Decision and Evidence, and a line in the index."""
    folder = project_root / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    decisions = sorted(folder.glob("[0-9]*.md"))
    assert decisions
    for page in decisions:
        text = page.read_text("utf-8")
        assert f"]({page.name})" in index, page.name
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert [h for h in headings if h in {"Context", "Decision", "Evidence"}] == [
            "Context",
            "Decision",
            "Evidence",
        ], page.name
