"""The one ``functools.partial`` that honest models hold, told from every other.

``HistGradientBoosting*`` with categorical features keeps ``partial(check_array, dtype=[float64],
ensure_all_finite=False)`` as the function of a step. Any other function or option would let a file
call an allowed name with arguments of its choice.
"""

from __future__ import annotations

from typing import Any

from afterfit.models.pickle_values import DictValue, Global, Made, Value

__all__ = ["PARTIAL", "is_plain_check", "is_plain_node"]

PARTIAL = ("functools", "partial")
CHECK_ARRAY = ("sklearn.utils.validation", "check_array")
FLOATS = ("float32", "float64")
# The second is the name of the option before scikit-learn 1.6.
FINITE = ("ensure_all_finite", "force_all_finite")
Node = dict[str, Any]


def is_plain_check(made: Made) -> bool:
    """Return whether a partial made in a pickle, with the state set on it, is that one.

    To be asked when the whole stream was followed: what a dict holds may be added to.
    """
    plain = isinstance(made.args, tuple) and len(made.args) == 1 and _is_check(made.args[0])
    return plain and len(made.states) == 1 and _is_plain_state(made.states[0])


def _is_plain_state(state: Value) -> bool:
    if not isinstance(state, tuple) or len(state) != 4:
        return False
    function, args, options, attributes = state
    if not isinstance(options, DictValue) or len(options.items) != 2:
        return False
    finite = any(options.get(name) is False for name in FINITE)
    return (
        _is_check(function)
        and args == ()
        and finite
        and _is_float(options.get("dtype"))
        and attributes is None
    )


def _is_check(value: Value) -> bool:
    return isinstance(value, Global) and value.pair == CHECK_ARRAY


def _is_float(value: Value) -> bool:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], Global):
        return False
    return value[0].module == "numpy" and value[0].name in FLOATS


def is_plain_node(node: Node, others: dict[Any, list[Node]]) -> bool:
    """Return whether a node of a skops archive is that partial.

    ``others`` are all nodes of the archive by their id: skops gives every node the object that was
    made first of its id, so nodes that share an id must be equal.
    """
    bare = _bare(node)
    if not any(bare == _expected(name, option) for name in FLOATS for option in FINITE):
        return False
    inside = [part for part in _below(node) if "__id__" in part]
    return all(_bare(part) == _bare(same) for part in inside for same in others[part["__id__"]])


def _expected(float_name: str, option: str) -> Node:
    text = _node("TypeNode", "builtins", "str")
    number = _node("TypeNode", "numpy", float_name)
    options = {
        "dtype": {**_node("ListNode", "builtins", "list"), "content": [number]},
        option: _json("false"),
    }
    keys = {**_node("ListNode", "builtins", "list"), "content": [text, text]}
    content = {
        "func": _node("FunctionNode", *CHECK_ARRAY),
        "args": {**_node("TupleNode", "builtins", "tuple"), "content": []},
        "kwds": {**_node("DictNode", "builtins", "dict"), "content": options, "key_types": keys},
        "namespace": _json("null"),
    }
    return {**_node("PartialNode", *PARTIAL), "content": content}


def _node(loader: str, module: str, name: str) -> Node:
    return {"__class__": name, "__module__": module, "__loader__": loader}


def _json(text: str) -> Node:
    return {**_node("JsonNode", "builtins", "str"), "content": text, "is_json": True}


def _bare(value: Any) -> Any:
    """Return a node without the ids in it."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key != "__id__"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _below(node: Any) -> list[Node]:
    """Return a node and every node in it."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [node] if isinstance(node, dict) else []
    return found + [part for item in inner for part in _below(item)]
