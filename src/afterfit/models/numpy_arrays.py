"""Where the raw bytes of an array end that joblib wrote into the middle of a pickle.

Source: ``NumpyArrayWrapper.read_array`` of joblib's ``numpy_pickle.py`` and the state that
``numpy.dtype.__reduce__`` writes.
"""

from __future__ import annotations

import re

import numpy as np

from afterfit.models.pickle_values import (
    NOTHING,
    DictValue,
    Global,
    Made,
    RefusedError,
    Value,
)

__all__ = ["ArrayHeader", "array_header", "check_dtype_flags", "layout"]

CODE = re.compile(r"[<>=|]?(?:[?bBhHiIlLqQefdgFDG]|[biufc]\d{1,2}|[SUV]\d{1,9}|[mM]8|O8?)")
HAS_OBJECT = 1  # NPY_ITEM_HASOBJECT
ArrayHeader = tuple[int, bool, bool]


def array_header(wrapper: Made) -> ArrayHeader:
    """Return (bytes of raw data, holds objects, has padding) from a wrapper's one state.

    Raises RefusedError for anything but the plain constants that joblib writes.
    """
    if len(wrapper.states) != 1 or wrapper.args != ():
        raise RefusedError("an array header that is not as joblib writes it")
    state = wrapper.states[0]
    if not isinstance(state, DictValue):
        raise RefusedError("an array header without a state")
    shape, order, dtype = state.get("shape"), state.get("order"), state.get("dtype")
    alignment = state.get("numpy_array_alignment_bytes")
    if not isinstance(shape, tuple) or order not in ("C", "F"):
        raise RefusedError("an array header without a plain shape and order")
    if not isinstance(state.get("subclass"), Global):
        raise RefusedError("an array header without a plain class")
    if alignment is not NOTHING and alignment is not None and type(alignment) is not int:
        raise RefusedError("an array header without a plain alignment")
    size, has_object = layout(dtype)
    padded = alignment is not NOTHING and alignment is not None
    return _count(shape) * size, has_object, padded


def _count(shape: tuple[Value, ...]) -> int:
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < 1 << 62:
            raise RefusedError("an array whose shape is not a tuple of lengths")
        count *= length
    return count


def layout(dtype: Value) -> tuple[int, bool]:
    """Return (item size in bytes, holds Python objects) of a dtype as pickled."""
    if not isinstance(dtype, Made) or dtype.maker.pair != ("numpy", "dtype"):
        raise RefusedError("an array whose dtype is not a plain numpy dtype")
    size, has_object = _from_code(dtype.args)
    if not dtype.states:
        return size, has_object
    if len(dtype.states) > 1:
        raise RefusedError("a dtype that is changed after it was made")
    state = dtype.states[0]
    if not isinstance(state, tuple) or len(state) not in (8, 9):
        raise RefusedError("a dtype whose state is not known")
    if state[2] is not None:
        raise RefusedError("an array of subarrays")
    if state[4] is not None:
        has_object = _fields(state[3], state[4], size)
    if state[5] not in (-1, size) or type(state[5]) is not int:
        raise RefusedError("a dtype whose size contradicts its type")
    if type(state[7]) is not int or bool(state[7] & HAS_OBJECT) != has_object:
        raise RefusedError("a dtype whose flags contradict its type")
    return size, has_object


def _from_code(args: Value) -> tuple[int, bool]:
    code = args[0] if isinstance(args, tuple) and args else None
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise RefusedError("a dtype that is not a plain type code")
    try:
        plain = np.dtype(code)
    except (TypeError, ValueError) as error:
        raise RefusedError("a dtype that numpy does not know") from error
    return plain.itemsize, plain.hasobject


def _fields(names: Value, fields: Value, size: int) -> bool:
    if not isinstance(fields, DictValue) or not isinstance(names, tuple):
        raise RefusedError("a structured dtype without plain fields")
    has_object = False
    for _, entry in fields.items:
        if not isinstance(entry, tuple) or len(entry) < 2 or type(entry[1]) is not int:
            raise RefusedError("a structured dtype without plain fields")
        length, holds = layout(entry[0])
        if not 0 <= entry[1] <= size - length:
            raise RefusedError("a structured dtype whose fields lie outside of it")
        has_object = has_object or holds
    return has_object


def check_dtype_flags(dtype: Made) -> None:
    """Raise RefusedError where a plain dtype's flags would make numpy take bytes for objects."""
    state = dtype.states[-1]
    if not isinstance(state, tuple) or len(state) not in (8, 9):
        raise RefusedError("a dtype whose state is not known")
    if state[2] is None:
        layout(dtype)
    elif len(dtype.states) > 1 or type(state[7]) is not int:
        raise RefusedError("a dtype whose state is not known")
    elif isinstance(state[2], tuple) and state[2]:
        _, has_object = layout(state[2][0])
        if bool(state[7] & HAS_OBJECT) != has_object:
            raise RefusedError("a dtype whose flags contradict its type")
