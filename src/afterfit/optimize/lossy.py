"""Lossy variants from proposal to verdict: proposed, searched, chosen and certified."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.models.convert import Converted, brief
from afterfit.models.loaded import LoadedModel
from afterfit.models.proposal import Proposal
from afterfit.models.timebox import TimeOverError
from afterfit.optimize import findings
from afterfit.optimize.certify import Judge, changed, main_metric, share
from afterfit.optimize.choose import best, certified, no_faster
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.edges import edges_of
from afterfit.optimize.ladder import Trial
from afterfit.optimize.latency import metrics_of
from afterfit.optimize.made import NOTHING_KEPT, Kept
from afterfit.optimize.search import Candidate, Room, search
from afterfit.optimize.split import split
from afterfit.optimize.techniques import PROPOSERS
from afterfit.optimize.within import within
from afterfit.records.optimize import VariantReport
from afterfit.store.environment import current_environment

__all__ = [
    "NO_LOSSY",
    "Incumbent",
    "Lossy",
    "Means",
    "lossy_variants",
    "report_of",
    "require_judged",
]

LEAST_TO_CERTIFY = 30
_NOT_FOR: dict[str, str] = {
    "quantize": "it is for networks of 10,000 weights and more, and needs their graph",
    "prune": "it is for several trees, whose graph is known, and for networks that are not small",
    "distil": "it is for models heavier than a line, with soft answers, and takes 200 rows",
}


@dataclass(frozen=True)
class Means:
    """What lossy variants are made with: training rows, what was made before, and who proposes."""

    train: Dataset | None = None
    kept: Kept = NOTHING_KEPT
    proposers: Sequence[str] = PROPOSERS


@dataclass(frozen=True)
class Incumbent:
    """The best exact form: its graph or the one nearest to it, its gain, the native file's size.

    ``exact`` is its graph where it is one, which the times of variants are compared with.
    ``proven`` is the graph that was proven exact, whether it ships or not.
    """

    graph: Converted | None
    gain: float
    native_size: int
    exact: Converted | None = None
    proven: Trial | None = None


@dataclass(frozen=True)
class Lossy:
    """What became of lossy variants: the certified one that ships, if any, and why of the rest."""

    candidates: tuple[Candidate, ...] = ()
    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    chosen: Candidate | None = None
    cut: bool = False
    selection_rows: int = 0

    @property
    def reports(self) -> tuple[VariantReport, ...]:
        """The candidates as the record keeps them."""
        return tuple(report_of(one, self.selection_rows) for one in self.candidates)


NO_LOSSY = Lossy()


def require_judged(signature: Signature, data: Dataset, config: OptimizeConfig) -> None:
    """Raise InputError where lossy variants are allowed and cannot be judged.

    That is for a metric that does not fit and for data without labels: told before anything is
    made, because a wrong option should not cost a minute.
    """
    if not config.allow:
        return
    main_metric(signature, config)
    if data.target is None:
        raise InputError(
            "lossy variants are judged by labels, and the data has none",
            where=data.source,
            fix="--target COLUMN; or leave out --allow, for exact variants only",
        )


def lossy_variants(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    means: Means,
    incumbent: Incumbent,
    config: OptimizeConfig,
    *,
    deadline: float,
    progress: Progress = SILENT,
) -> Lossy:
    """Return the verdict on every variant of the allowed techniques, of data with labels."""
    parts = split(signature, data, means.train, config.seed, even=config.even)
    if min(parts.selection.rows, parts.certification.rows) < LEAST_TO_CERTIFY:
        return Lossy(findings=(_too_few(parts.certification.rows),))
    selecting = Judge(signature, parts.selection, model.predict(parts.selection.frame), config)
    last = Judge(signature, parts.certification, model.predict(parts.certification.frame), config)
    room = Room(model, signature, parts, selecting, config, deadline, means.kept, progress)
    edges = edges_of(model, signature, parts.selection.frame, selecting.native, config)
    room = replace(room, beside=incumbent.exact, edges=edges)
    proposals, absent = _proposals(room, means.proposers)
    found = search(room, proposals, incumbent.graph)
    told = certified(
        found.candidates,
        last,
        current_environment(),
        native_size=incumbent.native_size,
        incumbent=incumbent.gain,
    )
    chosen = best(told)
    cut = [c for c in told if c.status == "skipped"]
    notes = [findings.RowsHeldBack.passed(f"{note}; they took no part") for note in parts.notes]
    missing = [findings.TechniqueAbsent.tip(text) for text in absent]
    missing += [] if absent else _nothing(proposals, config)
    return Lossy(
        candidates=tuple(told),
        findings=(
            *_verdict(told, chosen),
            *_anyway(chosen),
            *_cut(cut, told),
            *_slow(told, config),
            *missing,
            *notes,
        ),
        metrics=_metrics(chosen),
        chosen=chosen,
        cut=bool(cut) or found.interrupted,
        selection_rows=parts.selection.rows,
    )


def _proposals(room: Room, proposers: Sequence[str]) -> tuple[list[Proposal], list[str]]:
    """Return what is proposed and allowed, and the techniques that could not be asked."""
    try:
        with within(room.model, max(0.0, room.deadline - time.monotonic())) as timed:
            answer = timed.call(
                "afterfit.optimize.techniques:collect",
                targets=list(proposers),
                signature=room.signature,
                labelled=room.parts.making.truth is not None,
                rows=room.parts.making.rows,
            )
    except TimeOverError:
        return [], ["the time was over before any technique was asked"]
    except AfterfitError as error:
        return [], [brief(error)]
    allowed = [p for p in answer["proposals"] if p.technique in room.config.lossy and not p.exact]
    return allowed, answer["absent"]


def _nothing(proposals: Sequence[Proposal], config: OptimizeConfig) -> list[Finding]:
    """Return a finding for each allowed technique that has nothing for such a model."""
    met = {proposal.technique for proposal in proposals}
    return [
        findings.TechniqueAbsent.tip(
            f"--allow {name} has nothing to try for this model: {_NOT_FOR[name]}", where=name
        )
        for name in config.lossy
        if name not in met
    ]


def _too_few(rows: int) -> Finding:
    text = f"{rows} rows are left to certify lossy variants; none was tried"
    fix = "give more labelled rows in --data, or training rows in --train"
    return findings.TooFewToCertify.skipped(text, fix=fix, n=rows, needed_n=LEAST_TO_CERTIFY)


def _verdict(told: Sequence[Candidate], chosen: Candidate | None) -> list[Finding]:
    if chosen is not None and chosen.certificate is not None:
        proof = chosen.certificate
        text = (
            f"{chosen.name}: {changed(proof.metric, proof.drop or 0.0, proof.high)} where "
            f"{share(proof.metric, proof.margin)} is allowed ({proof.n:,} rows, "
            f"{1 - proof.alpha:.1%} sure, one of {proof.candidates} tried on these rows)"
        )
        evidence = {"n": proof.n, "drop": proof.drop, "high": proof.high}
        return [findings.LossyCertified.passed(text, where=chosen.name, **evidence)]
    short = [c for c in told if c.certificate and c.certificate.verdict == "insufficient"]
    if short and short[0].certificate:
        proof = short[0].certificate
        return [
            findings.TooFewToCertify.skipped(
                f"{short[0].name}: {short[0].why}",
                where=short[0].name,
                fix="give more labelled rows in --data, or allow more with --max-drop",
                n=proof.n,
                needed_n=proof.needed_n,
            )
        ]
    refused = [c for c in told if c.status == "rejected"]
    if not refused:
        return []
    first = next((c for c in refused if c.certificate), refused[0])
    text = f"{len(refused)} lossy variants were refused; {first.name}: {first.why}"
    return [findings.LossyRefused.tip(text, where=first.name)]


def _cut(cut: Sequence[Candidate], told: Sequence[Candidate]) -> list[Finding]:
    if not cut:
        return []
    text = f"{len(cut)} of {len(told)} lossy variants were not tried: {cut[0].why}"
    fix = "run it again, with more time: --budget 600s; what was made is kept"
    return [findings.SearchCut.skipped(text, fix=fix)]


def _anyway(chosen: Candidate | None) -> list[Finding]:
    """Return a finding where what ships answers rows that the model refuses."""
    count = chosen.edges.answered_refused if chosen and chosen.edges else 0
    if chosen is None or not count:
        return []
    text = f"{count} edge rows get an answer from {chosen.name} and an error from the model"
    fix = findings.SAY_WHAT_IT_MEANS
    return [findings.AnswersRefusedRows.tip(text, where=chosen.name, fix=fix, n=count)]


def _slow(told: Sequence[Candidate], config: OptimizeConfig) -> list[Finding]:
    """Return a finding for each variant that was made and can be smaller only."""
    found = []
    for one in told:
        if one.proposal.no_faster and one.converted is not None:
            size = len(one.converted.data)
            text = f"{one.name}: {size:,} bytes, and {no_faster(one)}"
            fix = "" if config.goal == "size" else "--goal size"
            found.append(findings.NoFaster.tip(text, where=one.name, fix=fix))
    return found


def _metrics(chosen: Candidate | None) -> tuple[Metric, ...]:
    if chosen is None or chosen.certificate is None:
        return ()
    proof = chosen.certificate
    drop = Metric(
        name="certified_drop",
        value=proof.drop,
        low=proof.low,
        high=proof.high,
        level=1 - 2 * proof.alpha,
        n=proof.n,
        method=proof.method,
        scope=proof.metric,
    )
    return (*metrics_of(chosen.times["onnx"]), drop)


def report_of(candidate: Candidate, n: int) -> VariantReport:
    """Return a candidate as the record keeps it; ``n`` is the number of selection rows."""
    found: list[Metric] = [*metrics_of(candidate.times.get("onnx", {}))]
    if candidate.drop is not None:
        found.append(Metric(name="drop", value=candidate.drop, n=n, scope="selection"))
    if candidate.flip_rate is not None:
        found.append(Metric(name="flip_rate", value=candidate.flip_rate, n=n, scope="selection"))
    if candidate.edges is not None and candidate.edges.differ is not None:
        rate, rows = candidate.edges.differ, candidate.edges.rows
        found.append(Metric(name="edge_flip_rate", value=rate, n=rows, scope="edge rows"))
    if candidate.converted is not None:
        size = float(len(candidate.converted.data))
        found.append(Metric(name="size_bytes", value=size, n=1, unit="bytes"))
    for name, unit in (("load_ms", "ms"), ("memory_bytes", "bytes")):
        if name in candidate.cost:
            found.append(Metric(name=name, value=candidate.cost[name], n=1, unit=unit))
    made = candidate.converted
    return VariantReport(
        name=candidate.name,
        status=candidate.status,
        why=candidate.why,
        repaired="; ".join(made.repaired) if made else "",
        metrics=tuple(found),
        technique=candidate.proposal.technique,
        told="; ".join((candidate.proposal.told, *(made.notes if made else ()))),
        certificate=candidate.certificate,
    )
