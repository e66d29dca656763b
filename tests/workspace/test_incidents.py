"""An incident: changes in the window, rows of each version, the way back, and the proof."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.traffic import chance, rows

from afterfit.cli.app import run
from afterfit.core.event import Event, new_id
from afterfit.errors import NotFoundError, UsageError
from afterfit.monitor.store import Change
from afterfit.records.signals import Alarm, Scope, SignalPoint
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.sinks.segments import SegmentWriter
from afterfit.stats.interval import wilson
from afterfit.store.files import remove_tree
from afterfit.workspace import Workspace
from afterfit.workspace.incidents import incident
from afterfit.workspace.watch import monitor_store

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
MINUTE = 60_000_000


def served(minute: int, *, failed: bool, digest: str, flags: tuple[str, ...] = ()) -> Event:
    """An answer, or a failure, so many minutes before now."""
    return Event(
        event_id=new_id(),
        kind="failed" if failed else "served",
        ts=round(NOW * 1e6) - minute * MINUTE,
        model="job",
        version=2,
        digest=digest,
        flags=flags,
        error="out of memory" if failed else "",
    )


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """Two versions, the second champion, that fails half its rows in the last hour."""
    space = Workspace(tmp_path / ".afterfit")
    for number, bias in enumerate((-3.0, -2.0), 1):
        people_bundle(tmp_path / f"b{number}", bias=bias)
        version = space.registry.register("job", tmp_path / f"b{number}", who="ana")
        space.registry.promote("job", number, who="ana", why=f"release {number}")
    events = [served(90, failed=k < 2, digest=version.digest) for k in range(100)]
    events += [served(30, failed=k < 50, digest=version.digest, flags=("ood",) if k % 2 else ())
               for k in range(100)]  # fmt: skip
    space.events.mkdir()
    writer = SegmentWriter(space.events, "w0")
    for batch in batches_of(events):
        writer.write(batch)
    writer.close()
    return space


def test_rows_of_the_window_are_beside_those_before(space: Workspace) -> None:
    """Half failed, 2 % did before: counts, errors and flags are exact, the difference is sure."""
    found = incident(space, since_s=3600, now=NOW)
    (version,) = found.affected
    assert (version.version, version.rows) == (2, 100)
    assert version.failed.value == 0.5
    assert version.before.value == 0.02
    bounds = wilson(50, 100)
    assert (version.failed.low, version.failed.high) == (bounds.low, bounds.high)
    assert version.gap.low is not None
    assert version.gap.low > 0.3
    assert version.flags == {"ood": 50}
    assert version.errors == {"out of memory": 50}
    assert "no inputs were captured" in found.replay_note
    assert found.rollback[0][0].startswith("afterfit version rollback job --why")
    assert "job is version 1 again" in found.rollback[0][1]


def test_captured_rows_are_asked_of_the_version_to_go_back_to(space: Workspace) -> None:
    """What version 1 would have said of the rows of the window alone, beside what version 2 did."""
    version = space.registry.resolve("job@2")
    asked = rows(60, seed=5)
    events = []
    for place, row in enumerate(asked):
        share = float(chance(row, -2.0))
        told = msgspec.structs.replace(
            served(90 if place < 20 else 30, failed=False, digest=version.digest),
            label="yes" if share >= 0.5 else "no",
            probabilities=(1 - share, share),
            inputs=row,
        )
        events.append(told)
    writer = SegmentWriter(space.events, "w1")
    for batch in batches_of(events):
        writer.write(batch)
    writer.close()
    found = incident(space, since_s=3600, now=NOW)
    assert found.replay_note == "job@1 was asked for what was captured since the window began"
    flips = next(metric for metric in found.replayed if metric.name == "disagreement")
    differ = [(chance(row, -2.0) >= 0.5) != (chance(row, -3.0) >= 0.5) for row in asked[20:]]
    assert 0 < sum(differ) < 40
    assert (flips.value, flips.n) == (sum(differ) / 40, 40)


def test_changes_and_proof_are_those_of_the_log(space: Workspace) -> None:
    """What the log says in the window is told with its line; a cut log proves nothing."""
    found = incident(space, since_s=3600, now=time.time())
    told = [change for change in found.changes if change.kind == "version"]
    assert [change.what for change in told][1::2] == [
        "promote: job@champion is version 1",
        "promote: job@champion is version 2 (was 1)",
    ]
    assert (told[-1].who, told[-1].why) == ("ana", "release 2")
    assert told[-1].source == "audit log, line 4"
    check = space.registry.verify_log()
    assert (found.proof.lines, found.proof.head) == (check.lines, check.head)
    assert set(found.proof.digests) == {"job@1", "job@2"}
    assert found.proof.broken == ()
    manifest = space.blobs.manifest(found.proof.digests["job@1"])
    blob = space.blobs.path(manifest.files["model/model.onnx"].sha256)
    blob.unlink()
    remove_tree(space.folder / "bundles" / found.proof.digests["job@1"])
    assert any("job@1" in text for text in incident(space, since_s=60).proof.broken)


def test_an_alarm_says_when(
    space: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its window is looked at, it is a change of data itself, and the page has all parts."""
    monkeypatch.chdir(tmp_path)
    start = round(NOW * 1e6) - 60 * MINUTE
    scope = Scope(endpoint="e", model="job", version=2)
    point = SignalPoint(signal="drift", subject="age", scope=scope, start=start,
                        end=start + 60 * MINUTE, n=500, state="alarm", value=0.4,
                        threshold=0.1)  # fmt: skip
    alarm = Alarm(signal="drift", subject="age", scope=scope, state="resolved", severity="high",
                  opened=start, updated=start, resolved=round(NOW * 1e6), worst=point)  # fmt: skip
    store = monitor_store(space)
    store.commit("e", Change(alarms=[alarm]))
    store.close()
    found = incident(space, alarm.id[:6], now=NOW)
    assert found.affected[0].rows == 100
    (drift,) = [change for change in found.changes if change.kind == "data"]
    assert drift.what == "drift age: 0.4, threshold 0.1 (n = 500)"
    with pytest.raises(NotFoundError, match="no alarm"):
        incident(space, "zzz")
    with pytest.raises(UsageError):
        incident(space)
    assert run(["incident", alarm.id, "--format", "html", "-o", "p.html"]) == 0
    page = (tmp_path / "p.html").read_text()
    for part in ("The way back", "What changed", "Which requests", "Proof", "out of memory"):
        assert part in page
    assert run(["incident", alarm.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]
    assert told["affected"][0]["rows"] == 100
    assert run(["incident"]) == 2
