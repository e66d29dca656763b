"""Who is told once, and what is done, by whose leave."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.monitor.alarms.samples import DIGEST, HOUR, SCOPE, alarmed, bad, one, until

from afterfit.core.metric import Metric
from afterfit.core.sections import AlarmsSection
from afterfit.monitor.actions import Action, PauseCanary, Retrain, Rollback, surely_beyond
from afterfit.monitor.alarms import Alarms, AlarmsState
from afterfit.monitor.channels import Message, Opened, Refused
from afterfit.monitor.channels.outbox import Patience
from afterfit.monitor.command import Command
from afterfit.monitor.notify import Notifier, failed_channels, told
from afterfit.monitor.silence import Quiet, Silence

if TYPE_CHECKING:
    from afterfit.records.signals import Alarm

QUICK = Patience(tries=2, first_s=0.005, longest_s=0.01)
DONE = AlarmsSection(dry_run=False)


class Ear:
    """A channel that hears; the first ``deaf`` news fail."""

    repeat_s = 0.0

    def __init__(self, deaf: int = 0) -> None:
        self.deaf, self.heard = deaf, list[tuple[str, str]]()

    def send(self, message: Message) -> str:
        """Hear, or fail."""
        if self.deaf:
            self.deaf -= 1
            raise OSError("nobody there")
        self.heard.append((message.event, message.alarm.id))
        return ""


class Hands:
    """A workspace whose champion and canary are version 3."""

    def __init__(self, champion: str = DIGEST, canary: str = DIGEST, before: int = 2) -> None:
        self.digests, self.done = (champion, canary), list[tuple[Any, ...]]()
        self.back_to = before

    def champion(self, model: str) -> str:
        """Its digest."""
        return self.digests[0] if model == "churn" else ""

    def before(self, model: str) -> int:
        """What a rollback goes back to."""
        return self.back_to if model == "churn" else 0

    def canary(self, model: str) -> str:
        """Its digest."""
        return self.digests[1] if model == "churn" else ""

    def rollback(self, model: str, *, digest: str, why: str) -> str:
        """Note it."""
        self.done.append(("rollback", model, digest))
        return why

    def pause_canary(self, model: str, *, digest: str, why: str) -> str:
        """Note it."""
        self.done.append(("pause_canary", model, digest))
        return why

    def ship(self, model: str, path: Path, *, why: str) -> str:
        """Note it; a file that says so does not ship."""
        text = path.read_text("utf-8")
        if text == "bad":
            raise ValueError("no model")
        self.done.append(("ship", model, text))
        return f"challenger; {why}"


class Lines:
    """An audit log."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def note(self, action: str, *, who: str, **words: Any) -> None:
        """Keep a line."""
        self.lines.append({"action": action, "who": who, **words})


def settle(notifier: Notifier, alarms: Alarms, now: int, name: str = "ear") -> Alarm:
    """The alarm when a channel or action is done with it."""
    notifier.step(now)

    def done() -> bool:
        notifier.step(now)
        both = [*alarms.open(), *alarms.ending()]
        return any(d.channel == name and d.state != "failed" for a in both for d in a.deliveries)

    until(done)
    return [*alarms.open(), *alarms.ending()][0]


def act(action: Action, alarms: Alarms, now: int = 9 * HOUR) -> Alarm:
    """The alarm after the action was offered, and done or not."""
    notifier = Notifier(alarms, {}, [action], patience=QUICK)
    try:
        return settle(notifier, alarms, now, action.name)
    finally:
        notifier.close()


def wanted(action: Action, alarms: Alarms, now: int = 9 * HOUR) -> bool:
    """Whether the guard lets any alarm pass."""
    return any(action.wants(alarm, alarms, now) for alarm in alarms.open())


def test_everybody_hears_once_of_the_beginning_and_of_the_end() -> None:
    """Also over a restart, and after a failure that passed."""
    alarms, ear = alarmed(), Ear(deaf=1)
    notifier = Notifier(alarms, {"ear": Opened("ear", ear)}, patience=QUICK)
    alarm = settle(notifier, alarms, HOUR)
    assert [d.state for d in alarm.deliveries] == ["failed", "sent"]
    assert "OSError: nobody there" in alarm.deliveries[0].message
    alarms.step([bad(1), bad(2)], 3 * HOUR)
    notifier.step(3 * HOUR)
    notifier.close()
    kept = msgspec.json.decode(msgspec.json.encode(alarms.state()), type=AlarmsState)
    again = Alarms(AlarmsSection(good_windows=1), kept)
    later = Notifier(again, {"ear": Opened("ear", ear)}, patience=QUICK)
    later.step(4 * HOUR)
    again.step([bad(3, state="ok", value=0.8)], 4 * HOUR)
    later.step(4 * HOUR)
    until(lambda: later.step(4 * HOUR) == [] and again.ending() == [])
    later.close()
    assert ear.heard == [("firing", alarm.id), ("resolved", alarm.id)]


def test_what_lasts_is_told_again_where_a_channel_forgets() -> None:
    """Alertmanager does: after its ``repeat_s``, and not before."""
    alarms, ear = alarmed(), Ear()
    ear.repeat_s = 60.0
    notifier = Notifier(alarms, {"ear": Opened("ear", ear)}, patience=QUICK)
    at = told(settle(notifier, alarms, round(time.time() * 1e6)), "ear", "firing")
    assert at is not None
    notifier.step(at + 59_000_000)
    assert len(ear.heard) == 1
    notifier.step(at + 61_000_000)
    until(lambda: len(ear.heard) == 2)
    notifier.close()


def test_a_silenced_alarm_is_told_when_the_silence_is_over() -> None:
    """Nor does an action see it; below the least severity nobody hears either."""
    silence = Silence(pattern="perf*", since=0, until=5 * HOUR, who="anna", why="known")
    alarms, ear, hands = Alarms(DONE, quiet=Quiet([silence])), Ear(), Hands()
    alarms.step([bad(0), bad(1)], 2 * HOUR)
    rollback = Rollback(DONE, hands, Lines())
    notifier = Notifier(alarms, {"ear": Opened("ear", ear)}, [rollback], patience=QUICK)
    notifier.step(2 * HOUR)
    assert (ear.heard, hands.done, wanted(rollback, alarms)) == ([], [], False)
    alarms.step([], 5 * HOUR)
    settle(notifier, alarms, 5 * HOUR)
    notifier.close()
    assert len(ear.heard) == 1
    quiet = Notifier(alarmed(1, AlarmsSection(severity="high"), signal="drift"),
                     {"ear": Opened("ear", ear)}, patience=QUICK)  # fmt: skip
    quiet.step(HOUR)
    quiet.close()
    assert len(ear.heard) == 1


def test_a_monitor_that_stops_at_once_tells_first() -> None:
    """As with --once: what waits is tried once more, and what failed is left to the next time."""
    alarms, ear = alarmed(), Ear()
    deaf = Ear(deaf=9)
    channels = {"ear": Opened("ear", ear), "deaf": Opened("deaf", deaf)}
    notifier = Notifier(alarms, channels, patience=Patience(first_s=60.0))
    notifier.step(HOUR)
    (alarm,) = {a.id: a for a in notifier.close()}.values()
    states = {d.channel: d.state for d in alarm.deliveries}
    assert states == {"ear": "sent", "deaf": "failed"}


def test_news_that_were_given_up_are_seen() -> None:
    """The channel is named with what it last said."""
    alarms = alarmed()
    notifier = Notifier(alarms, {"ear": Opened("ear", Ear(deaf=9))}, patience=QUICK)
    alarm = settle(notifier, alarms, HOUR)
    notifier.close()
    assert failed_channels([alarm]) == {"ear": "firing: OSError: nobody there"}


def test_a_rollback_says_first_what_it_would_do() -> None:
    """Dry run is the default; the audit log has it, nothing moves, and it is not said again.

    When it may, it does it: neither the alarm nor the cool-down of what was not done is in its way.
    """
    hands, lines, alarms = Hands(), Lines(), alarmed(2)
    alarm = act(Rollback(AlarmsSection(), hands, lines), alarms)
    assert alarm.deliveries[-1].state == "dry_run"
    assert alarm.deliveries[-1].message == "firing: would roll back churn from version 3 to 2"
    assert hands.done == []
    assert lines.lines[0]["details"]["dry_run"] is True
    assert not wanted(Rollback(AlarmsSection(), hands, lines), alarms)
    notifier = Notifier(alarms, {}, [Rollback(DONE, hands, lines)], patience=QUICK)
    notifier.step(9 * HOUR)
    (alarm,) = notifier.settle(threading.Event())
    notifier.close()
    assert [each.state for each in alarm.deliveries] == ["dry_run", "sent"]
    assert hands.done == [("rollback", "churn", DIGEST)]


def test_confirmed_harm_rolls_back_once() -> None:
    """With the alarm's name as the reason, a line in the log, and the cool-down after it."""
    hands, lines, alarms = Hands(), Lines(), alarmed(2)
    action = Rollback(DONE, hands, lines)
    alarm = act(action, alarms)
    assert hands.done == [("rollback", "churn", DIGEST)]
    assert lines.lines[0]["details"]["alarm"] == alarm.id
    alarms.step([bad(0, subject="f1"), bad(1, subject="f1")], 2 * HOUR)
    now = alarm.deliveries[-1].at
    assert not wanted(action, alarms, now + 23 * HOUR)
    assert wanted(action, alarms, now + 24 * HOUR)
    kept = Alarms(DONE, alarms.state())
    assert not wanted(action, kept, now + 23 * HOUR)


@pytest.mark.parametrize(
    ("windows", "more"),
    [
        (1, {}),
        (5, {"signal": "drift", "value": 9.0, "low": 8.0, "high": 10.0, "usual": 0.0}),
        (5, {"signal": "estimate"}),
        (5, {"high": 0.75}),
        (5, {"low": None, "high": None}),
        (5, {"scope": msgspec.structs.replace(SCOPE, slice="country = FR")}),
        (5, {"scope": msgspec.structs.replace(SCOPE, digest="")}),
        (5, {"scope": msgspec.structs.replace(SCOPE, model="")}),
    ],
)
def test_nothing_less_than_harm_rolls_back(windows: int, more: dict[str, Any]) -> None:
    """One window, drift however great, an estimate, an interval that touches, or no version."""
    assert not wanted(Rollback(DONE, Hands(), Lines()), alarmed(windows, DONE, **more))


def test_a_version_that_serves_no_more_is_not_rolled_back() -> None:
    """Somebody was faster: the action is refused, once, and says why."""
    hands = Hands(champion="other")
    alarm = act(Rollback(DONE, hands, Lines()), alarmed(2))
    assert (alarm.deliveries[-1].state, hands.done) == ("dropped", [])
    assert "is not the champion" in alarm.deliveries[-1].message
    assert failed_channels([alarm]) == {}


def test_what_cannot_go_back_says_so() -> None:
    """The first version has none before it."""
    alarm = act(Rollback(DONE, Hands(before=0), Lines()), alarmed(2))
    assert "no version before" in alarm.deliveries[-1].message
    assert failed_channels([alarm]).keys() == {"rollback"}


def test_a_canary_is_paused_by_one_sure_window() -> None:
    """And no other version is."""
    hands = Hands(champion="other")
    act(PauseCanary(DONE, hands, Lines()), alarmed(1))
    assert hands.done == [("pause_canary", "churn", DIGEST)]
    alarm = act(PauseCanary(DONE, Hands(canary=""), Lines()), alarmed(1))
    assert "is not a canary" in alarm.deliveries[-1].message


def retrain(folder: Path, code: str, hands: Hands, seconds: float = 20.0) -> Retrain:
    """The action with a command of Python."""
    settings = AlarmsSection(
        dry_run=False, retrain=(sys.executable, "-c", code), retrain_seconds=seconds
    )
    return Retrain(settings, hands, Lines(), folder=folder)


TRAIN = """
import json, os
told = {name: os.environ.get(name) for name in
        ("AFTERFIT_FROM", "AFTERFIT_TO", "AFTERFIT_NAME", "HOOK", "AWS_SECRET_ACCESS_KEY")}
told["alarm"] = json.load(open(os.environ["AFTERFIT_EVIDENCE"]))["id"]
open(os.environ["AFTERFIT_MODEL_OUT"] + "/model.json", "w").write(json.dumps(told))
"""


def test_a_command_trains_and_the_model_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the evidence and the data window, and none of our secrets."""
    monkeypatch.setenv("HOOK", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    hands, alarms = Hands(), alarmed(3)
    alarm = act(retrain(tmp_path, TRAIN, hands), alarms)
    assert alarm.deliveries[-1].state == "sent"
    assert alarm.deliveries[-1].message.startswith("firing: challenger; alarm")
    ((_, model, text),) = hands.done
    assert model == "churn"
    assert json.loads(text) == {
        "AFTERFIT_FROM": "1970-01-01T00:00:00+00:00",
        "AFTERFIT_TO": "1970-01-01T03:00:00+00:00",
        "AFTERFIT_NAME": "churn",
        "HOOK": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "alarm": alarm.id,
    }


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "ended with 3"),
        ("pass", "left 0 files"),
        ("import time; time.sleep(60)", "ended after 0.5 s"),
        ("import os; open(os.environ['AFTERFIT_MODEL_OUT'] + '/m', 'w').write('bad')", "not ship"),
    ],
)
def test_a_command_that_fails_is_run_once_and_told(tmp_path: Path, code: str, why: str) -> None:
    """Its output is kept beside the evidence."""
    hands = Hands()
    seconds = 0.5 if "sleep" in code else 20.0
    alarm = act(retrain(tmp_path, code, hands, seconds), alarmed(1))
    assert [d.state for d in alarm.deliveries] == ["dropped"]
    assert why in alarm.deliveries[-1].message
    assert hands.done == []
    assert (tmp_path / alarm.id / "log.txt").is_file()


def test_a_monitor_that_stops_ends_the_command(tmp_path: Path) -> None:
    """With whatever the command started; one that is not there is told."""
    pid = tmp_path / "pid"
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pid)!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    alarms = alarmed(1)
    notifier = Notifier(alarms, {}, [retrain(tmp_path, code, Hands())], patience=QUICK)
    notifier.step(HOUR)
    until(lambda: pid.is_file() and pid.read_text("utf-8") != "")
    (alarm,) = notifier.close()
    assert alarm.deliveries[-1].state == "failed"  # so that the next monitor does it
    assert "the monitor stops" in alarm.deliveries[-1].message

    def gone() -> bool:
        try:
            state = Path(f"/proc/{pid.read_text('utf-8')}/stat").read_text("utf-8").split()[2]
        except OSError:
            return True
        return state == "Z"

    if os.path.isdir("/proc/self"):  # noqa: PTH112 - where the system tells
        until(gone)
    with pytest.raises(Refused, match="cannot be started"):
        Command(["no-such-program"], tmp_path, 1.0).run(Message(one(), "firing"))


def test_a_channel_may_be_asked_for_a_new_model(tmp_path: Path) -> None:
    """A sure loss asks too, of drift as well; a loss that may be none does not."""
    ear = Ear()
    settings = AlarmsSection(dry_run=False, retrain=("channel:ear",))
    action = Retrain(settings, Hands(), Lines(), folder=tmp_path, channel=Opened("ear", ear))
    sure = Metric(name="f1", value=0.05, low=0.02, high=0.08, n=900)
    alarm = act(action, alarmed(1, signal="drift", loss=sure))
    assert ear.heard == [("retrain", alarm.id)]
    maybe = msgspec.structs.replace(sure, low=-0.01)
    assert not wanted(action, alarmed(1, signal="drift", loss=maybe))
    assert not wanted(action, alarmed(1, signal="drift"))


@pytest.mark.parametrize(
    ("value", "low", "high", "sure"),
    [
        (0.6, 0.5, 0.69, True),
        (0.6, 0.5, 0.7, False),
        (0.8, 0.71, 0.9, True),
        (0.7, 0.6, 0.8, False),
    ],
)
def test_an_interval_is_surely_beyond_on_the_side_of_its_value(
    value: float, low: float, high: float, *, sure: bool
) -> None:
    """The threshold is 0.7."""
    assert surely_beyond(bad(value=value, low=low, high=high)) is sure
