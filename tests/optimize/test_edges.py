"""Lossy variants on rows at the edges: answered with numbers, and mostly as the model decides."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from tests.optimize.toys import graph

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.models.convert import Converted
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.edges import Edges, edges_of
from afterfit.runtime.onnx import OnnxModel

CONFIG = OptimizeConfig()
COLUMNS = (
    Column(name="a", kind="number", nullable=True, low=-2.0, high=2.0),
    Column(name="b", kind="number", low=-2.0, high=2.0),
)
BINARY = Signature(task="binary", columns=COLUMNS, classes=("no", "yes"), positive="yes")
VALUES = Signature(task="regression", columns=COLUMNS)


class Native:
    """A model of two numbers; a missing one counts as ``hole``, or is refused without."""

    def __init__(
        self, formula: Callable[[Frame], np.ndarray], *, hole: float | None, values: bool = False
    ) -> None:
        self.formula = formula
        self.hole = hole
        self.values = values

    def predict(self, frame: Frame) -> Predictions:
        """Return probabilities, or values; raises InputError."""
        if self.hole is None and any(np.isnan(each).any() for each in frame.values()):
            raise InputError("a hole", why="NaN")
        filled = {name: np.nan_to_num(each, nan=self.hole or 0.0) for name, each in frame.items()}
        answer = self.formula(filled)
        if self.values:
            return Predictions(values=answer)
        return Predictions(probabilities=np.column_stack([1 - answer, answer]))


def sum_of(frame: Frame) -> np.ndarray:
    """The probability of a sum."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-frame["a"] - frame["b"])))


def rows(count: int = 200) -> dict[str, np.ndarray]:
    """Two columns of numbers."""
    rng = np.random.default_rng(0)
    return {"a": rng.normal(size=count), "b": rng.normal(size=count)}


def edges(native: Native, signature: Signature = BINARY, config: OptimizeConfig = CONFIG) -> Edges:
    """The edges of those rows."""
    frame = rows()
    return edges_of(native, signature, frame, native.predict(frame), config)


def made(weights: list[float], bias: float = 0.0, *, hole: float | None = None) -> Converted:
    """A graph of sigmoid(x w + bias) that answers NaN for holes, or takes them for ``hole``."""
    found = graph(("a", "b"), weights, bias)
    return found if hole is None else filled(found, hole)


def filled(found: Converted, hole: float, kind: str = "IsNaN") -> Converted:
    """The same graph with holes replaced before it."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(found.data)
    model.graph.initializer.append(numpy_helper.from_array(np.array([hole], np.float32), "hole"))
    model.graph.node[0].input[0] = "whole"
    nodes = [
        helper.make_node(kind, ["x"], ["gone"]),
        helper.make_node("Where", ["gone", "hole", "x"], ["whole"]),
        *model.graph.node,
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return msgspec.structs.replace(found, data=model.SerializeToString())


def test_a_variant_that_copes_is_let_through_with_its_share() -> None:
    """Weights that differ a little decide nearly all of the edge rows alike."""
    tried = edges(Native(sum_of, hole=0.0)).try_variant(made([1.0, 1.01], hole=0.0))
    assert tried.why == ""
    assert tried.rows > 60
    assert tried.differ is not None
    assert tried.differ <= 0.05
    assert tried.answered_refused == 0


def test_nan_where_the_model_answers_is_rejected_and_names_the_case() -> None:
    """The model fills a hole; the variant answers NaN for it."""
    tried = edges(Native(sum_of, hole=0.0)).try_variant(made([1.0, 1.0]))
    assert tried.why == (
        "it answers no number where the model does: a: missing, every nullable column missing"
    )


def test_an_infinite_answer_to_an_extreme_is_rejected() -> None:
    """A value in single precision ends where the model's goes on: the case says which."""
    native = Native(lambda f: f["a"] * 1e33 + f["b"], hole=0.0, values=True)
    found = made([1e33, 1.0], hole=0.0)
    values = msgspec.structs.replace(found, output=GraphOutput(name="s", form="value"))
    tried = edges(native, VALUES).try_variant(_with_output(values, "s"))
    assert "it answers no number where the model does" in tried.why
    assert "a: highest x 1e6" in tried.why


def _with_output(found: Converted, name: str) -> Converted:
    """The graph that answers an inner number."""
    import onnx

    model = onnx.load_model_from_string(found.data)
    model.graph.output[0].name = name
    last = next(i for i, node in enumerate(model.graph.node) if name in node.output)
    del model.graph.node[last + 1 :]
    return msgspec.structs.replace(found, data=model.SerializeToString())


def test_a_variant_that_raises_where_the_model_answers_is_rejected() -> None:
    """An integer tensor has no word for a hole: the case and the words of the error."""
    found = made([1.0, 1.0], hole=0.0)
    inputs = (TensorInput(name="x", columns=("a", "b"), dtype="int64"),)
    tried = edges(Native(sum_of, hole=0.0)).try_variant(
        msgspec.structs.replace(found, inputs=inputs)
    )
    assert tried.why.startswith("it raises where the model answers: a: ")


def test_too_many_other_decisions_are_rejected_with_the_share_that_is_allowed() -> None:
    """A variant that ignores a column decides many edges otherwise; how many may is a setting."""
    native, variant = Native(sum_of, hole=0.0), made([0.0, 1.0], hole=0.0)
    tried = edges(native).try_variant(variant)
    assert tried.differ is not None
    assert tried.differ > 0.2
    assert f"it decides {tried.differ:.1%} of {tried.rows} edge rows otherwise (" in tried.why
    assert tried.why.endswith("; 20% is allowed")
    lenient = edges(native, config=OptimizeConfig(max_edge_flips=0.9)).try_variant(variant)
    assert (lenient.why, lenient.differ) == ("", tried.differ)


def test_values_beyond_what_is_known_need_a_number_and_no_equal_decision() -> None:
    """A variant that is right within the known range and flat beyond it is let through."""

    def steep(frame: Frame) -> np.ndarray:
        inside = np.clip(frame["a"], -2, 2) + np.clip(frame["b"], -2, 2)
        turned = np.where(np.abs(frame["a"]) > 2, -10 * np.sign(frame["a"]), inside)
        return np.asarray(1 / (1 + np.exp(-turned)))

    tried = edges(Native(steep, hole=0.0)).try_variant(made([1.0, 1.0], hole=0.0))
    assert tried.why == ""
    assert tried.differ == 0.0


def test_values_are_compared_by_the_spread_of_usual_ones() -> None:
    """Half the spread is another decision; the middle of the values may be anywhere."""
    native = Native(lambda f: 1000.0 + f["a"] + f["b"], hole=0.0, values=True)
    close = Native(lambda f: 1000.5 + f["a"] + f["b"], hole=0.0, values=True)
    far = Native(lambda f: 1005.0 + f["a"] + f["b"], hole=0.0, values=True)
    found = edges(native, VALUES)
    frame = found.known.row_set.frame
    known = native.predict(frame)
    assert not found._others(known, close.predict(frame)).any()
    assert found._others(known, far.predict(frame)).all()


def test_nan_where_the_model_refuses_is_refused_by_the_variant_too() -> None:
    """A network raises on a hole and its graph answers NaN: what ships raises, naming the row."""
    found = edges(Native(sum_of, hole=None)).try_variant(made([1.0, 1.0]))
    assert found.why == ""
    assert found.answered_refused == 0
    assert found.made.output is not None
    assert found.made.output.refuses_nan is True
    assert any("as the model refuses them" in told for told in found.made.repaired)
    ships = OnnxModel(found.made.data, found.made.inputs, found.made.output, BINARY.classes)
    frame = {"a": np.array([0.1, np.nan, 0.3]), "b": np.zeros(3)}
    with pytest.raises(InputError, match=r"\$\.rows\[1\]: the model has no finite answer"):
        ships.predict(frame)
    whole = {"a": np.zeros(2), "b": np.zeros(2)}
    assert ships.predict(whole).main.shape == (2, 2)


def test_a_hole_where_none_is_allowed_asks_nothing_but_no_nan() -> None:
    """No server hands such a row on; where the model refuses it, the graph does too."""
    whole = msgspec.structs.replace(
        BINARY, columns=tuple(msgspec.structs.replace(c, nullable=False) for c in COLUMNS)
    )
    answering = edges(Native(sum_of, hole=0.0), whole).try_variant(made([1.0, 1.0]))
    assert answering.why == ""
    assert answering.made.output is not None
    assert answering.made.output.refuses_nan is not True
    refusing = edges(Native(sum_of, hole=None), whole).try_variant(made([1.0, 1.0]))
    assert refusing.made.output is not None
    assert refusing.made.output.refuses_nan is True


def test_a_number_where_the_model_refuses_is_counted() -> None:
    """A student fills holes that its teacher refuses: allowed, and told."""
    tried = edges(Native(sum_of, hole=None)).try_variant(made([1.0, 1.0], hole=0.0))
    assert tried.why == ""
    assert tried.answered_refused == 8
    assert tried.made.output is not None
    assert tried.made.output.refuses_nan is not True
