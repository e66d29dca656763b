"""What the pages say: with data and without, as HTML and JSON, of hostile names and much data."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.samples import HOSTILE
from tests.web.samples import HOUR, MODEL, NOW, SUBJECT, Browser, scope, site_of

from afterfit.core.metric import Metric
from afterfit.monitor.store import Change, open_store
from afterfit.records.signals import SignalPoint
from afterfit.runtime.ledger import WorkerStatus
from afterfit.serve.observe import Answers, EndpointReport, ModelReport, RoleReport, ShadowReport
from afterfit.serve.rollout import DIVIDE
from afterfit.web import render
from afterfit.web.app import PAGES
from afterfit.web.pages import (
    alarms,
    endpoints,
    messages,
    models,
    overview,
    records,
    rollouts,
    signals,
)
from afterfit.web.parts import View
from afterfit.web.series import MOST_POINTS, thinned
from afterfit.web.site import Server, Site, kept_by_monitor

SERIES = f"/signals/series?signal=drift&subject={SUBJECT}&model={MODEL}&version=2"
FIXED = (
    "/", f"/models/{MODEL}", f"/models/{MODEL}/2", f"/models/{MODEL}/2/release",
    f"/models/{MODEL}/2/card", f"/models/{MODEL}/2/score", "/endpoints", "/rollouts",
    "/loads", "/signals",
    "/signals?signal=drift", "/signals?signal=latency", "/signals?signal=performance", SERIES,
    "/alarms", f"/alarms?model={MODEL}", "/records", "/records?step=assess",
)  # fmt: skip
VIEWS = (
    overview.Overview, models.Model, models.VersionPage, models.VersionReport, endpoints.Endpoints,
    endpoints.Loads, rollouts.Rollouts, signals.Signals, signals.Series, alarms.Alarms,
    alarms.Story, records.Records, records.RecordPage, messages.Problem,
)  # fmt: skip


def as_json(path: str) -> str:
    """The path under which a page answers JSON."""
    before, mark, query = path.partition("?")
    return f"{'/index' if before == '/' else before}.json{mark}{query}"


def places(browser: Browser) -> list[str]:
    """Every kind of page of a workspace with data."""
    told = browser.get("/records.json").json()["data"]["records"]
    one_a_step = {record["step"]: record["digest"] for record in told}
    found = browser.get("/alarms.json").json()["data"]["alarms"]
    return [
        *FIXED,
        *(f"/records/{digest}" for digest in one_a_step.values()),
        *(f"/alarms/{alarm['id']}" for alarm in found),
    ]


class Shape(HTMLParser):
    """The tags of a document, and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]


def test_every_page_answers_as_html_and_as_json(browser: Browser) -> None:
    """Each says what page it is; nothing in it comes from elsewhere, and every link leads on."""
    links: set[str] = set()
    seen = places(browser)
    for path in seen:
        answer, told = browser.get(path), browser.get(as_json(path))
        assert (answer.status, told.status) == (200, 200), (path, answer.text[:900])
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert told.headers["content-type"] == "application/json"
        assert set(told.json()) == {"page", "title", "data"}
        shape = Shape(answer.text)
        assert "style" not in shape.attributes | shape.tags
        assert all(link.startswith(("/", "#")) or link == "data:," for link in shape.links), path
        links |= {link for link in shape.links if link.startswith("/")}
    unseen = {link for link in links if link not in seen and link != "/logout"}
    assert {path: browser.get(path).status for path in unseen} == dict.fromkeys(unseen, 200)


def test_the_json_is_what_the_html_is_made_from(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template gets the page, the areas and the name of the reader, and no other data."""
    given: list[dict[str, Any]] = []
    template = render.environment().get_template("view.html.j2")
    plain = template.render

    def kept(**context: Any) -> str:
        given.append(context)
        return plain(**context)

    monkeypatch.setattr(template, "render", kept)
    told = browser.get("/signals.json?signal=drift").json()
    assert browser.get("/signals?signal=drift").status == 200
    assert [set(context) for context in given] == [{"view", "areas", "user"}]
    assert json.loads(render.json(given[0]["view"])) == told
    assert list(told["data"]) == [field.name for field in fields(given[0]["view"])]


def test_the_fields_of_every_page_are_documented(project_root: Path) -> None:
    """The table of the how-to has each page with exactly its fields, in order."""
    text = (project_root / "docs" / "how-to" / "dashboard.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]+\|[^|]+\| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE)
    documented = {name: re.findall(r"`(\w+)`", told) for name, told in rows[1:]}
    assert documented == {view.__name__: [f.name for f in fields(view)] for view in VIEWS}
    made = {view for view in _all_views() if view is not messages.Login}
    assert made == set(VIEWS)
    assert len(PAGES) == len(VIEWS) - 1


def _all_views() -> set[type[View]]:
    return {view for view in View.__subclasses__() if view.__module__.startswith("afterfit.")}


def test_a_workspace_without_anything_says_how_to_begin(empty: Browser) -> None:
    """No page of lists fails for want of data; each names the command that makes some."""
    for path in ("/", "/endpoints", "/loads", "/signals", "/alarms", "/records"):
        answer = empty.get(path)
        assert answer.status == 200
        assert "afterfit " in answer.text or path == "/records", path
    assert empty.get("/index.json").json()["data"]["alarms"] is None
    assert empty.get("/signals.json").json()["data"]["monitored"] is False


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/models/nobody", 404), (f"/models/{MODEL}/99", 404), (f"/models/{MODEL}/2/secrets", 404),
        ("/models/..%2F..%2Fetc", 404), ("/models/%3Cscript%3E", 400), ("/records/zz", 400),
        ("/records/..%2F..%2Faudit", 404), ("/records/0000000000", 404), ("/alarms/0123", 404),
        ("/signals/series?signal=none", 404), ("/signals?version=x", 400), ("/records?page=0", 400),
        ("/records?page=9999999999999", 400), ("/static/..%2Fapp.py", 404),
        ("/static/../app.py", 404), ("/static/page.css.j2", 404), ("/nothing", 404),
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_page_without_a_traceback(
    browser: Browser, path: str, status: int
) -> None:
    """Names that lead out of the workspace find nothing, as HTML and as JSON."""
    answer = browser.get(path)
    assert answer.status == status, answer.text[:500]
    assert "Traceback" not in answer.text
    assert Shape(answer.text).tags >= {"main", "h1"}
    told = browser.get(path, accept="application/json")
    assert told.status == status
    assert told.json()["page"] == "Problem"


def test_a_defect_is_a_page_that_tells_nothing_of_the_code(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback, the page has not."""

    def broken() -> None:
        raise RuntimeError("at line 3 of secret.py")

    site = Site(workspace, monitor=broken)
    answer = Browser(site).get("/alarms")
    assert answer.status == 500
    assert "secret.py" not in answer.text
    assert "secret.py" in caplog.text


def test_hostile_names_stay_words(hostile: Browser) -> None:
    """On every page, as a column, a category, a class, a reason and the name of a file."""
    seen = 0
    for path in places(hostile):
        answer = hostile.get(path)
        if path.startswith("/signals/series"):
            continue
        assert answer.status == 200, path
        seen += "alert(" in answer.text
        assert "<script>" not in answer.text.replace("<script src", "")
        scripts = [link for link in Shape(answer.text).links if link.startswith("javascript")]
        assert scripts == []
    assert seen > 6
    told = hostile.get("/signals.json?signal=drift").json()["data"]["series"]
    assert HOSTILE in {one["subject"] for one in told}


def test_servers_are_shown_with_shares_and_latency(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers with its roles, shadows and processes, and one that does not with why."""
    share = Metric(name="share", value=0.11, low=0.09, high=0.13, n=1000)
    p99 = Metric(name="p99", value=4.2, low=4.0, high=4.5, n=900, unit="ms")
    roles = tuple(
        RoleReport(
            role=role, version=version, digest="ab" * 32, requests=900, rows=900,
            failed=version - 1, asked=0.1, observed=share, latency=(p99,),
        )
        for role, version in (("primary", 1), ("canary", 2))
    )  # fmt: skip
    shadow = ShadowReport(
        version=2, digest="ab" * 32, against=1, rows=900, dropped=3, failed=0, flips=share,
        difference=share, absolute=share, largest=0.4,
    )  # fmt: skip
    answers = (Answers(of="yes", primary=share, canary=share, difference=share),)
    model = ModelReport(name=MODEL, loaded=True, roles=roles, answers=answers, shadows=(shadow,))
    report = EndpointReport(
        name="shop", url="http://127.0.0.1:8080", generation=3, changed=NOW / 1e6 - 90,
        models=(model,), workers=(WorkerStatus(slot=0, pid=77, ready=False),), restarts=1, hangs=0,
    )  # fmt: skip
    site = site_of(workspace)
    servers = (
        Server("shop", report.url, 76, report),
        Server("old", "http://127.0.0.1:8081", 75, problem="connection refused"),
    )
    monkeypatch.setattr(site, "servers", lambda: servers)
    browser = Browser(site)
    text = browser.get("/endpoints").text
    for told in ("0 of 1", "1 min ago", "[9, 13]", "4.20 ms", "connection refused"):
        assert told in text
    assert "/models/churn/2" in Shape(text).links
    data = browser.get("/endpoints.json").json()["data"]
    assert data["servers"][0]["report"]["models"][0]["roles"][1]["failed"] == 1
    (division,) = browser.get("/rollouts.json").json()["data"]["divisions"]
    assert (division["model"], division["primary"], division["canary"]) == (MODEL, 1, 2)
    assert (division["share"], division["shadows"]) == (0.1, [2])
    assert "3, 1 min ago" in browser.get("/rollouts").text


def test_changes_of_who_answers_are_told_from_the_audit_log(workspace: Path) -> None:
    """Promotions, rollbacks and divisions, the newest first; other lines are left out."""
    site = site_of(workspace)
    site.registry.note("attest", who="ana", name=MODEL, why="seen")
    details = {"canary": "2=10%", "shadow": ["1", "2"]}
    site.registry.note(DIVIDE, who="ana", name=MODEL, why="try <it>", details=details)
    told = Browser(site).get("/rollouts.json").json()["data"]["changes"]
    assert [change["action"] for change in told[:3]] == ["divide", "rollback", "promote"]
    assert {change["action"] for change in told} == {"divide", "rollback", "promote"}
    assert told[0]["what"] == "canary 2=10%, shadow 1, 2"
    assert told[1]["what"] == "champion: version 1, before it 2"
    assert "try &lt;it&gt;" in Browser(site).get("/rollouts").text


def test_a_page_that_has_not_changed_is_not_sent_again(browser: Browser) -> None:
    """Whoever shows its ETag gets 304, which is how open pages look for news."""
    tag = browser.get("/alarms").headers["etag"]
    again = browser.get("/alarms", if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert browser.get("/alarms.json").headers["etag"] != tag


def test_the_story_of_an_alarm_is_in_order(browser: Browser) -> None:
    """From its first window over who was told to what should be done."""
    found = browser.get("/alarms.json").json()["data"]["alarms"]
    firing = next(alarm for alarm in found if alarm["state"] == "firing")
    data = browser.get(f"/alarms/{firing['id']}.json").json()["data"]
    told = [event["what"] for event in data["events"]]
    assert told == [
        "first window", "slack: failed", "slack: sent", "rollback: would have been told",
    ]  # fmt: skip
    assert data["distribution"]["edges"]
    assert len(data["others"]) == 1
    assert "alarm" in data["windows"]["state"]
    assert "Fix" in data["steps"]


def test_a_series_keeps_its_alarms_however_few_points_it_has() -> None:
    """Each point stands for several windows: an alarm among them, or the farthest from usual."""
    count = 10_000
    values = np.zeros(count)
    values[[17, 5000]] = 0.4, -0.7
    states = np.full(count, "ok", dtype=object)
    states[7777] = "alarm"
    frame = {
        "start": np.arange(count), "finish": np.arange(count) + 1, "n": np.ones(count, int),
        "state": states, "value": values, "usual": np.zeros(count),
        **{name: np.full(count, np.nan) for name in ("low", "high", "threshold")},
    }  # fmt: skip
    found = thinned(frame)
    assert len(found.start) <= MOST_POINTS
    assert (found.windows, found.of) == (count, 25)
    assert {17, 5000, 7777} <= set(found.start)
    assert found.state.count("alarm") == 1
    assert set(found.low) == {None}


def test_ten_thousand_columns_are_one_short_page(tmp_path: Path) -> None:
    """The server ranks them and sends fifty: those that are nearest to an alarm come first."""
    folder = tmp_path / ".afterfit"
    folder.mkdir()
    store = open_store("", folder / "monitor")
    points = (
        SignalPoint(
            signal="drift", subject=f"c{i}", scope=scope(), start=NOW - HOUR, end=NOW, n=1000,
            state="alarm" if i == 7 else "ok", value=i / 1e5, usual=0.0, threshold=0.2,
        )
        for i in range(10_000)
    )  # fmt: skip
    store.commit("shop", Change(points=points))
    store.close()
    browser = Browser(Site(folder, monitor=lambda: kept_by_monitor(folder)))
    answer = browser.get("/signals?signal=drift")
    data = browser.get("/signals.json?signal=drift").json()["data"]
    assert data["pages"] == {"page": 1, "pages": 200, "total": 10_000}
    assert [one["subject"] for one in data["series"][:3]] == ["c7", "c9999", "c9998"]
    assert len(answer.body) < 150_000
    last = browser.get("/signals.json?signal=drift&page=200").json()["data"]["series"]
    assert last[-1]["subject"] == "c0"
