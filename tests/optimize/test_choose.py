"""Which lossy variants are worth a certificate: what computes as much is never faster."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimize.toys import graph, toy

from afterfit.core.signature import Column, Signature
from afterfit.models.proposal import Proposal
from afterfit.optimize.certify import Judge
from afterfit.optimize.choose import best, certified, no_faster
from afterfit.optimize.config import Goal, OptimizeConfig
from afterfit.optimize.findings import NoFaster
from afterfit.optimize.lossy import _slow
from afterfit.optimize.search import Candidate, answers_of_graph
from afterfit.optimize.split import Part
from afterfit.records.record import Environment

N = 6000
SIGNATURE = Signature(
    task="binary",
    columns=(Column(name="a", kind="number"), Column(name="b", kind="number")),
    classes=("no", "yes"),
    positive="yes",
)
MADE = graph(("a", "b"), [1.0, 1.0])
ENV = Environment(afterfit="0")
SIZE = 20 * len(MADE.data)


def judge(goal: Goal) -> Judge:
    """Rows whose labels the graph gets right, and which it answers as the model does."""
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=N), "b": rng.normal(size=N)}
    answers = answers_of_graph(MADE, SIGNATURE, frame)
    config = OptimizeConfig(goal=goal)
    return Judge(SIGNATURE, Part(frame, SIGNATURE.codes(answers), N), answers, config)


def candidate(name: str, micros: float, *, why: str = "") -> Candidate:
    """A variant that loses nothing and takes so long; the exact graph takes 100 µs."""
    proposal = Proposal(name=name, technique="prune", make="toys:weights", no_faster=why, told=name)
    times = {form: {1: np.full(7, each), 256: np.full(7, 9 * each)} for form, each in (
        ("native", 400.0), ("exact", 100.0), ("onnx", micros)
    )}  # fmt: skip
    return Candidate(proposal, "rejected", "", MADE, drop=0.0, flip_rate=0.0, times=times)


@pytest.mark.parametrize("goal", ["latency", "throughput"])
def test_what_computes_as_much_is_never_chosen_for_speed(goal: Goal) -> None:
    """Not even where a noisy moment made it look 1.43 times as fast; that is told beside."""
    sparse = candidate("sparse", 70.0, why="a zero is multiplied like any other")
    (told,) = certified([sparse], judge(goal), ENV, native_size=SIZE, incumbent=4.0)
    assert best([told]) is None
    assert told.certificate is None
    assert told.why == (
        "1.00 times as fast as the whole network, as a zero is multiplied like any other "
        "(measured: 1.43 times, 1 row, n = 7); it counts for --goal size alone"
    )
    (finding,) = _slow([told], OptimizeConfig(goal=goal))
    assert (finding.code, finding.where, finding.fix) == (NoFaster.code, "sparse", "--goal size")
    assert finding.message.startswith(f"sparse: {len(MADE.data):,} bytes, and 1.00 times as fast")


def test_a_narrower_one_beside_it_is_chosen() -> None:
    """Of two that look as fast the one that computes less is certified."""
    sparse = candidate("sparse", 40.0, why="a zero is multiplied like any other")
    both = [sparse, candidate("narrow", 50.0)]
    told = certified(both, judge("latency"), ENV, native_size=SIZE, incumbent=4.0)
    chosen = best(told)
    assert chosen is not None
    assert chosen.name == "narrow"
    assert chosen.certificate is not None
    assert chosen.certificate.candidates == 1


def test_for_its_size_it_is_chosen_by_the_bytes_of_its_file() -> None:
    """The file holds what is not zero, and that file is what is measured."""
    sparse = candidate("sparse", 100.0, why="a zero is multiplied like any other")
    told = certified([sparse], judge("size"), ENV, native_size=SIZE, incumbent=1.0)
    chosen = best(told)
    assert chosen is not None
    assert chosen.name == "sparse"
    (finding,) = _slow(told, OptimizeConfig(goal="size"))
    assert finding.fix == ""
    kept = certified([sparse], judge("size"), ENV, native_size=len(MADE.data), incumbent=1.0)
    assert best(kept) is None


def test_without_times_beside_the_whole_it_is_told_all_the_same() -> None:
    """What was not timed beside the exact graph has no measured number."""
    proposal = toy("sparse", {})
    assert no_faster(Candidate(proposal, "rejected")).startswith("1.00 times as fast")
    assert "measured" not in no_faster(Candidate(proposal, "rejected"))
