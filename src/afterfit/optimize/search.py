"""The search among lossy variants: made, loaded, compared on the selection rows, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from afterfit.core.bundle import GraphOutput
from afterfit.core.digest import sha256_bytes
from afterfit.core.frame import Predictions, batches, concatenate, row_count
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, in_record, of_others
from afterfit.models.convert import Converted, brief
from afterfit.models.loaded import LoadedModel
from afterfit.models.proposal import Proposal
from afterfit.models.timebox import TimeOverError
from afterfit.optimize.certify import Judge, changed, share
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.edges import Edges, Tried
from afterfit.optimize.ladder import TIME_OVER
from afterfit.optimize.latency import graph_arguments
from afterfit.optimize.made import NOTHING_KEPT, Kept, made_key
from afterfit.optimize.memory import graph_memory
from afterfit.optimize.split import Parts
from afterfit.optimize.stopping import stopped_by_ctrl_c
from afterfit.optimize.within import within
from afterfit.records.optimize import Certificate, VariantStatus
from afterfit.runtime.onnx import OnnxModel

__all__ = ["Candidate", "Found", "Room", "answers_of_graph", "measured", "search"]

ROWS_AT_ONCE = 1000
SPARE = 4.0
LEAST_SECONDS = 20.0
"""A proposal may take four times what it expects and 20 s: one that hangs does not end the rest."""


@dataclass(frozen=True)
class Candidate:
    """One proposal: what was made of it, how it answers the selection rows, and what it costs.

    ``drop`` is on the selection rows, ``edges`` what became of it on those at the edges.
    ``times`` are µs of each call by form ("native", "onnx") and
    rows a call; ``cost`` is {load_ms, memory_bytes}.
    """

    proposal: Proposal
    status: VariantStatus
    why: str = ""
    converted: Converted | None = None
    drop: float | None = None
    flip_rate: float | None = None
    times: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    certificate: Certificate | None = None
    front: bool = False
    edges: Tried | None = None

    @property
    def name(self) -> str:
        """The name of the variant."""
        return self.proposal.name

    @property
    def eligible(self) -> bool:
        """Whether nothing spoke against it on the selection rows, and its times are known."""
        return self.status == "rejected" and not self.why and bool(self.times.get("onnx"))

    @property
    def artifact(self) -> str:
        """The SHA-256 of its bytes; empty where there are none."""
        return sha256_bytes(self.converted.data) if self.converted else ""


@dataclass(frozen=True)
class Found:
    """The candidates in the order they were proposed, and what kept others from being one."""

    candidates: tuple[Candidate, ...] = ()
    absent: tuple[str, ...] = ()
    interrupted: bool = False


@dataclass(frozen=True)
class Room:
    """What a search works in: the model, its rows, what judges, and the time there is.

    ``beside`` is the graph that variants are timed beside, as they have to be faster than it.
    ``edges`` are rows that they have to cope with.
    """

    model: LoadedModel
    signature: Signature
    parts: Parts
    judge: Judge
    config: OptimizeConfig
    deadline: float
    kept: Kept = NOTHING_KEPT
    progress: Progress = SILENT
    beside: Converted | None = None
    edges: Edges | None = None

    @property
    def left(self) -> float:
        """The time that is left, seconds."""
        return self.deadline - time.monotonic()


def search(room: Room, proposals: Sequence[Proposal], base: Converted | None) -> Found:
    """Return a candidate for each proposal that is allowed; ctrl-C keeps those that are done.

    ``base`` is the graph that proposals without a base of their own start from.
    """
    room.progress.step("search variants", len(proposals))
    done: dict[str, Candidate] = {}
    try:
        with stopped_by_ctrl_c():
            for index, proposal in enumerate(proposals):
                done[proposal.name] = _try(room, proposal, done, base)
                room.progress.advance()
                _tell(room, done[proposal.name], proposals[index + 1 :])
    except KeyboardInterrupt:
        room.progress.say("stopped: the best so far is judged; ctrl-C once more ends the command")
        # The process may be in the middle of an answer that nobody will read.
        room.model.close()
        left = [p for p in proposals if p.name not in done]
        done |= {p.name: Candidate(p, "skipped", "interrupted before its turn") for p in left}
        return Found(tuple(done.values()), interrupted=True)
    return Found(tuple(done.values()))


def _tell(room: Room, last: Candidate, waiting: Sequence[Proposal]) -> None:
    """Say what became of a proposal, and about how long the others take."""
    expected = min(sum(p.seconds for p in waiting), max(0.0, room.left))
    eta = f"; about {expected:.0f} s left" if waiting else ""
    became = f"{last.status}: {last.why}" if last.why else _numbers(last)
    room.progress.say(f"    {last.name}: {became}{eta}")


def _numbers(candidate: Candidate) -> str:
    times = candidate.times.get("onnx", {})
    one = f", {np.median(times[min(times)]):,.0f} µs" if times else ""
    return f"drop {candidate.drop or 0:+.4f}{one}"


def _try(
    room: Room, proposal: Proposal, done: dict[str, Candidate], base: Converted | None
) -> Candidate:
    missing = _missing(room, proposal, done)
    if missing:
        return Candidate(proposal, "not_available", missing)
    if room.left <= 0:
        return Candidate(proposal, "skipped", TIME_OVER)
    graph = done[proposal.base].converted if proposal.base else base
    seconds = min(room.left, SPARE * proposal.seconds + LEAST_SECONDS)
    try:
        with within(room.model, seconds) as timed:
            made = _made(room, timed.call, proposal, graph, seconds)
    except TimeOverError:
        return Candidate(proposal, "skipped", f"it was not made within {seconds:.0f} s")
    except AfterfitError as error:
        return Candidate(proposal, "not_available", _cause(error))
    if made.error or made.output is None or made.format != "onnx":
        return Candidate(proposal, "not_available", made.error or "no graph was made")
    return _looked_at(room, proposal, made, made.output)


def _cause(error: AfterfitError) -> str:
    """Return an error's message with its reason: that a process failed alone tells nobody why.

    What the process itself said may quote the rows that it was given.
    """
    if of_others(error):
        return in_record(error)
    return f"{brief(error)}: {error.why.splitlines()[0][:200]}" if error.why else brief(error)


def _missing(room: Room, proposal: Proposal, done: dict[str, Candidate]) -> str:
    """Return what the proposal cannot be made without; empty where nothing is missing."""
    if proposal.base and (proposal.base not in done or not done[proposal.base].converted):
        return f"{proposal.base}, which it starts from, was not made"
    making = room.parts.making
    if {"rows", "labels"} & set(proposal.needs) and not making.rows:
        return "it needs training rows: --train train.csv"
    if "labels" in proposal.needs and making.truth is None:
        return "it needs training rows with labels"
    if "code" in proposal.needs and room.model.code is None:
        return "it needs your own code: --code FOLDER"
    return ""


def _made(
    room: Room,
    call: Callable[..., Any],
    proposal: Proposal,
    graph: Converted | None,
    seconds: float,
) -> Converted:
    making, seed = room.parts.making, room.config.seed
    base = sha256_bytes(graph.data) if graph else ""
    key = made_key(room.model.digest, room.signature, proposal, making, base, seed)
    if (found := room.kept.get(key)) is not None:
        return found
    made: Converted = call(
        proposal.make,
        signature=room.signature,
        options=proposal.options,
        rows=making.frame,
        target=making.truth,
        graph=graph,
        seed=seed,
        seconds=seconds,
    )
    if not made.error:
        room.kept.put(key, made)
    return made


def _looked_at(room: Room, proposal: Proposal, made: Converted, output: GraphOutput) -> Candidate:
    """Return the candidate after it answered the selection rows; timed where it is good enough."""
    try:
        answers = answers_of_graph(made, room.signature, room.judge.part.frame)
    except AfterfitError as error:
        return Candidate(proposal, "not_available", f"cannot be used: {brief(error)}", made)
    if not np.isfinite(np.asarray(answers.main, np.float64)).all():
        return Candidate(proposal, "rejected", "some of its answers are no numbers", made)
    drop, flips = room.judge.point_drop(answers), room.judge.flip_rate(answers)
    candidate = Candidate(proposal, "rejected", "", made, drop, flips)
    if not drop <= room.config.max_drop:
        name, n = room.judge.metric, room.judge.part.rows
        why = f"{changed(name, drop)} on the {n:,} rows for selection"
        return replace(candidate, why=f"{why}; {share(name, room.config.max_drop)} is allowed")
    if room.edges is not None:
        tried = room.edges.try_variant(made)
        made, output = tried.made, tried.made.output or output
        candidate = replace(candidate, converted=made, edges=tried, why=tried.why)
    return candidate if candidate.why else measured(room, candidate, made, output)


def measured(room: Room, candidate: Candidate, made: Converted, output: GraphOutput) -> Candidate:
    """Return the candidate with its times beside the native model's, and what it costs to load."""
    graph = {"data": made.data, "inputs": list(made.inputs), "output": output}
    times: dict[str, dict[int, np.ndarray]] = {"native": {}, "onnx": {}}
    graphs = {"onnx": graph} | ({"exact": graph_arguments(room.beside)} if room.beside else {})
    times |= {form: {} for form in graphs}
    rng = np.random.default_rng(room.config.seed)
    frame, cost = room.judge.part.frame, {}
    # Without its times a variant cannot be chosen, so they are taken also when time is over.
    with within(room.model, max(room.left, 2 * room.config.measuring_seconds)) as timed:
        try:
            for rows in sorted(room.config.batches):
                chosen = rng.integers(0, row_count(frame), rows)
                answer = timed.call(
                    "afterfit.models.convert_timing:time_graphs",
                    frame={name: values[chosen] for name, values in frame.items()},
                    seconds=room.config.timing_seconds,
                    classes=list(room.signature.classes),
                    graphs=graphs,
                )
                for form, spent in answer.items():
                    times[form][rows] = np.asarray(spent)
            cost = timed.call("afterfit.models.variant_cost:graph_cost", **graph)
        except TimeOverError:
            pass
        except AfterfitError as error:
            return replace(candidate, status="not_available", why=f"not timed: {brief(error)}")
    memory = graph_memory(made.data)
    cost = cost if memory is None else {**cost, "memory_bytes": memory}
    return replace(candidate, times=times, cost=cost)


def answers_of_graph(made: Converted, signature: Signature, frame: Any) -> Predictions:
    """Return what a graph answers to the rows, in batches; raises ModelError or InputError."""
    if made.output is None:
        raise ValueError("a variant without an output cannot be asked")
    model = OnnxModel(made.data, made.inputs, made.output, signature.classes, threads=1)
    return concatenate([model.predict(batch) for batch in batches(frame, ROWS_AT_ONCE)])
