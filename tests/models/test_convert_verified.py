"""The check of written nodes: once a node, and still a check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from afterfit.models.convert_verified import verified_once

DEEP = 18


def chain(length: int, *, written: bool = True) -> list[Any]:
    """Nodes that each use the one before twice; the first is as ``written`` says."""
    from skl2onnx.algebra.onnx_operator import OnnxOperator

    nodes: list[Any] = []
    for place in range(length):
        node = OnnxOperator.__new__(OnnxOperator)
        node.inputs = [nodes[-1], nodes[-1]] if nodes else [SimpleNamespace()]
        node.state = None if place == 0 and not written else object()
        nodes.append(node)
    return nodes


def test_each_node_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself it is a call for each path: 2 to the power of the depth."""
    from skl2onnx.algebra.onnx_operator import OnnxOperator

    calls: list[Any] = []
    check = OnnxOperator._verify_add_to_

    def counted(node: Any) -> None:
        calls.append(node)
        check(node)

    monkeypatch.setattr(OnnxOperator, "_verify_add_to_", counted)
    nodes = chain(DEEP)
    with verified_once():
        nodes[-2]._verify_add_to_()
        nodes[-1]._verify_add_to_()
    assert len(calls) == DEEP
    assert OnnxOperator._verify_add_to_ is counted


def test_a_node_that_was_not_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, from anywhere; and it passes as soon as it is written."""
    from skl2onnx.algebra.onnx_operator import OnnxOperator

    monkeypatch.setattr(OnnxOperator, "__str__", lambda _: "a node")
    for place in range(4):
        nodes = chain(4, written=False)
        with verified_once():
            for _ in range(2):
                with pytest.raises(RuntimeError, match="not produced"):
                    nodes[place]._verify_add_to_()
            nodes[0].state = object()
            nodes[place]._verify_add_to_()
