"""skl2onnx's check that a node was written, made once a node rather than once a path to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["verified_once"]


@contextlib.contextmanager
def verified_once() -> Iterator[None]:
    """Let skl2onnx check each node of a graph once.

    After each node that it writes, it checks all nodes before it by recursion and forgets what it
    has seen, so the time doubles with every node that is used twice. A node that was written stays
    written: what passed the check need not be checked again. Nodes that were not written still
    raise RuntimeError.
    """
    from skl2onnx.algebra.onnx_operator import OnnxOperator

    check = getattr(OnnxOperator, "_verify_add_to_", None)
    if check is None:
        yield
        return
    passed: dict[int, Any] = {}  # holds the nodes, so that no identity is used again

    def check_once(node: Any) -> None:
        if id(node) not in passed:
            check(node)
            passed[id(node)] = node

    OnnxOperator._verify_add_to_ = check_once
    try:
        yield
    finally:
        OnnxOperator._verify_add_to_ = check
