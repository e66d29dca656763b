"""The first page: every model with what serves and what failed, and what needs somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from afterfit.core.gate import GateResult
from afterfit.records.ship import ShipRecord
from afterfit.registry.names import CHAMPION
from afterfit.registry.version import Version
from afterfit.report import number
from afterfit.report.page import Cell, Figure, Table, Tone
from afterfit.report.parts import table, when
from afterfit.web.pages.common import RecordLine, gate_cell, nothing, record_lines, records_table
from afterfit.web.parts import Part, View, link
from afterfit.web.site import Site

RECENT = 8
VERDICT_TONES: dict[str, Tone] = {"promoted": "good", "registered": "info", "stopped": "bad"}


@dataclass(frozen=True)
class ModelLine:
    """One model: its versions, who is champion and challenger, and how the last release went."""

    name: str
    versions: int
    newest: int
    champion: int | None = None
    challenger: int | None = None
    verdict: str = ""
    released: str = ""
    gates: tuple[GateResult, ...] = ()
    alarms: int = 0


@dataclass(frozen=True)
class Overview(View):
    """Models, servers that run here, open alarms (None: nothing is monitored), last records."""

    workspace: str
    models: tuple[ModelLine, ...]
    servers: tuple[str, ...]
    alarms: int | None
    records: int
    recent: tuple[RecordLine, ...]

    area: ClassVar[str] = "/"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """The workspace's name."""
        return self.workspace

    @property
    def figures(self) -> tuple[Figure, ...]:
        """How many of everything there are."""
        alarms = Figure("Open alarms", number.NOTHING, "nothing is monitored yet")
        if self.alarms is not None:
            tone: Tone = "bad" if self.alarms else "good"
            alarms = Figure("Open alarms", number.count(self.alarms), "", tone)
        served = number.plural(len(self.servers), "server")
        return (
            Figure("Models", number.count(len(self.models))),
            Figure("Endpoints", number.count(len(self.servers)), f"{served} on this machine"),
            alarms,
            Figure("Records", number.count(self.records)),
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The models, then what was done last."""
        empty = nothing("No model is here yet: afterfit ship MODEL DATA makes the first version.")
        recent = (records_table(self.recent),) if self.recent else nothing("No record yet.")
        return (
            Part("models", "Models", (self._models(),) if self.models else empty),
            Part("recent", "Last records", recent),
        )

    def _models(self) -> Table:
        columns = ("Model", "Champion", "Challenger", "Versions", "Last release", "Gates", "Alarms")
        rows = [
            [
                link(m.name, "models", m.name),
                _version(m.name, m.champion),
                _version(m.name, m.challenger),
                m.versions,
                _release(m),
                gate_cell(m.gates),
                link(m.alarms, "alarms", query={"model": m.name}, tone="bad") if m.alarms else 0,
            ]
            for m in self.models
        ]
        return table(columns, rows, numeric=(3, 6))


def overview(site: Site) -> Overview:
    """Return the first page."""
    versions = site.registry.list()
    rows, alarms = site.rows(), site.alarms(lasting=True)
    by_model: dict[str, int] = {}
    for alarm in alarms:
        by_model[alarm.scope.model] = by_model.get(alarm.scope.model, 0) + 1
    newest: dict[str, ShipRecord] = {}
    made: dict[str, str] = {}
    for (name, _), stored in site.releases().items():
        if isinstance(stored.body, ShipRecord) and stored.envelope.created > made.get(name, ""):
            newest[name], made[name] = stored.body, stored.envelope.created
    names = dict.fromkeys(version.name for version in versions)
    return Overview(
        workspace=site.name,
        models=tuple(
            _line(name, versions, newest.get(name), made.get(name, ""), by_model.get(name, 0))
            for name in names
        ),
        servers=tuple(running.url for _, running in site.running()),
        alarms=None if site.monitor is None else len(alarms),
        records=len(rows),
        recent=record_lines(rows[:RECENT]),
    )


def _line(
    name: str, versions: tuple[Version, ...], shipped: ShipRecord | None, made: str, alarms: int
) -> ModelLine:
    own = [version for version in versions if version.name == name]
    holders = {alias: version.number for version in own for alias in version.aliases}
    return ModelLine(
        name=name,
        versions=len(own),
        newest=max(version.number for version in own),
        champion=holders.get(CHAMPION),
        challenger=holders.get("challenger"),
        verdict=shipped.verdict if shipped else "",
        released=made,
        gates=shipped.gates if shipped else (),
        alarms=alarms,
    )


def _version(name: str, number_: int | None) -> Cell | None:
    return None if number_ is None else link(number_, "models", name, number_)


def _release(line: ModelLine) -> Cell | None:
    if not line.verdict:
        return None
    tone = VERDICT_TONES[line.verdict]
    return Cell(f"{line.verdict}, {when(line.released)}", tone)
