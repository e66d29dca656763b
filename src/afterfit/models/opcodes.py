"""A pickle followed opcode by opcode with an abstract stack and memo; nothing in it is run.

The semantics are those of CPython's ``pickle._Unpickler`` (protocols 0 to 5) and, for arrays in the
middle of the stream, of ``joblib.numpy_pickle.NumpyUnpickler``. What the two could read in
different ways is refused.
"""

from __future__ import annotations

import _compat_pickle

from afterfit.models.numpy_arrays import array_header
from afterfit.models.pickle_reader import Reader
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_table import HANDLERS, decode
from afterfit.models.pickle_values import (
    DictValue,
    Global,
    Made,
    Opaque,
    RefusedError,
    SetValue,
    Value,
)

__all__ = ["Walk", "follow", "looks_like_pickle", "starts_pickle"]

LONG_TEXT = 1 << 16
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
STOP = ord(".")
IMPORTS = frozenset(b"ci\x93")
CALLS = frozenset(b"Rio\x81\x92")
PROTO = 0x80
FIRST_STEPS = 16
NESTED_STEPS = 200_000


class Walk:
    """One pickle stream: ``run`` follows it to its STOP and returns what lies on top."""

    def __init__(self, reader: Reader, rules: Rules, *, joblib: bool = True) -> None:
        self.reader = reader
        self.rules = rules
        self.joblib = joblib
        self.protocol = 0
        self.stack: list[Value] = []
        self.marks: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.arrays = 0
        self.steps = 0
        self.seen: set[int] = set()

    def run(self, limit: int = 0) -> Value:
        """Return the abstract value that loading would return, after ``limit`` steps at most.

        Raises RefusedError with the offset where the stream cannot be followed.
        """
        reader = self.reader
        while True:
            self.steps += 1
            if self.steps == limit:
                raise RefusedError("too many instructions", reader.position)
            opcode = reader.byte()
            if opcode == STOP:
                return self._stop()
            handler = HANDLERS.get(opcode)
            if handler is None:
                raise RefusedError(f"0x{opcode:02x} is no pickle instruction", reader.position - 1)
            self.seen.add(opcode)
            handler(self)

    def _stop(self) -> Value:
        if not self.reader.at_frame_end():
            raise RefusedError("the pickle stops inside of a frame", self.reader.position)
        return self.pop()

    def pop(self) -> Value:
        """Return and remove the top of the stack."""
        if not self.stack:
            raise RefusedError("the stack is empty", self.reader.position)
        return self.stack.pop()

    def top(self) -> Value:
        """Return the top of the stack."""
        if not self.stack:
            raise RefusedError("the stack is empty", self.reader.position)
        return self.stack[-1]

    def push(self, value: Value) -> None:
        """Put a value on the stack; every sight of a guarded global is counted."""
        if type(value) is Global:
            self.rules.sighted(value)
        self.stack.append(value)

    def items(self) -> list[Value]:
        """Return what was pushed since the last mark."""
        if not self.marks:
            raise RefusedError("a mark is missing", self.reader.position)
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def import_name(self, module: Value, name: Value) -> None:
        """Push the global that these two constants name."""
        if type(module) is not str or type(name) is not str:
            raise RefusedError("a name to import that is computed", self.reader.position)
        if self.protocol < 3:
            pair = (module, name)
            if pair in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[pair]
            elif module in _compat_pickle.IMPORT_MAPPING:
                module = _compat_pickle.IMPORT_MAPPING[module]
        self.push(self.rules.imported(module, name))

    def call(self, target: Value, args: Value) -> None:
        """Push the result of calling ``target``."""
        made = self.rules.called(target, args)
        if isinstance(made, memoryview):
            self.data(made)
        else:
            self.push(made)

    def build(self) -> None:
        """Set the state of the object on top, and skip the array that follows a joblib header."""
        state = self.pop()
        target = self.top()
        self.rules.built(target, state)
        if isinstance(target, Made) and target.maker.pair == WRAPPER and self.joblib:
            self.stack.pop()
            self.push(self._array(target))

    def _array(self, wrapper: Made) -> Value:
        if not self.reader.at_frame_end():
            raise RefusedError("an array inside of a frame", self.reader.position)
        size, has_object, padded = array_header(wrapper)
        self.arrays += 1
        if has_object:
            reader = Reader(self.reader.data, self.reader.position)
            return Walk(reader, self.rules, joblib=False).inner(self)
        self.reader.unframe()
        if padded:
            self.reader.take(self.reader.byte())
        self.reader.take(size)
        return Opaque("array")

    def inner(self, outer: Walk) -> Value:
        """Return the value of a pickle inside of ``outer``, and move ``outer`` past it."""
        value = self.run()
        outer.reader.unframe()
        outer.reader.position = self.reader.position
        return value

    def text(self, raw: memoryview) -> None:
        """Push a text; a very long one only as such."""
        if len(raw) > LONG_TEXT:
            self.rules.long_text(raw)
            self.stack.append(Opaque("text"))
            return
        self.stack.append(decode(bytes(raw), "utf-8", "surrogatepass"))

    def narrow(self, raw: bytes) -> None:
        """Push a Python 2 string, which unpicklers read as ASCII."""
        self.rules.constant(memoryview(raw))
        self.stack.append(decode(raw, "ascii", "strict"))

    def data(self, raw: memoryview) -> None:
        """Push bytes, and say so where they are a pickle themselves."""
        self.rules.constant(raw)
        if not self.rules.trust_all and looks_like_pickle(raw):
            self.rules.nested(self.reader.position - len(raw))
        self.stack.append(raw)

    def extend(self, items: list[Value]) -> None:
        """Append ``items`` to the object on top."""
        target = self.top()
        if type(target) is list:
            target.extend(items)
        else:
            self.rules.filled(target, items)

    def set_items(self, items: list[Value]) -> None:
        """Put keys and values into the object on top."""
        if len(items) % 2:
            raise RefusedError("a dict with a key and no value", self.reader.position)
        pairs = list(zip(items[::2], items[1::2], strict=True))
        target = self.top()
        if type(target) is DictValue:
            target.items.extend(pairs)
        else:
            self.rules.filled(target, items)

    def add_items(self, items: list[Value]) -> None:
        """Add ``items`` to the set on top."""
        target = self.top()
        if type(target) is SetValue:
            target.items.extend(items)
        else:
            self.rules.filled(target, items)

    def remember(self, index: int) -> None:
        """Keep the top of the stack under ``index``."""
        if not 0 <= index <= len(self.reader.data):
            raise RefusedError("a memo index out of range", self.reader.position)
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push what was kept under ``index``."""
        if index not in self.memo:
            raise RefusedError("a memo index that was never set", self.reader.position)
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        """Push the last ``count`` values as a tuple."""
        if len(self.stack) < count:
            raise RefusedError("the stack is empty", self.reader.position)
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(values)

    def line_number(self) -> int:
        """Return the decimal number of the next line."""
        line = self.reader.line()
        if not line.isdigit() or len(line) > 18:
            raise RefusedError("a number that is not plain", self.reader.position)
        return int(line)


def follow(data: memoryview, rules: Rules) -> tuple[int, int]:
    """Return (pickles, joblib arrays) of a file that holds nothing but pickle streams.

    Raises RefusedError with an offset where the bytes cannot be followed to their end.
    """
    reader = Reader(data)
    pickles = arrays = 0
    while reader.position < len(data):
        walk = Walk(reader, rules)
        try:
            walk.run()
        except RefusedError as error:
            reason = error.reason if not pickles else f"{error.reason} (after the first pickle)"
            raise RefusedError(reason, error.offset or reader.position) from error
        reader.unframe()
        pickles += 1
        arrays += walk.arrays
    return pickles, arrays


def starts_pickle(data: memoryview) -> bool:
    """Return whether an unpickler could make its first steps on ``data``."""
    if len(data) < 2 or data[0] not in HANDLERS:
        return False
    walk = Walk(Reader(data), Rules.permissive())
    try:
        walk.run(FIRST_STEPS)
    except RefusedError:
        return walk.steps == FIRST_STEPS or data[0] == PROTO
    return True


def looks_like_pickle(data: memoryview) -> bool:
    """Return whether ``data`` begins with a whole pickle that imports or calls something."""
    if len(data) < 4 or data[0] not in HANDLERS:
        return False
    walk = Walk(Reader(data), Rules.permissive(), joblib=False)
    try:
        walk.run(0 if data[0] == PROTO else NESTED_STEPS)
    except (RefusedError, RecursionError):
        return False
    return bool(walk.seen & (IMPORTS | CALLS))
