"""Anchors: a log that was rebuilt whole, its chain and its head made anew, is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from afterfit.errors import IntegrityError, NotFoundError, UnavailableError, UsageError
from afterfit.registry.anchor import GIT_NOTE, anchor, check_anchors, known_places
from afterfit.registry.registry import Registry
from afterfit.store.blobs import BlobStore

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def noted(registry: Registry) -> Registry:
    """A registry whose log has three lines."""
    for number in range(3):
        registry.note("trust", who="ana", to=f"thing-{number}")
    return registry


def rebuilt(registry: Registry, whose: tuple[str, ...]) -> Registry:
    """The registry after somebody made its log anew with other words, chain and head intact."""
    folder = registry.folder
    for name in ("audit.jsonl", "registry"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = Registry(folder, BlobStore(folder), clock=lambda: _LONG_AGO)
    for number, who in enumerate(whose):
        again.note("trust", who=who, to=f"thing-{number}")
    assert again.verify_log().lines == len(whose)
    return again


def test_an_anchor_agrees_with_a_log_that_went_on(noted: Registry, tmp_path: Path) -> None:
    """The anchored line is still there, lines were added; the place is remembered."""
    place = str(tmp_path / "elsewhere" / "anchors.jsonl")
    made = anchor(noted, [place], who="ana")
    assert made.line == 3
    noted.note("trust", who="bo", to="more")
    anchor(noted, [place], who="bo")
    noted.note("trust", who="bo", to="still more")
    found = check_anchors(noted.log(), known_places(noted.folder))
    assert (found.anchors, found.line, found.places) == (2, 4, (place,))


@pytest.mark.parametrize("whose", [("eve",) * 3, ("eve",) * 2, ("eve",) * 9])
def test_a_rebuilt_log_is_noticed(whose: tuple[str, ...], noted: Registry, tmp_path: Path) -> None:
    """Its own chain is whole, so only the anchor tells."""
    place = str(tmp_path / "anchors.jsonl")
    anchor(noted, [place], who="ana")
    with pytest.raises(IntegrityError, match="not the one that was anchored"):
        check_anchors(rebuilt(noted, whose).log(), [place])


def test_a_log_rebuilt_after_its_first_line_or_cut_is_noticed(
    noted: Registry, tmp_path: Path
) -> None:
    """The first line is as it was; the anchored one is another, or gone."""
    place = tmp_path / "anchors.jsonl"
    anchor(noted, [str(place)], who="ana")
    entries = noted.log()
    with pytest.raises(IntegrityError, match="line 3 is gone") as caught:
        check_anchors(entries[:2], [str(place)])
    assert "ana anchored it" in caught.value.why
    told = json.loads(place.read_text())
    place.write_text(json.dumps(told | {"hash": "0" * 64}) + "\n")
    with pytest.raises(IntegrityError, match="line 3 has another hash"):
        check_anchors(entries, [str(place)])


def test_what_is_no_anchor_vouches_for_nothing(noted: Registry, tmp_path: Path) -> None:
    """A file that is gone or empty, and an empty log."""
    anchor(noted, [str(tmp_path / "a")], who="ana")
    (tmp_path / "a").write_text("")
    with pytest.raises(NotFoundError, match="no anchors"):
        check_anchors(noted.log(), [str(tmp_path / "a")])
    (tmp_path / "a").unlink()
    with pytest.raises(NotFoundError):
        check_anchors(noted.log(), [str(tmp_path / "a")])
    empty = Registry(tmp_path / "empty", BlobStore(tmp_path / "empty"))
    with pytest.raises(UsageError, match="empty"):
        anchor(empty, [str(tmp_path / "b")], who="ana")


def test_a_note_of_git_holds_anchors(
    noted: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written to the commit that is checked out, read from all notes; without a commit it says."""
    monkeypatch.chdir(tmp_path)
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*run, "init", "-q"], check=True)
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "ana")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ana@example.org")
    with pytest.raises(UsageError, match="git did not"):
        anchor(noted, [GIT_NOTE], who="ana")
    subprocess.run([*run, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    anchor(noted, [GIT_NOTE], who="ana")
    noted.note("trust", who="ana", to="more")
    anchor(noted, [GIT_NOTE], who="ana")
    assert check_anchors(noted.log(), known_places(noted.folder)).anchors == 2


def test_a_web_address_takes_an_anchor_or_is_told_of(noted: Registry) -> None:
    """One POST of the same JSON; the token of an address that does not answer is not shown."""
    taken: list[bytes] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    made = anchor(noted, [f"http://127.0.0.1:{server.server_port}/"], who="ana")
    thread.join()
    server.server_close()
    assert json.loads(taken[0])["hash"] == made.hash == noted.verify_log().head
    assert known_places(noted.folder) == ()
    with pytest.raises(UnavailableError) as caught:
        anchor(noted, [f"http://127.0.0.1:{server.server_port}/?token=hunter2"], who="ana")
    assert "hunter2" not in str(caught.value)
