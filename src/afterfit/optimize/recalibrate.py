"""A form with recalibrated probabilities: fitted, judged on other rows, and certified.

The rows are those of lossy variants (`split`): a map is fitted on rows that select, and on rows
that make where nothing was made of them; whether it helps is judged on rows that certify.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.model import Model
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError
from afterfit.models.convert import Converted, brief
from afterfit.models.loaded import LoadedModel
from afterfit.models.proposal import Proposal
from afterfit.models.recalibrate import options_of
from afterfit.models.timebox import TimeOverError
from afterfit.optimize import findings
from afterfit.optimize.certify import Judge, why_not
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import TIME_OVER, Trial, evidence_rows
from afterfit.optimize.latency import metrics_of
from afterfit.optimize.lossy import report_of
from afterfit.optimize.maps import chosen_map, mapped, moved_threshold, need_of
from afterfit.optimize.parity import Answers, answers_of, compare
from afterfit.optimize.recalibrate_gain import (
    FIXES,
    LEAST_OF_SIDE,
    about_labels,
    changes,
    few,
    told_of,
    verdict_of,
)
from afterfit.optimize.search import Candidate, Room, answers_of_graph, measured
from afterfit.optimize.split import Part, Parts, joined, split, trained_on
from afterfit.optimize.within import within
from afterfit.records.assess_calibration import Recalibration
from afterfit.records.optimize import Certificate, Parity, Recalibrated, VariantReport
from afterfit.runtime.onnx import OnnxModel
from afterfit.stats.recalibration import Map
from afterfit.store.environment import current_environment

__all__ = ["NOT_ASKED", "Base", "Remapped", "base_of", "recalibrate"]

MODULE = "afterfit.models.recalibrate"
VAGUE = 0.1
"""An error that these rows could not tell from chance, and nobody should overlook."""


@dataclass(frozen=True)
class Base:
    """The graph that a map is put behind. ``certified`` is its certificate where it is lossy."""

    name: str
    graph: Converted
    certified: Certificate | None = None


@dataclass(frozen=True)
class Remapped:
    """What became of a map; ``chosen`` is the form with it where that ships."""

    findings: tuple[Finding, ...] = ()
    chosen: Candidate | None = None
    report: VariantReport | None = None
    record: Recalibrated | None = None
    metrics: tuple[Metric, ...] = ()
    cut: bool = False

    @property
    def reports(self) -> tuple[VariantReport, ...]:
        """The form with the map as the record keeps it, if one was made."""
        return () if self.report is None else (self.report,)


NOT_ASKED = Remapped()


@dataclass(frozen=True)
class _Work:
    """What a map is fitted and judged with."""

    model: LoadedModel
    signature: Signature
    data: Dataset
    train: Dataset | None
    base: Base
    config: OptimizeConfig
    deadline: float
    progress: Progress

    @property
    def left(self) -> float:
        """The time that is left, seconds: enough to judge one map, as for the times of a form."""
        return max(self.deadline - time.monotonic(), 2 * self.config.measuring_seconds)


class _Why(Exception):  # noqa: N818 - no error: an end with a finding
    """Nothing ships, and the finding that says why."""

    def __init__(self, *told: Finding) -> None:
        super().__init__()
        self.findings = told


def base_of(
    model: LoadedModel, signature: Signature, exact: Trial | None, lossy: Candidate | None
) -> Base | None:
    """Return the graph of what ships: a lossy one, an exact one, or the model's own."""
    if lossy is not None and lossy.converted is not None:
        return Base(lossy.name, lossy.converted, lossy.certificate)
    if exact is not None and exact.converted is not None:
        return Base(exact.attempt.name, exact.converted)
    if model.format != "onnx":
        return None
    own: Converted | None = model.call(f"{MODULE}:own_graph", signature=signature)
    return None if own is None else Base("onnx", own)


def recalibrate(
    model: LoadedModel,
    signature: Signature,
    data: Dataset,
    train: Dataset | None,
    base: Base | None,
    config: OptimizeConfig,
    *,
    deadline: float,
    progress: Progress = SILENT,
) -> Remapped:
    """Return what a map does to the probabilities of the base, and the form with it if it helps.

    ``data`` has labels; rows of it that stand in ``train`` take no part. Never raises for a model
    that cannot have a map: a finding says why.
    """
    check = findings.Recalibrated
    if why := _never(signature):
        return Remapped((check.not_applicable(why),))
    if base is None:
        text = "a map is put behind a graph that answers as the model does, and there is none"
        return Remapped((check.skipped(text),))
    progress.step("recalibrate")
    work = _Work(model, signature, data, train, base, config, deadline, progress)
    try:
        return _tried(work)
    except _Why as ended:
        return Remapped(ended.findings)
    except TimeOverError:
        return Remapped((check.skipped(TIME_OVER, fix="--budget 600s"),), cut=True)
    except AfterfitError as error:
        return Remapped((check.skipped(f"no map could be put behind it: {brief(error)}"),))


def _never(signature: Signature) -> str:
    if signature.task == "regression":
        return "a regression has no probabilities"
    if not signature.probabilities:
        return "the model gives labels and no probabilities"
    if signature.own_labels is True:
        return "the model decides its labels by something else than its probabilities"
    return ""


def _tried(work: _Work) -> Remapped:
    """Return the form with a map; raises `_Why` where there is none."""
    check = findings.Recalibrated
    parts, notes = _parts(work)
    found = _fitted(work, parts)
    moved = _moved(work.signature, found)
    made = _appended(work, found)
    judge = _judge(work, parts.certification, moved)
    before = answers_of_graph(work.base.graph, work.signature, judge.part.frame)
    after = answers_of_graph(made, work.signature, judge.part.frame)
    losses = changes(judge.part, before, after)
    record = Recalibrated(
        variant=f"{work.base.name}+{found.name}",
        base=work.base.name,
        map=Recalibration(method=found.name, parameters=found.parameters, losses=losses),
        verdict=verdict_of(losses),
        fitted=parts.selection.rows,
        judged=judge.part.rows,
        before=work.signature.threshold,
        threshold=moved.threshold if moved.threshold != work.signature.threshold else None,
    )
    told = told_of(record)
    candidate = _candidate(record, made)
    if record.verdict != "helps":
        tell = check.skipped if record.verdict == "cannot tell" else check.tip
        fix = FIXES.get(record.verdict, "")
        return _refused(tell(told, where=found.name, fix=fix, n=judge.part.rows), candidate, record)
    proofs, others = _held(work, made, found, moved)
    others += int((work.signature.codes(before) != moved.codes(after)).sum())
    certificate = _certificate(judge, after, candidate, work.base.certified)
    why = _why(proofs, others, certificate)
    if why:
        text = f"{told}; it does not ship: {why}"
        return _refused(check.tip(text, where=found.name), candidate, record, proofs)
    room = Room(work.model, work.signature, parts, judge, work.config, work.deadline)
    room = replace(room, beside=work.base.graph)
    if made.output is not None:
        candidate = measured(room, candidate, made, made.output)
    candidate = replace(candidate, status="certified", certificate=certificate)
    rows = sum(proof.n for proof in proofs) + judge.part.rows
    return Remapped(
        (check.passed(told, where=found.name, n=record.judged), about_labels(record, rows), *notes),
        candidate,
        msgspec.structs.replace(report_of(candidate, record.judged), parity=proofs),
        record,
        (*metrics_of(candidate.times.get("onnx", {})), *(change.gain for change in losses)),
    )


def _refused(
    finding: Finding,
    candidate: Candidate,
    record: Recalibrated,
    proofs: tuple[Parity, ...] = (),
) -> Remapped:
    report = report_of(replace(candidate, why=finding.message), record.judged)
    report = msgspec.structs.replace(report, parity=proofs)
    return Remapped((finding,), report=report, record=record)


def _parts(work: _Work) -> tuple[Parts, tuple[Finding, ...]]:
    """Return parts whose selection fits a map and whose certification judges it.

    Raises `_Why` for too few rows of an outcome in either.
    """
    config = work.config
    parts = split(work.signature, work.data, work.train, config.seed, even=config.even)
    fitting, judging = parts.selection, parts.certification
    seen = [trained_on(work.signature, part, work.train) for part in (fitting, judging)]
    twice = int(sum(mask.sum() for mask in seen))
    fitting, judging = (
        part.take(np.flatnonzero(~mask))
        for part, mask in zip((fitting, judging), seen, strict=True)
    )
    if work.train is None and work.base.certified is None:
        fitting = joined(parts.making, fitting)
    for part, what in ((fitting, "fit a map"), (judging, "judge it")):
        if few(part):
            text = f"{part.rows} rows to {what}: of each outcome {LEAST_OF_SIDE} are needed"
            needed = max(part.rows + 1, 2 * LEAST_OF_SIDE)
            fix = "give more labelled rows in --data"
            raise _Why(findings.Recalibrated.skipped(text, fix=fix, needed_n=needed))
    text = f"{twice} rows stand in the training table; they fitted and judged no map"
    notes = (findings.RowsHeldBack.passed(text),) if twice else ()
    return replace(parts, selection=fitting, certification=judging), notes


def _fitted(work: _Work, parts: Parts) -> Map:
    """Return the map that the rows ask for; raises `_Why` where they ask for none."""
    check, part, seed = findings.Recalibrated, parts.selection, work.config.seed
    answers = answers_of_graph(work.base.graph, work.signature, part.frame)
    p, truth = answers.probabilities, part.truth
    if p is None or truth is None or not np.isfinite(p).all():
        raise _Why(check.skipped("some of its probabilities are no numbers"))
    need = need_of(p, truth, seed)
    off = f"off by {need.error:.3g} (chance taken off, n = {need.n:,})"
    if need.calibrated and need.notable > VAGUE:
        text = f"too few rows to tell: below {need.notable:.2g} an error is like chance"
        raise _Why(check.skipped(text, fix="give more labelled rows in --data", n=need.n))
    if need.calibrated:
        text = (
            f"the probabilities come true as they are: {off}, p = {need.p_value:.2g}; an error "
            f"from {need.notable:.2g} on would have shown. Nothing is needed"
        )
        raise _Why(check.passed(text, n=need.n, error=need.error, p_value=need.p_value))
    even = work.signature.task == "binary" and work.signature.positive_index is None
    found = chosen_map(p, truth, part.group, seed, even=even)
    if found is None:
        text = f"the probabilities are {off}, and no map makes their log loss smaller"
        raise _Why(check.tip(text, n=need.n))
    return found


def _moved(signature: Signature, found: Map) -> Signature:
    try:
        threshold = moved_threshold(found, signature)
    except ValueError as error:
        raise _Why(findings.Recalibrated.tip(f"{found.name} helps no rule: {error}")) from None
    if threshold is None:
        return signature
    return msgspec.structs.replace(signature, threshold=threshold)


def _appended(work: _Work, found: Map) -> Converted:
    with within(work.model, work.left) as timed:
        made: Converted = timed.call(
            f"{MODULE}:appended",
            signature=work.signature,
            graph=work.base.graph,
            options=options_of(found),
        )
    if made.error:
        raise _Why(findings.Recalibrated.skipped(f"no map could be put behind it: {made.error}"))
    return made


def _judge(work: _Work, part: Part, moved: Signature) -> Judge:
    """Return who certifies: by the log loss, or a lossy base by what its loss is allowed in."""
    if work.base.certified is not None:
        native = work.model.predict(part.frame)
        return Judge(work.signature, part, native, work.config, moved)
    config = msgspec.structs.replace(work.config, metric="log_loss")
    native = answers_of_graph(work.base.graph, work.signature, part.frame)
    return Judge(work.signature, part, native, config, moved)


def _candidate(record: Recalibrated, made: Converted) -> Candidate:
    proposal = Proposal(
        name=record.variant,
        technique="recalibrate",
        make=f"{MODULE}:appended",
        told=f"{record.map.method} behind {record.base}, fitted on {record.fitted:,} rows",
    )
    return Candidate(proposal, "rejected", converted=made)


def _certificate(
    judge: Judge, after: Predictions, candidate: Candidate, base: Certificate | None
) -> Certificate:
    env = current_environment()
    given = judge.certificate(after, candidate.artifact, base.candidates if base else 1)
    return msgspec.structs.replace(
        given,
        runtime=f"onnxruntime {env.packages.get('onnxruntime', '')}".strip(),
        cpu_features=env.cpu_features,
    )


def _held(
    work: _Work, made: Converted, found: Map, moved: Signature
) -> tuple[tuple[Parity, ...], int]:
    """Return how the graph compares with model and map in numpy, and how many labels are others."""
    variant = _opened(made, work.signature)
    known: Sequence[Answers]
    with within(work.model, work.left) as timed:
        reference: Model = timed
        if work.base.certified is not None:
            reference = _opened(work.base.graph, work.signature)
        rows = evidence_rows(timed, work.signature, work.data, work.config)
        known = [answers_of(reference, each) for each in rows]
    proofs, others = [], 0
    for each in known:
        if each.predictions is None:
            continue
        wanted = mapped(found, each.predictions)
        judged = compare(variant, replace(each, predictions=wanted), moved, work.config.tolerance)
        proofs.append(judged.parity)
        finite = np.isfinite(each.predictions.main).all(axis=1)
        labels = work.signature.codes(each.predictions) != moved.codes(wanted)
        others += int((labels & finite).sum())
    return tuple(proofs), others


def _opened(graph: Converted, signature: Signature) -> OnnxModel:
    if graph.output is None:
        raise ValueError("a graph without an output cannot be asked")
    return OnnxModel(graph.data, graph.inputs, graph.output, signature.classes, threads=1)


def _why(proofs: Sequence[Parity], others: int, certificate: Certificate) -> str:
    """Return what keeps a map that helps from shipping; empty where nothing does."""
    if not any(proof.n for proof in proofs):
        return "no row could be compared with the model and the map in numpy"
    beyond = sum(proof.beyond + proof.flips for proof in proofs)
    if beyond:
        return f"{beyond} rows are answered otherwise than the model and the map in numpy say"
    if others:
        return f"{others} rows would get another label"
    return why_not(certificate)
