"""Another version is asked what was served before: from events, and from a table."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.traffic import chance, rows

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.core.sections import ServeSection
from afterfit.errors import UsageError
from afterfit.records.rollout import ReplayRecord
from afterfit.runtime.events import Scan, segments
from afterfit.runtime.journal import Capture
from afterfit.runtime.sinks.opening import open_sink
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import start_server
from afterfit.workspace import Workspace
from afterfit.workspace.replaying import replay
from afterfit.workspace.served import counts_at

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = rows(80, seed=3)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with versions 1 (served) and 2, which says yes more often."""
    monkeypatch.chdir(tmp_path)
    config = Config(gates=(), serve=ServeSection(capture="all"))
    space = Workspace(tmp_path / ".afterfit", config=config)
    for number, bias in enumerate((-3.0, -2.0)):
        people_bundle(tmp_path / f"draft{number}", bias=bias)
        space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
    space.promote("churn", 1)
    return space


def _yes(bias: float, of: Sequence[dict[str, Any]] = ROWS) -> np.ndarray:
    return np.array([chance(row, bias) >= 0.5 for row in of])


def test_served_rows_are_scored_again_and_judged_where_labels_came(
    space: Workspace, postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Disagreement of all rows, paired accuracy of those with a label, and the times of calls.

    The same comes of events in an object store and in PostgreSQL.
    """
    state = space.folder / "endpoints" / "churn"
    config = ServeConfig(port=0, events=str(space.events.resolve()), capture=Capture(mode="all"))
    with (
        start_server({"churn": space.version("churn@1")}, config, state) as server,
        server.client() as client,
    ):
        told = client.predict(ROWS)
        truth = [{"event_id": each["id"], "label": "yes"} for each in told["predictions"][:40]]
        assert client.post("/labels", {"labels": truth}).status < 300
    record = replay(space, "churn", "2", since_s=3600).body
    assert isinstance(record, ReplayRecord)
    assert (record.read, record.labelled, record.served) == (80, 40, {"version 1": 80})
    found = {(m.name, m.scope): m for m in record.metrics}
    flips = found["disagreement", "rows"]
    assert flips.value == pytest.approx((_yes(-2.0) != _yes(-3.0)).mean())
    assert flips.value is not None
    assert flips.low is not None
    assert flips.high is not None
    assert flips.low < flips.value < flips.high
    gap = found["accuracy", "difference"]
    assert gap.n == 40
    assert gap.value == pytest.approx(_yes(-2.0)[:40].mean() - _yes(-3.0)[:40].mean())
    assert found["brier", "challenger"].value < found["brier", "served"].value  # type: ignore[operator]
    assert {name for name, _ in found} >= {"call_p50_ms"}
    for place in _elsewhere(space.events, tmp_path, postgres):
        with pytest.raises(UsageError, match="no served row"):
            replay(space, "churn", "2", events=place, now=4e9, since_s=1)
        again = replay(space, "churn", "2", events=place, since_s=3600).body
        assert isinstance(again, ReplayRecord)
        assert (again.read, again.labelled, again.served) == (80, 40, {"version 1": 80})
        same = {(m.name, m.scope): m for m in again.metrics if m.name in {"accuracy", "brier"}}
        assert {key: m.value for key, m in same.items()} == {key: found[key].value for key in same}
        assert (again.period, len(same)) == (record.period, 6)
        assert counts_at(place, "churn") == {space.registry.resolve("churn@1").digest: (80, 0)}
    for place, says in (("-", "not read back"), (f"{postgres}&dbname=template1", "no events")):
        arguments = ["replay", "churn", "--on", "2", "--events", place]
        assert run(arguments) == 2
        assert says in capsys.readouterr().err
    assert run(["replay", "churn", "--on", "2", "--since", "7d", "-o", "page.html"]) == 0
    assert "Replay of served rows" in Path("page.html").read_text()
    assert run(["replay", "churn", "--on", "2", "--since", "soon"]) == 2
    assert "not a time" in capsys.readouterr().err


def _elsewhere(events: Path, folder: Path, postgres: str) -> list[str]:
    """Put the segments of a folder to where servers of a team write, and return the addresses."""
    day = folder / "store" / f"date={datetime.now(UTC).date()}"
    day.mkdir(parents=True)
    sink = open_sink(postgres, "0")
    for path in segments(events):
        shutil.copy(path, day)
        for batch in Scan(path.read_bytes()):
            sink.write(batch)
    sink.close()
    return [f"local://{folder}/store", postgres]


def test_a_table_is_answered_by_the_champion_too(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows that the version cannot take are counted with the reason; nothing captured is told."""
    table = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    table["hours"] = [None, *table["hours"][1:]]
    pq.write_table(pa.table(table), "log.parquet")
    record = replay(space, "churn", "2", log=Path("log.parquet")).body
    assert isinstance(record, ReplayRecord)
    assert record.read == 80 - sum(record.skipped.values())
    flips = next(m for m in record.metrics if m.name == "disagreement")
    kept = ROWS[sum(record.skipped.values()) :]
    assert flips.value == pytest.approx((_yes(-2.0, kept) != _yes(-3.0, kept)).mean())
    assert run(["replay", "churn", "--on", "2", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "no served row of churn has its inputs" in error["message"]
    pq.write_table(pa.table({"age": table["age"]}), "short.parquet")
    assert run(["replay", "churn", "--on", "2", "--log", "short.parquet"]) == 2
    assert "no column 'hours'" in capsys.readouterr().err
