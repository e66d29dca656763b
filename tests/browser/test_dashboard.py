"""The dashboard in a real browser, served as people have it: readable by all, live, and alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.browser.chromium import launched
from tests.web.samples import MODEL, SUBJECT, filled

from afterfit.runtime.client import Client
from afterfit.store.records import RecordStore

LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
DESK, PHONE = 1280, 390
PLACES = (
    "/", f"/models/{MODEL}/2", "/endpoints", "/signals?signal=drift",
    "/signals?signal=latency", f"/signals/series?signal=drift&subject={SUBJECT}",
    "/records", "/login",
)  # fmt: skip
HERE = """() => {
  const at = document.activeElement;
  const [style, box] = [getComputedStyle(at), at.getBoundingClientRect()];
  return { tag: at.tagName, text: at.textContent.trim(), line: style.outlineStyle,
           on: box.right > 0 && box.bottom > 0 && box.top < innerHeight };
}"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with something on every page."""
    return filled(tmp_path_factory.mktemp("shop") / ".afterfit")


@pytest.fixture(scope="module")
def served(workspace: Path) -> Iterator[str]:
    """The address of the dashboard."""
    command = [sys.executable, "-m", "afterfit", "ui", "--port", "0", "--json"]
    command += ["--workspace", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            url = str(msgspec.json.decode(process.stdout.readline())["url"]).rstrip("/")
            yield url
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.fixture(scope="module")
def opened(served: str) -> Iterator[Any]:
    """A page whose requests and messages are watched: none goes elsewhere, none complains."""
    with launched() as browser:
        context = browser.new_context(viewport={"width": DESK, "height": 900})
        page = context.new_page()
        wrong: list[str] = []
        asked_for: list[str] = []
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: asked_for.append(asked.url))
        yield page
        context.close()
        assert wrong == []
        assert [url for url in asked_for if not url.startswith((served, "data:"))] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_page_reads_well_wide_and_narrow_light_and_dark(
    opened: Any, served: str, place: str
) -> None:
    """No page is wider than the window, pale or nameless, and its headings go down in order."""
    opened.emulate_media(color_scheme="light")
    opened.goto(served + place)
    opened.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    for width in (PHONE, DESK):
        opened.set_viewport_size({"width": width, "height": 900})
        seen = opened.evaluate(LOOK)
        assert seen["wider"] <= 0, f"{width} px"
        assert seen["cut"] == [], f"{width} px"
        assert seen["pale"] == []
    opened.emulate_media(color_scheme="dark")
    assert opened.evaluate(LOOK)["pale"] == []
    assert seen["nameless"] == []
    assert seen["levels"][0] == 1
    assert seen["levels"].count(1) == 1
    assert seen["landmarks"] == [1, 1, 1]


def test_the_keyboard_reaches_everything_and_shows_where_it_is(opened: Any, served: str) -> None:
    """From the link over the areas to the first row of a list, which opens with Enter."""
    opened.goto(served + "/alarms")
    stops = []
    for _ in range(9):
        opened.keyboard.press("Tab")
        at = opened.evaluate(HERE)
        assert at["line"] != "none", at
        assert at["on"], at
        stops.append(at["text"])
    assert stops[:4] == ["To the content", "Afterfit", "Models", "Endpoints"]
    while not opened.evaluate(HERE)["text"].startswith("drift: "):
        opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    opened.wait_for_url("**/alarms/*")
    assert "What happened" in opened.inner_text("main")


def test_an_open_page_shows_what_is_new_and_keeps_what_is_open(
    opened: Any, served: str, workspace: Path
) -> None:
    """A record that is made meanwhile comes in; the focus stays on its link."""
    opened.clock.install()
    opened.goto(served + "/records?step=assess")
    before = opened.locator("#records tbody tr").count()
    opened.locator("#records a").first.focus()
    store = RecordStore(workspace)
    old = store.list("assess")[0]
    store.put(msgspec.structs.replace(old.body, subject="ab" * 32))
    opened.clock.fast_forward(11_000)
    rows = opened.locator("#records tbody tr")
    rows.nth(before).wait_for()
    assert rows.count() == before + 1
    assert opened.evaluate(HERE)["text"] == "Quality"
    assert opened.inner_text("#live") == "Live"


def test_the_server_itself_refuses_another_host(served: str) -> None:
    """Behind a real HTTP server as in the application alone."""
    with Client(served) as client:
        reply = client.request("GET", "/", host="evil.example")
    assert reply.status == 421
    assert "server" not in reply.headers
