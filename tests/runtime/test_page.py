"""The page: every name is text, nothing comes from elsewhere, and a browser runs it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.browser.chromium import real_browser
from tests.runtime.signatures import MANY, ODD_NAME, SCRIPT, numbers, odd, people

from afterfit.runtime.example import example_row
from afterfit.runtime.messages import Response
from afterfit.runtime.page import page, snippets
from afterfit.serve.run import ServerHandle

VOID = {"meta", "link", "input"}


class Element:
    """One element of the page: its attributes, its own text, and what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.text = ""
        self.children: list[Element] = []

    def all(self, tag: str = "", name: str = "") -> list[Element]:
        """Every element in it of a tag and class, in order."""
        found = []
        for child in self.children:
            classes = child.attributes.get("class", "").split()
            if tag in {"", child.tag} and (not name or name in classes):
                found.append(child)
            found += child.all(tag, name)
        return found

    def one(self, tag: str = "", name: str = "") -> Element:
        """The only one."""
        (found,) = self.all(tag, name)
        return found


class Reader(HTMLParser):
    """Reads a page as a browser would, and fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.open[-1].text += data


def read(response: Response) -> Element:
    """The root of a page."""
    return Reader(response.body.decode()).root


def policy(response: Response) -> dict[str, str]:
    """The content security policy by its directives."""
    text = dict(response.headers)["content-security-policy"]
    return {name: rest for name, _, rest in (part.partition(" ") for part in text.split("; "))}


def test_the_model_and_its_columns_are_shown() -> None:
    """Name, version, digest, what is predicted; a field a column with kind, range and example."""
    root = read(page({"churn": people()}, endpoint="prod"))
    assert root.one("title").text == root.one("h1").text == "prod"
    section = root.one("section")
    assert section.one("h2").text == "churn"
    facts = " ".join(each.text for each in section.one(name="facts").all())
    assert "Version 3 · predicts target: no, yes · yes from a probability of 0.5" in facts
    assert "3f" * 32 in facts
    fields = section.all("label", "field")
    assert [field.one(name="name").text for field in fields] == ["age", "hours", "job"]
    assert [field.one(name="hint").text for field in fields] == [
        "number · 18 to 80 · empty for null",
        "integer · 10 to 59",
        "category",
    ]
    assert [
        fields[0].one("input").attributes["value"],
        fields[1].one("input").attributes["value"],
    ] == [
        "49.0",
        "34",
    ]
    options = fields[2].one("select").all("option")
    assert [option.text for option in options] == ["clerk", "nurse", "smith", "other…"]
    assert "selected" in options[0].attributes


def test_every_name_is_text_and_never_markup() -> None:
    """A column called <script>, quotes, ampersands and other alphabets come back as they are."""
    response = page({ODD_NAME: odd()}, endpoint='"><img src=x onerror=alert(1)>', secured=True)
    root = read(response)
    columns = odd().signature.names
    section = root.one("section")
    assert section.one("h2").text == ODD_NAME
    fields = section.all("label", "field")
    assert [field.one(name="name").text for field in fields] == list(columns)
    assert [json.loads(field.attributes["data-name"]) for field in fields] == list(columns)
    assert len(root.all("script")) == 1
    assert root.all("img") == []
    assert root.all("b") == []
    assert SCRIPT.encode() not in response.body
    options = fields[2].one("select").all("option")
    assert [option.text for option in options] == ["x<y", "'z'", "(empty)", "null", "other…"]
    values = [json.loads(option.attributes["value"]) for option in options[:-1]]
    assert values == ["x<y", "'z'", "", None]
    assert section.one("form").attributes["data-path"] == (
        "predict/%C3%BCber%20%3Cb%3E%7Bmich%7D%3C%2Fb%3E%2Fx"
    )


def test_long_lists_of_categories_are_typed_and_booleans_are_chosen() -> None:
    """More than 50 categories make no menu."""
    fields = read(page({"m": odd()})).all("label", "field")
    assert fields[0].all("select") == []
    assert fields[0].one(name="hint").text == f"category · {len(MANY)} known · empty for null"
    assert fields[0].one("input").attributes["value"] == "c0"
    flags = fields[3].one("select").all("option")
    assert [option.text for option in flags] == ["false", "true", "null"]
    assert fields[3].all("input") == []


@pytest.mark.parametrize("secured", [False, True])
def test_the_policy_lets_this_script_and_style_in_and_nothing_else(*, secured: bool) -> None:
    """By hash; no inline handler or style, no address beyond the server."""
    response = page({"churn": people(), ODD_NAME: odd()}, secured=secured)
    root = read(response)
    rules = policy(response)
    for tag in ("script", "style"):
        digest = hashlib.sha256(root.one(tag).text.encode()).digest()
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
        assert root.one(tag).attributes == {}
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for element in root.all():
        assert not [name for name in element.attributes if name == "style" or name[:2] == "on"]
        for name in ("src", "href", "action"):
            assert ":" not in element.attributes.get(name, "").replace("data:,", "")
    style, script = root.one("style").text, root.one("script").text
    assert not re.search(r"url\(|@import", style)
    assert not re.search(r"https?:|innerHTML|outerHTML|insertAdjacent|document\.write", script)
    headers = dict(response.headers)
    assert response.content_type == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"


def test_several_models_are_reached_from_the_top() -> None:
    """Each has a form of its own."""
    root = read(page({"churn": people(), "price": numbers(), ODD_NAME: odd()}))
    links = root.all("nav")[0].all("a")
    assert [(link.text, link.attributes["href"]) for link in links] == [
        ("churn", "#model-0"),
        ("price", "#model-1"),
        (ODD_NAME, "#model-2"),
    ]
    assert [each.attributes["id"] for each in root.all("section")] == [
        "model-0",
        "model-1",
        "model-2",
    ]
    assert "predicts price, a number" in root.all("section")[1].all("p")[0].text
    assert len(read(page({"churn": people()})).all("nav")) == 1


def test_a_key_is_asked_for_where_the_server_asks_for_one() -> None:
    """It is a password field, and stands in both commands as a variable."""
    section = read(page({"churn": people()}, secured=True)).one("section")
    assert section.one("input", "key").attributes["type"] == "password"
    for kind in ("curl", "python"):
        assert "AFTERFIT_KEY" in section.one("pre", kind).text
    plain = read(page({"churn": people()})).one("section")
    assert plain.all("input", "key") == []
    assert "AFTERFIT_KEY" not in plain.one("pre", "curl").text


def test_an_example_can_be_given_null_included() -> None:
    """Such as the bundle's own golden row."""
    rows = {"m": {**dict.fromkeys(odd().signature.names), "days": 7}}
    fields = read(page({"m": odd()}, rows=rows)).all("label", "field")
    assert fields[0].one("input").attributes["value"] == ""
    chosen = [option for option in fields[3].all("option") if "selected" in option.attributes]
    assert [option.text for option in chosen] == ["null"]
    assert fields[4].one("input").attributes["value"] == "7"


def test_the_commands_of_the_page_work(server: ServerHandle) -> None:
    """Pasted into a shell and into Python they print the prediction of the example."""
    section = read(page({"churn": people()}, url=f"{server.url}/")).one("section")
    program = section.one("pre", "python").text
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
    )
    assert "'label': 'no'" in printed.stdout
    if shutil.which("curl") is None:
        pytest.skip("NOT RUN: curl is not installed")
    command = section.one("pre", "curl").text
    done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=30)
    answer = json.loads(done.stdout)
    assert answer["predictions"][0]["label"] == "no"


def test_a_row_of_odd_names_reaches_shell_and_python_whole() -> None:
    """Quotes of both kinds, a backslash, a dollar sign and a newline are data there."""
    row: dict[str, Any] = {"a'b\"c\\d": "$HOME `x`\n", SCRIPT: None, "f": True, "n": 1.5}
    command = snippets.curl("http://h/p", row, secured=False)
    script = f'curl() {{ for word; do last="$word"; done; printf %s "$last"; }}\n{command}'
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, timeout=10)
    assert json.loads(done.stdout) == {"rows": [row]}
    program = snippets.python("http://h/p", row, secured=True)
    found: dict[str, Any] = {}
    exec(compile(program.partition("\nrequest =")[0], "page", "exec"), found)  # noqa: S102 - what the page tells people to run
    assert found["row"] == row


class Site(ThreadingHTTPServer):
    """Serves one page and answers predictions as the real server does; ``asked`` has the bodies."""

    def __init__(self, made: Response) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.made = made
        self.asked: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        """The page, as from below a proxy's path."""
        return f"http://127.0.0.1:{self.server_address[1]}/prefix/docs"


class Handler(BaseHTTPRequestHandler):
    """One request of the browser."""

    def do_GET(self) -> None:
        """Give the page with its headers."""
        assert isinstance(self.server, Site)
        made = self.server.made
        self.give(made.status, made.body, (("content-type", made.content_type), *made.headers))

    def do_POST(self) -> None:
        """Refuse hours that are no number, in the form of the server; predict yes for the rest."""
        assert isinstance(self.server, Site)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, body))
        if b'"hours": "' in body:
            wrong = {"path": "$.rows[0].hours", "message": "expected an integer"}
            self.give(422, json.dumps({"error": "hours is wrong", "fields": [wrong]}).encode())
        else:
            said = {"id": "e1", "label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
            self.give(200, json.dumps({"predictions": [said]}).encode())

    def give(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send one answer."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def browsed(made: Response, profile: Path) -> Iterator[tuple[Element, Site]]:
    """What a real browser made of a page two seconds (of its own clock) after it was loaded."""
    chromium = real_browser(os.environ)
    with Site(made) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={profile}", "--virtual-time-budget=2000", site.url]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
        finally:
            site.shutdown()
            thread.join()
        yield Reader(done.stdout).root, site


def test_a_browser_runs_the_script_under_the_policy(tmp_path: Path) -> None:
    """It wakes the buttons and writes where the page really came from into the commands."""
    made = page({"churn": people(), ODD_NAME: odd()})
    with browsed(made, tmp_path) as (root, site):
        assert [each for each in root.all("button") if "disabled" in each.attributes] == []
        base = site.url.removesuffix("docs")
        for section, model in zip(root.all("section"), (people(), odd()), strict=True):
            url = base + section.one("form").attributes["data-path"]
            row = example_row(model.signature)
            assert section.one("pre", "python").text == snippets.python(url, row, secured=False)
            assert section.one("pre", "curl").text == snippets.curl(url, row, secured=False)
        assert len(root.all("script")) == 1
        assert site.asked == []


DRIVER = """
const [good, bad] = document.forms;
const type = (form, place, text) => {
  const input = form.querySelectorAll(".field")[place].querySelector("input");
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
const select = good.querySelector("select");
select.value = "other";
select.dispatchEvent(new Event("input", { bubbles: true }));
type(good, 0, "");
type(good, 1, "9007199254740993");
type(good, 2, "pi<lot");
type(bad, 1, "many");
good.requestSubmit();
bad.requestSubmit();
"""


def test_a_person_tries_a_row_and_sees_answer_or_mistake(tmp_path: Path) -> None:
    """What is typed is sent exactly; the answer has bars, and a mistake stands at its field."""
    made = page({"good": people(), "bad": people()})
    driven = made.body.replace(b"</body>", f"<script>{DRIVER}</script></body>".encode())
    # The policy would keep the test's own script out, as it should.
    with browsed(made._replace(body=driven, headers=()), tmp_path) as (root, site):
        sent = dict(site.asked)
        assert sent["/prefix/predict/good"] == (
            b'{"rows": [{"age": null, "hours": 9007199254740993, "job": "pi<lot"}]}'
        )
        good, bad = root.all("section")
        result = good.one(name="result")
        assert "hidden" not in result.attributes
        assert result.one(name="said").text == "yes"
        assert [each.text for each in result.one(name="chances").all("span")] == [
            "yes",
            "75.0 %",
            "no",
            "25.0 %",
        ]
        assert "ms round trip" in result.one(name="took").text
        assert good.all(name="note")[2].text == "not known: served and flagged"
        assert "failed" in bad.one(name="result").attributes["class"]
        assert bad.one(name="said").text == "hours is wrong"
        assert bad.all(name="field")[1].attributes["class"] == "field wrong"
        assert bad.all(name="note")[1].text == "expected an integer"
