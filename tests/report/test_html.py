"""The HTML page: self-contained, escaped, honest about what did not run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from tests.report import samples

from afterfit.report import html
from afterfit.report.build import monitor_page, record_page, release_page
from afterfit.report.page import Page

VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
SELF_CLOSED = {"path", "rect", "line", "circle"}


class Reader(HTMLParser):
    """Collects tags, attributes and texts, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an opening tag."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag that closes itself."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost open tag is closed."""
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember a text."""
        self.texts.append(data)


def read(page: Page) -> Reader:
    """The page as a browser would take it apart."""
    reader = Reader()
    reader.feed(html.render(page))
    reader.close()
    assert reader.stack == []
    return reader


def text_of(page: Page) -> str:
    """Every text of the page, spaces made single."""
    return re.sub(r"\s+", " ", " ".join(read(page).texts))


@pytest.fixture(scope="module")
def release() -> Page:
    """A promoted release of which every step ran."""
    return release_page(samples.ship_record(), samples.all_records())


@pytest.fixture(scope="module")
def hostile() -> list[Page]:
    """Pages whose every name tries to become markup."""
    word = samples.HOSTILE
    ship = samples.ship_record(name=word, why=word, skipped={"loadtest": word})
    records = samples.all_records(word)
    pages = [release_page(ship, records), monitor_page(samples.monitor_record(word))]
    return pages + [record_page(stored) for stored in records.values()]


def test_a_page_is_one_small_well_formed_file(release: Page) -> None:
    """Tags nest, ids are unique, and the whole is far below a megabyte."""
    reader = read(release)
    assert len(html.render(release).encode()) < 1_000_000
    assert len(reader.ids) == len(set(reader.ids))


def test_a_page_needs_neither_network_nor_script(release: Page) -> None:
    """No element loads anything, and the page forbids itself to."""
    reader = read(release)
    assert not {"script", "link", "iframe", "object", "embed", "img", "form"} & set(reader.tags)
    assert not [pair for pair in reader.attributes if pair[0] in ("src", "srcset", "action")]
    links = [value for name, value in reader.attributes if name.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in html.style()
    assert "default-src 'none'" in html.render(release)


def test_every_link_of_the_contents_leads_somewhere(release: Page) -> None:
    """An anchor exists for each link."""
    reader = read(release)
    links = {value[1:] for name, value in reader.attributes if name == "href"}
    assert links <= set(reader.ids)


def test_hostile_names_stay_words(hostile: list[Page]) -> None:
    """A column, class, file or message never becomes an element or an attribute."""
    for page in hostile:
        reader = read(page)
        assert "script" not in reader.tags
        assert not [name for name, _ in reader.attributes if name.startswith("on")]
        assert not [value for _, value in reader.attributes if value.startswith("javascript")]
        assert "\x1b" not in html.render(page)


def test_hostile_names_are_shown_as_they_are(hostile: list[Page]) -> None:
    """Escaping hides nothing: the reader sees the very characters of the name."""
    shown = "<script>alert('x')</script>\"'&`|**[a](javascript:alert(1))"
    assert all(shown in text_of(page) for page in hostile[:2])


def test_the_verdict_comes_before_everything_else(release: Page) -> None:
    """Verdict, then problems, then numbers."""
    text = text_of(release)
    order = ["Promoted", "Problems and fixes", "Metrics on rows", "Version digest", "Records"]
    places = [text.index(word) for word in order]
    assert text.index("passed its gates") < text.index("Gates")
    assert places == sorted(places)


def test_a_stopped_release_shows_the_gate_that_failed() -> None:
    """The reason stands in the verdict, and a gate without a number is not a pass."""
    records = {"assess": samples.stored(samples.assess_record())}
    ship = samples.ship_record(
        "stopped",
        ("roc_auc.low >= 0.95", "loadtest.latency_p99_ms <= 20"),
        why="roc_auc.low is 0.923, below 0.95.",
        records=records,
    )
    text = text_of(release_page(ship, records))
    assert "Stopped" in text
    assert "roc_auc.low is 0.923, below 0.95." in text
    assert "0 of 2 gates passed" in text
    assert "no number" in text


def test_a_step_that_did_not_run_says_why() -> None:
    """Each absent section reads "Not run" with its reason, and draws no empty chart."""
    records = {"inspect": samples.stored(samples.inspect_record())}
    ship = samples.ship_record(records=records, gates=(), skipped={"loadtest": "out of time"})
    text = text_of(release_page(ship, records))
    assert "Not run: out of time" in text
    assert text.count("Not run: the line did not come to it") >= 3
    assert "no gates set" in text


def test_a_record_that_is_elsewhere_is_not_shown_as_not_started() -> None:
    """A step that ran, but whose record is not at hand, says so."""
    whole = samples.all_records()
    ship = samples.ship_record(records=whole)
    part = {step: stored for step, stored in whole.items() if step != "optimize"}
    text = text_of(release_page(ship, part))
    assert f"its record {whole['optimize'].digest[:12]} is not in this workspace" in text


def test_skipped_and_passed_look_different(release: Page) -> None:
    """What was not checked has a word, a class and a fold of its own."""
    source = html.render(release)
    assert "Not checked (2)" in source
    assert "Checks that passed (4)" in source
    assert source.count("finding o-skipped") == 2
    assert source.count("finding o-passed") == 4
    assert "needs 100 rows" in text_of(release)


def test_every_chart_has_a_name_and_its_numbers(release: Page) -> None:
    """Each drawing is an image with a title, and a table stands under it."""
    source = html.render(release)
    charts = source.count('<figure class="chart">')
    assert charts == 7
    assert source.count('role="img"') == charts
    assert source.count("<summary>The numbers</summary>") == charts


@pytest.mark.parametrize(
    "step", ["inspect", "assess", "optimize", "package", "robustness", "loadtest"]
)
def test_each_record_has_a_page_of_its_own(step: str) -> None:
    """A single record shows its findings, its numbers and its evidence."""
    stored = samples.all_records()[step]
    text = text_of(record_page(stored))
    assert stored.digest[:12] in text
    assert "Problems and fixes" in text


def test_a_cut_short_step_is_not_shown_as_done(release: Page) -> None:
    """A partial record is marked in the line and in its heading."""
    assert text_of(release).count("cut short") == 2


def test_nothing_checked_is_not_no_issue() -> None:
    """A record without findings does not read like a clean one."""
    text = text_of(record_page(samples.stored(samples.package_record())))
    assert "Nothing was checked" in text
    assert "No issue" not in text


def test_a_monitoring_page_shows_both_distributions() -> None:
    """Counts, distances with their rows, and histograms with both samples."""
    text = text_of(monitor_page(samples.monitor_record()))
    assert "2,500 live rows beside 4,000 reference rows" in text
    assert "not compared" in text
    assert "Refused 4" in text


def test_a_huge_signature_stays_readable() -> None:
    """Thousands of columns do not make a page of megabytes, and the cut is stated."""
    import msgspec

    record = samples.inspect_record()
    column = record.signature.columns[0]
    many = tuple(msgspec.structs.replace(column, name=f"c{i}") for i in range(5000))
    wide = msgspec.structs.replace(record.signature, columns=many)
    stored = samples.stored(msgspec.structs.replace(record, signature=wide))
    page = release_page(samples.ship_record(), {"inspect": stored})
    assert "4,900 more rows in the record" in text_of(page)
    assert len(html.render(page)) < 200_000
