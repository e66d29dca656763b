"""Gates on live rows, and business figures."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.monitor.alarms.samples import HOUR, SCOPE, bad

from afterfit.config import read_config
from afterfit.core.fingerprint import build
from afterfit.core.frame import Predictions
from afterfit.core.gate import parse_gate
from afterfit.core.metric import Metric
from afterfit.core.sections import AlarmsSection
from afterfit.core.signature import Column, Signature
from afterfit.errors import AfterfitError, ConfigError, InputError, UnavailableError
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.figures import MOST_ROWS, column_figure, open_database, sql_figure
from afterfit.monitor.gates import GateWatch, gate_points, is_live, live_metrics
from afterfit.monitor.measure import share_metric
from afterfit.monitor.state import WindowState
from afterfit.stats.interval import t_interval

SPAN = (0, HOUR)
SIGNATURE = Signature(
    task="binary", columns=(Column(name="revenue", kind="number"),), classes=("no", "yes"),
    positive="yes",
)  # fmt: skip


def measured(name: str, value: float | None, low: float, high: float, n: int = 900) -> Metric:
    """A metric of a window."""
    return Metric(name=name, value=value, low=low, high=high, n=n)


@pytest.mark.parametrize(
    ("gate", "value", "low", "high", "n", "interval", "alone"),
    [
        ("f1 >= 0.80", 0.85, 0.78, 0.9, 900, "ok", "ok"),
        ("f1 >= 0.80", 0.75, 0.7, 0.82, 900, "cannot_tell", "alarm"),
        ("f1 >= 0.80", 0.75, 0.7, 0.79, 900, "alarm", "alarm"),
        ("f1 >= 0.80", 0.75, 0.7, 0.79, 199, "insufficient", "insufficient"),
        ("f1.low >= 0.80", 0.82, 0.78, 0.86, 900, "ok", "ok"),
        ("f1 > 0.80", 0.79, 0.7, 0.80, 900, "alarm", "alarm"),
        ("latency_p99_ms <= 20", 25, 21, 30, 900, "alarm", "alarm"),
        ("latency_p99_ms <= 20", 25, 20, 30, 900, "cannot_tell", "alarm"),
        ("error_rate == 0", 0.1, 0.05, 0.2, 900, "alarm", "alarm"),
        ("f1 >= 0.80", None, 0, 0, 0, "insufficient", "insufficient"),
    ],
)
def test_a_gate_alarms_where_the_whole_interval_is_beyond(
    gate: str, value: float | None, low: float, high: float, n: int, interval: str, alone: str
) -> None:
    """Or its value, where that is asked for; below the minimum sample it never does."""
    parsed = parse_gate(gate)
    metrics = [measured(parsed.metric, value, low, high, n)]
    (point,) = gate_points([parsed], metrics, SCOPE, SPAN)
    assert (point.state, point.subject, point.threshold) == (interval, str(parsed), parsed.limit)
    (other,) = gate_points([parsed], metrics, SCOPE, SPAN, AlarmsSection(confirm="value"))
    assert other.state == alone


def test_a_model_at_its_limit_alarms_as_often_as_the_page_says() -> None:
    """Gates have no part of the budget: by the interval 2.9 % of windows, by the value half."""
    right = np.random.default_rng(0).binomial(1000, 0.8, 2000).tolist()
    gate = parse_gate("accuracy >= 0.8")
    shares = {}
    for confirm in ("interval", "value"):
        settings = AlarmsSection(confirm=confirm)
        states = [
            gate_points([gate], [share_metric("accuracy", n, 1000, 0.95)], SCOPE, (0, 1), settings)
            for n in right
        ]
        shares[confirm] = np.mean([point.state == "alarm" for (point,) in states])
    assert 0.02 < shares["interval"] < 0.04
    assert 0.45 < shares["value"] < 0.52


def test_gates_go_the_way_of_any_signal() -> None:
    """Two windows beyond of three fire; a metric that nobody measured does nothing."""
    alarms, gates = Alarms(AlarmsSection(windows=2, of=3)), [parse_gate("f1 >= 0.80")]
    states = []
    for hour, value in enumerate([0.5, None, 0.5]):
        metrics = [] if value is None else [measured("f1", value, 0.4, 0.6)]
        points = gate_points(gates, metrics, SCOPE, (hour * HOUR, (hour + 1) * HOUR))
        states += [alarm.state for alarm in alarms.step(points, 0)]
    assert states == ["pending", "firing"]
    assert alarms.open()[0].runbook == "M082"


def test_gates_that_live_rows_say_nothing_of_are_left_out() -> None:
    """What only a step measures is that step's; figures of one's own are looked at."""
    live = ["f1 >= 0.8", "assess.f1 >= 0.8", "loadtest.latency_p99_ms <= 9", "error_rate <= 0.1"]
    assert all(is_live(parse_gate(text)) for text in live)
    other = ["baseline_lift > 0", "robustness.failed_cases == 0", "throughput_rps >= 9"]
    assert not any(is_live(parse_gate(text)) for text in other)
    assert is_live(parse_gate("revenue >= 3"), ["revenue"])


def window(n: int = 1000, *, failed: int = 30, **more: Any) -> WindowState:
    """A window of ``n`` answers that took 1 to 2 ms in all, its revenue about 4."""
    rng = np.random.default_rng(7)
    frame = {"revenue": rng.normal(4, 1, n)}
    scores = rng.random(n)
    answers = Predictions(
        codes=(scores > 0.5).astype(np.int64),
        probabilities=np.column_stack([1 - scores, scores]),
    )
    reference = build(frame, SIGNATURE, answers)
    state = WindowState.empty(SCOPE, *SPAN, reference, **more)
    state.counts.update(frame, scores)
    state.n, state.kinds = n, {"served": n, "failed": failed, "refused": 0}
    state.queue.update(np.full(n, 400))
    state.infer.update(np.linspace(600, 1600, n).astype(np.int64))
    state.total.update(np.linspace(1000, 2000, n).astype(np.int64))
    return state


def test_a_window_tells_its_metrics_by_the_names_of_gates() -> None:
    """Latency is queue and model together, in ms; shares have Wilson's interval."""
    told = {metric.name: metric for metric in live_metrics(window())}
    latency = told["latency_p99_ms"]
    assert latency.value == pytest.approx(1.99, rel=1 / 32)
    assert None not in (latency.value, latency.low, latency.high)
    assert (latency.low or 9) <= (latency.value or 0) <= (latency.high or 0)
    assert told["error_rate"].value == 30 / 1030
    assert told["error_rate"].n == 1030
    assert told["ood_share"].value is None
    assert {m.name: m for m in live_metrics(window(50))}["latency_p99_ms"].high is None


def test_the_mean_of_a_column_comes_from_its_counts() -> None:
    """With Student's interval of the rows themselves."""
    rng = np.random.default_rng(7)
    rows = rng.normal(4, 1, 1000)
    figure, exact = column_figure("r", "revenue", window().counts), t_interval(rows)
    assert figure.value == pytest.approx(rows.mean())
    assert (figure.low, figure.high) == pytest.approx((exact.low, exact.high))
    assert column_figure("r", "nothing", window().counts).value is None


def test_a_window_gives_the_points_of_all_gates() -> None:
    """A query is asked once for a window, and is of the model; slices and shadows ask nothing."""
    asked: list[Mapping[str, str]] = []

    def ask(query: str, values: Mapping[str, str]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        asked.append({"query": query, **values})
        return ("value", "n", "low", "high"), [(10.0, 300, 9.0, 11.0)]

    settings = AlarmsSection(figures={"revenue": "column:revenue", "sales": "SELECT 1"})
    gates = [parse_gate(text) for text in ("revenue >= 5", "sales >= 12", "error_rate <= 0.01",
                                           "f1 >= 0.5", "baseline_lift > 0")]  # fmt: skip
    watch = GateWatch(gates, settings, ask)
    points = watch(window())
    states = {point.subject: point.state for point in points}
    assert states == {"revenue >= 5": "alarm", "sales >= 12": "alarm",
                      "error_rate <= 0.01": "alarm"}  # fmt: skip
    assert [(p.scope.version, p.scope.digest) for p in points if p.subject == "sales >= 12"] == [
        (0, "")
    ]
    assert len(watch(window())) == 3
    assert len(watch(window(role="shadow"))) == 2
    assert asked == [{"query": "SELECT 1", "start": "1970-01-01T00:00:00+00:00",
                      "end": "1970-01-01T01:00:00+00:00"}]  # fmt: skip


def test_gates_on_quality_follow_the_points_of_labels() -> None:
    """With their interval and n, window by window; what is too little stays too little."""
    told = [bad(0, subject="f1", threshold=0.1), bad(1, subject="f1", state="insufficient"),
            bad(1, signal="estimate", subject="f1")]  # fmt: skip
    gates = [parse_gate("f1 >= 0.7"), parse_gate("error_rate <= 0.1")]
    points = GateWatch(gates, AlarmsSection()).of_points(told)
    assert [(p.subject, p.start, p.state) for p in points] == [
        ("f1 >= 0.7", 0, "alarm"),
        ("f1 >= 0.7", HOUR, "insufficient"),
    ]
    assert (points[0].n, points[0].low, points[0].scope) == (900, 0.55, SCOPE)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A table of sales: ten before the window's end, one after it."""
    path = tmp_path / "shop 1.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE sales (ts TEXT, amount REAL)")
        rows = [(f"1970-01-01T00:{minute:02}:00+00:00", float(minute)) for minute in range(10)]
        connection.executemany("INSERT INTO sales VALUES (?, ?)",
                               [*rows, ("1970-01-01T05:00:00+00:00", 1e9)])  # fmt: skip
    return path


def test_a_query_gives_a_sample_or_a_figure(database: Path) -> None:
    """One column is a sample, and one row with value and n is taken as it is."""
    ask = open_database(f"sqlite://{database}")
    within = "FROM sales WHERE ts >= :start AND ts < :end"
    sample = sql_figure("sales", f"SELECT amount {within}", SPAN, ask)
    assert (sample.value, sample.n) == (4.5, 10)
    assert sample.low is not None
    assert sample.low < 4.5
    told = sql_figure("s", f"SELECT sum(amount) AS value, count(*) AS n {within}", SPAN, ask)
    assert (told.value, told.n, told.low, told.high) == (45.0, 10, 45.0, 45.0)
    empty = sql_figure("s", "SELECT amount FROM sales WHERE ts > :end LIMIT 0", SPAN, ask)
    assert (empty.value, empty.n) == (None, 0)
    nulls = sql_figure("s", "SELECT NULL UNION ALL SELECT 1 UNION ALL SELECT 3", SPAN, ask)
    assert (nulls.value, nulls.n) == (2.0, 2)
    assert math.isfinite(nulls.low or 0.0)


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("SELECT absent FROM sales", InputError, "no such column"),
        ("DELETE FROM sales", InputError, "readonly"),
        ("SELECT ts, amount FROM sales", InputError, "select one column"),
        ("SELECT 'many'", InputError, "select numbers"),
        ("SELECT 1 AS value, 2 AS high", InputError, "count(*) AS n"),
    ],
)
def test_a_query_that_is_wrong_is_told(
    database: Path, query: str, kind: type[AfterfitError], words: str
) -> None:
    """It is asked to read only, and the error says what to mend."""
    with pytest.raises(kind) as caught:
        sql_figure("sales", query, SPAN, open_database(f"sqlite://{database}"))
    assert words in str(caught.value)


def test_a_database_that_is_away_or_unknown_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that answers too much, or takes too long."""
    with pytest.raises(InputError, match="no answer"):
        sql_figure("s", "SELECT 1", SPAN, open_database(f"sqlite://{database}.gone"))
    with pytest.raises(UnavailableError, match="no answer") as caught:
        open_database("postgresql://u:hidden@127.0.0.1:1/x")("SELECT 1", {})
    assert "hidden" not in str(caught.value)
    with pytest.raises(ConfigError, match="no database at mysql"):
        open_database("mysql://x")
    with pytest.raises(ConfigError, match="asked of no database"):
        sql_figure("s", "SELECT 1", SPAN, None)
    endless = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
               "SELECT i FROM n")  # fmt: skip
    ask = open_database(f"sqlite://{database}")
    with pytest.raises(InputError, match=f"more than {MOST_ROWS:,} rows"):
        sql_figure("s", endless, SPAN, ask)
    monkeypatch.setattr("afterfit.monitor.figures.TIMEOUT_S", 0.05)
    with pytest.raises(UnavailableError, match="no answer"):
        sql_figure("s", endless.replace("SELECT i FROM n", "SELECT count(*) FROM n"), SPAN, ask)


def test_the_configuration_knows_figures(tmp_path: Path) -> None:
    """A gate of [alarms] may name them; one that nobody knows is told with its place."""
    (tmp_path / "afterfit.toml").write_text(
        'gates = ["f1 >= 0.8"]\n[alarms]\nfigures = {revenue = "column:revenue"}\n'
        'gates = ["revenue >= 3", "f1 >= 0.8"]\n', "utf-8",
    )  # fmt: skip
    reading = read_config(tmp_path, environ={})
    assert reading.problems == []
    assert reading.config is not None
    assert [str(gate) for gate in reading.config.alarm_gates()] == ["f1 >= 0.8", "revenue >= 3"]
    (tmp_path / "afterfit.toml").write_text(
        '[alarms]\ngates = ["revenu >= 3"]\nwindows = 4\nof = 2\nactions = ["retrain"]\n', "utf-8"
    )
    told = dict(read_config(tmp_path, environ={}).problems)
    assert "no step gives a metric 'revenu'" in told["$.alarms.gates[0]"]
    assert "4 windows of the last 2" in told["$.alarms.windows"]
