"""The daemon with gates, a channel and an action: from events to who was told, over a restart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.monitor.alarms.test_actions import QUICK, Ear, Hands, Lines
from tests.monitor.test_daemon import events, setup_of, watched, write

from afterfit.core.gate import parse_gate
from afterfit.core.sections import AlarmsSection
from afterfit.monitor.actions import Rollback
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.channels import Opened
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.gates import GateWatch
from afterfit.monitor.notify import Notifier
from afterfit.monitor.producers import PRODUCERS
from afterfit.monitor.setup import Setup
from afterfit.monitor.store import MonitorStore, open_store

if TYPE_CHECKING:
    from afterfit.monitor.producers import Watched

SETTINGS = AlarmsSection(windows=2, of=3, confirm_windows=2, min_rows=100)


def daemon_of(folder: Path, store: MonitorStore, version: Watched, ear: Ear) -> Daemon:
    """A daemon with a gate that never holds, and a channel that hears."""
    gate = parse_gate("age >= 1e6")
    gates = GateWatch([gate], AlarmsSection(figures={"age": "column:age"}, min_rows=100))
    hands = Hands(champion="9b")
    setup: Setup = setup_of(
        folder, store, version,  # type: ignore[arg-type] # of a folder
        producers=(*PRODUCERS, gates),
        alarms_of=lambda state: Alarms(SETTINGS, state),
        notifier_of=lambda alarms: Notifier(
            alarms, {"ear": Opened("ear", ear)}, [Rollback(SETTINGS, hands, Lines())],
            patience=QUICK,
        ),
    )  # fmt: skip
    return Daemon(setup)


def test_a_broken_gate_is_told_once_and_what_would_be_done(tmp_path: Path) -> None:
    """From events to a channel and a rollback in dry run; the next daemon says no more of it."""
    write(tmp_path / "events", "a", [event for hour in range(4) for event in events(hour)])
    version, ear = watched(), Ear()
    store = open_store("", tmp_path / "monitor")
    for _ in range(2):
        daemon = daemon_of(tmp_path, store, version, ear)
        daemon.poll()
        daemon.close()
    (alarm,) = (a for a in store.alarms(lasting=True) if a.signal == "gate")
    assert (alarm.subject, alarm.state, alarm.windows) == ("age >= 1e+06", "firing", 4)
    told = {delivery.channel: delivery.state for delivery in alarm.deliveries}
    assert told == {"ear": "sent", "rollback": "dry_run"}
    assert [name for event, name in ear.heard if name == alarm.id] == [alarm.id]
    store.close()
