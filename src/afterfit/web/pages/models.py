"""A model with its history, one of its versions with the evidence, and that evidence as pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from afterfit.core.digest import short
from afterfit.core.gate import GateResult
from afterfit.errors import NotFoundError
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.ship import ShipRecord
from afterfit.registry.audit import Entry
from afterfit.registry.history import Move, move_of
from afterfit.registry.version import Version
from afterfit.report import number
from afterfit.report.page import Block, Cell, KeyValue, Page, Table
from afterfit.report.parts import code, gates_table, key_values, table, when
from afterfit.web.pages.common import moves_table, nothing, status_cell, step_title
from afterfit.web.parts import Link, Pages, Part, View, link, pages_of, turns_of
from afterfit.web.site import Site

SIZE = 50
Shown = Literal["release", "card", "score"]
SHOWN: dict[Shown, str] = {
    "release": "Release report",
    "card": "Model card",
    "score": "ML Test Score",
}


@dataclass(frozen=True)
class Model(View):
    """A model: its versions, every promotion and rollback, and its lines of the audit log."""

    name: str
    versions: tuple[Version, ...]
    moves: tuple[Move, ...]
    log: tuple[Entry, ...]
    pages: Pages

    area: ClassVar[str] = "/"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """The model's name."""
        return self.name

    @property
    def subtitle(self) -> str:
        """How many versions there are."""
        return number.plural(len(self.versions), "version")

    @property
    def trail(self) -> tuple[Link, ...]:
        """The overview."""
        return (link("Models"),)

    @property
    def turns(self) -> tuple[Link, ...]:
        """More of the audit log."""
        return turns_of(self.pages, ("models", self.name), {})

    @property
    def parts(self) -> tuple[Part, ...]:
        """Versions, moves, and the log."""
        moved = moves_table(self.moves)
        empty = nothing(f"Nothing was promoted yet: afterfit version promote {self.name}@NUMBER")
        return (
            Part("versions", "Versions", (self._versions(),)),
            Part("moves", "Promotions and rollbacks", (moved,) if self.moves else empty),
            Part("log", "Audit log", (_log_table(self.log),)),
        )

    def _versions(self) -> Table:
        rows = [
            [
                link(v.number, "models", v.name, v.number),
                Cell(", ".join(v.aliases), "good") if v.aliases else None,
                code(short(v.digest)),
                when(v.created),
                v.who,
                ", ".join(step_title(step).lower() for step in sorted(v.evidence)) or None,
            ]
            for v in reversed(self.versions)
        ]
        return table(("Version", "Aliases", "Digest", "Registered", "By", "Evidence"), rows)


@dataclass(frozen=True)
class EvidenceLine:
    """One record that is attached to a version; ``status`` is ``missing`` where it is not here."""

    step: str
    digest: str
    created: str
    status: str
    issues: int


@dataclass(frozen=True)
class CertificateLine:
    """What was certified ``of`` a variant, or of a server under ``load``, and what is claimed."""

    of: str
    claim: str
    n: int
    verdict: str
    record: str


@dataclass(frozen=True)
class VersionPage(View):
    """One version: the gates of its release, certificates, evidence and history."""

    version: Version
    verdict: str
    gates: tuple[GateResult, ...]
    certificates: tuple[CertificateLine, ...]
    evidence: tuple[EvidenceLine, ...]
    moves: tuple[Move, ...]
    log: tuple[Entry, ...]

    area: ClassVar[str] = "/"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """The model and its number."""
        return f"{self.version.name}, version {self.version.number}"

    @property
    def subtitle(self) -> str:
        """Its aliases and when it was registered."""
        parts = [", ".join(self.version.aliases), when(self.version.created), self.version.who]
        return " · ".join(part for part in parts if part)

    @property
    def trail(self) -> tuple[Link, ...]:
        """The overview and the model."""
        return link("Models"), link(self.version.name, "models", self.version.name)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Where its pages are, then gates, certificates, evidence and history."""
        gates = gates_table(self.gates)
        moves: tuple[Block, ...] = (moves_table(self.moves),)
        return (
            Part("pages", "Pages", (self._facts(),)),
            Part("gates", "Gates", (gates,) if gates else nothing("No gate was judged for it.")),
            Part("certificates", "Certificates", self._certificates()),
            Part("evidence", "Evidence", self._evidence()),
            Part("moves", "Promotions and rollbacks", moves if self.moves else nothing("None.")),
            Part("log", "Audit log", (_log_table(self.log),)),
        )

    def _facts(self) -> KeyValue:
        own = ("models", self.version.name, self.version.number)
        pages: list[tuple[str, Cell]] = [
            (title, link("open", *own, shown)) for shown, title in SHOWN.items()
        ]
        if not self.verdict:
            pages[0] = (SHOWN["release"], Cell("it was not shipped from this workspace", "muted"))
        return key_values(*pages, ("Digest", code(self.version.digest)))

    def _certificates(self) -> tuple[Block, ...]:
        if not self.certificates:
            return nothing("None: no lossy variant and no rate under load was certified.")
        rows = [
            [
                link(c.of, "records", c.record),
                Cell(c.verdict, "good" if c.verdict == "certified" else "warn"),
                c.claim,
                c.n,
            ]
            for c in self.certificates
        ]
        return (table(("Of", "Verdict", "Claim", "n"), rows, numeric=(3,)),)

    def _evidence(self) -> tuple[Block, ...]:
        if not self.evidence:
            return nothing("No record is attached: afterfit version attach REF RECORD")
        rows = [
            [
                link(step_title(line.step), "records", line.digest),
                status_cell(line.status),
                Cell(number.plural(line.issues, "issue"), "warn" if line.issues else "good"),
                when(line.created),
                code(short(line.digest)),
            ]
            for line in self.evidence
        ]
        return (table(("Step", "Status", "Findings", "Made", "Record"), rows),)


@dataclass(frozen=True)
class VersionReport(View):
    """A page of reports of one version: ``shown`` is ``release``, ``card`` or ``score``."""

    name: str
    number: int
    shown: Shown
    page: Page

    template: ClassVar[str] = "report.html.j2"
    area: ClassVar[str] = "/"

    @property
    def title(self) -> str:
        """What the page says that it is."""
        return self.page.title

    @property
    def subtitle(self) -> str:
        """What stands below."""
        return f"{SHOWN[self.shown]} · {self.page.subtitle}".rstrip(" ·")

    @property
    def trail(self) -> tuple[Link, ...]:
        """The overview, the model and the version."""
        return (
            link("Models"),
            link(self.name, "models", self.name),
            link(f"version {self.number}", "models", self.name, self.number),
        )


def model(site: Site, name: str, page: int = 1) -> Model:
    """Return the page of a model; raises NotFoundError."""
    versions, log = site.registry.list(name), site.registry.log(name)[::-1]
    pages = pages_of(len(log), SIZE, page)
    moves = tuple(move for entry in log if (move := move_of(entry)) is not None)
    shown = log[(pages.page - 1) * SIZE : pages.page * SIZE]
    return Model(name, versions, moves[:SIZE], shown, pages)


def version_page(site: Site, name: str, place: int) -> VersionPage:
    """Return the page of a version; raises NotFoundError."""
    version, entries = site.registry.show(f"{name}@{place}")
    shipped = site.releases().get((name, place))
    body = shipped.body if shipped else None
    found = {step: _read(site, digest) for step, digest in sorted(version.evidence.items())}
    records = [stored for stored in found.values() if stored is not None]
    moves = [move for entry in entries[::-1] if (move := move_of(entry)) is not None]
    return VersionPage(
        version=version,
        verdict=body.verdict if isinstance(body, ShipRecord) else "",
        gates=body.gates if isinstance(body, ShipRecord) else (),
        certificates=tuple(line for stored in records for line in _certified(stored)),
        evidence=tuple(_line(step, version, stored) for step, stored in found.items()),
        moves=tuple(moves),
        log=entries[::-1][:SIZE],
    )


def version_report(site: Site, name: str, place: int, shown: Shown) -> VersionReport:
    """Return the release report, the card or the score of a version; raises NotFoundError."""
    makers = {"release": _release, "card": _card, "score": _score}
    return VersionReport(name, place, shown, makers[shown](site, name, place))


def _release(site: Site, name: str, place: int) -> Page:
    from afterfit.report.build import release_page

    stored = site.releases().get((name, place))
    if stored is None or not isinstance(stored.body, ShipRecord):
        raise NotFoundError(
            f"{name}@{place} was not shipped from this workspace",
            fix="its records are on its page",
        )
    read = {step: _read(site, digest) for step, digest in stored.body.records.items()}
    records = {step: found for step, found in read.items() if found is not None}
    return release_page(stored.body, records, created=stored.envelope.created)


def _card(site: Site, name: str, place: int) -> Page:
    from afterfit.report.model_card import card_page
    from afterfit.workspace.scoring import records_of

    space, version = site.workspace(), site.registry.resolve(f"{name}@{place}")
    records = records_of(space, version)
    return card_page(name, place, version.digest, records, space.config.card)


def _score(site: Site, name: str, place: int) -> Page:
    from afterfit.report.score import score_page
    from afterfit.workspace.scoring import score_of

    version = site.registry.resolve(f"{name}@{place}")
    return score_page(str(version), short(version.digest), score_of(site.workspace(), version))


def _read(site: Site, digest: str) -> Stored | None:
    try:
        return site.record(digest)
    except NotFoundError:
        return None


def _line(step: str, version: Version, stored: Stored | None) -> EvidenceLine:
    digest = version.evidence[step]
    if stored is None:
        return EvidenceLine(step, digest, "", "missing", 0)
    body = stored.body
    return EvidenceLine(step, digest, stored.envelope.created, body.status, len(body.issues))


def _certified(stored: Stored) -> Iterator[CertificateLine]:
    body = stored.body
    if isinstance(body, OptimizeRecord):
        for variant in body.variants:
            found = variant.certificate
            if found is not None:
                bound = "unknown" if found.high is None else number.plain(found.high)
                claim = f"loses at most {bound} of {number.metric_title(found.metric)}"
                claim += f" (margin {number.plain(found.margin)})"
                verdict = found.verdict
                yield CertificateLine(variant.name, claim, found.n, verdict, stored.digest)
    elif isinstance(body, LoadtestRecord) and body.certificate is not None:
        held = body.certificate
        claim = (
            f"{number.plain(held.rate)} requests/s: at most {100 * held.upper:.3g} % later than "
            f"{number.plain(held.limit_ms)} ms or failed, at {100 * held.confidence:g} % confidence"
        )
        yield CertificateLine("load", claim, held.n, "certified", stored.digest)


def _log_table(entries: tuple[Entry, ...]) -> Table:
    rows = [[when(e.time), e.action, _from_to(e), e.who, e.why, e.seq] for e in entries]
    return table(("When", "What", "From and to", "Who", "Why", "Line"), rows, numeric=(5,))


def _from_to(entry: Entry) -> str | None:
    if not entry.source and not entry.to:
        return None
    return f"{entry.source or number.NOTHING} to {entry.to}"
