"""The pickle instructions, each as a step on a :class:`~afterfit.models.opcodes.Walk`."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING

from afterfit.models.pickle_values import DictValue, RefusedError, SetValue, Value

if TYPE_CHECKING:
    from afterfit.models.opcodes import Walk

__all__ = ["HANDLERS", "HIGHEST_PROTOCOL", "decode"]

HIGHEST_PROTOCOL = 5


def decode(raw: bytes, encoding: str, errors: str) -> str:
    """Return the text, or raise RefusedError where the bytes are not in the encoding."""
    try:
        return raw.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise RefusedError(f"a text that is not {encoding}") from error


def _proto(walk: Walk) -> None:
    walk.protocol = walk.reader.byte()
    if walk.protocol > HIGHEST_PROTOCOL:
        raise RefusedError(f"pickle protocol {walk.protocol} is not known", walk.reader.position)


def _quoted(walk: Walk) -> None:
    line = walk.reader.line()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in b"\"'":
        raise RefusedError("a string without quotes", walk.reader.position)
    try:
        walk.narrow(codecs.escape_decode(line[1:-1])[0])
    except ValueError as error:
        raise RefusedError("a string that cannot be decoded", walk.reader.position) from error


def _integer(walk: Walk) -> None:
    line = walk.reader.line().removesuffix(b"L")
    digits = line.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 4000:
        raise RefusedError("a number that is not plain", walk.reader.position)
    walk.stack.append({b"00": False, b"01": True}.get(line, int(line)))


def _float(walk: Walk) -> None:
    try:
        walk.stack.append(float(walk.reader.line()))
    except ValueError as error:
        raise RefusedError("a number that is not plain", walk.reader.position) from error


def _big(walk: Walk, width: int) -> None:
    walk.stack.append(walk.reader.signed(walk.reader.unsigned(width)))


def _mark(walk: Walk) -> None:
    walk.marks.append(walk.stack)
    walk.stack = []


def _pop(walk: Walk) -> None:
    if walk.stack:
        walk.stack.pop()
    else:
        walk.items()


def _pop_mark(walk: Walk) -> None:
    walk.items()


def _global(walk: Walk) -> None:
    module = decode(walk.reader.line(), "utf-8", "strict")
    walk.import_name(module, decode(walk.reader.line(), "utf-8", "strict"))


def _stack_global(walk: Walk) -> None:
    name = walk.pop()
    walk.import_name(walk.pop(), name)


def _reduce(walk: Walk) -> None:
    args = walk.pop()
    walk.call(walk.pop(), args)


def _new(walk: Walk, *, keywords: bool) -> None:
    words = walk.pop() if keywords else None
    args = walk.pop()
    walk.push(walk.rules.created(walk.pop(), args, words))


def _inst(walk: Walk) -> None:
    args = walk.items()
    _global(walk)
    walk.call(walk.pop(), tuple(args))


def _obj(walk: Walk) -> None:
    args = walk.items()
    if not args:
        raise RefusedError("the stack is empty", walk.reader.position)
    walk.call(args[0], tuple(args[1:]))


def _persistent(walk: Walk, identity: Value) -> None:
    walk.stack.append(walk.rules.persistent(identity))


def _dict(walk: Walk) -> None:
    items = walk.items()
    walk.stack.append(DictValue())
    walk.set_items(items)


def _append(walk: Walk) -> None:
    value = walk.pop()
    walk.extend([value])


def _set_item(walk: Walk) -> None:
    value = walk.pop()
    walk.set_items([walk.pop(), value])


def _refuse(why: str) -> Callable[[Walk], None]:
    def refuse(walk: Walk) -> None:
        raise RefusedError(why, walk.reader.position)

    return refuse


_EXTENSION = _refuse("an extension code, whose meaning lies outside of the file")
_BUFFER = _refuse("a buffer that lies outside of the file")

HANDLERS: dict[int, Callable[[Walk], None]] = {
    key[0]: handler
    for key, handler in {
        b"\x80": _proto,
        b"\x95": lambda walk: walk.reader.frame(),
        b"(": _mark,
        b"0": _pop,
        b"1": _pop_mark,
        b"2": lambda walk: walk.push(walk.top()),
        b"N": lambda walk: walk.stack.append(None),
        b"\x88": lambda walk: walk.stack.append(True),
        b"\x89": lambda walk: walk.stack.append(False),
        b"I": _integer,
        b"L": _integer,
        b"F": _float,
        b"G": lambda walk: walk.stack.append(walk.reader.number()),
        b"J": lambda walk: walk.stack.append(walk.reader.signed(4)),
        b"K": lambda walk: walk.stack.append(walk.reader.byte()),
        b"M": lambda walk: walk.stack.append(walk.reader.unsigned(2)),
        b"\x8a": lambda walk: _big(walk, 1),
        b"\x8b": lambda walk: _big(walk, 4),
        b"S": _quoted,
        b"T": lambda walk: walk.narrow(bytes(walk.reader.take(walk.reader.signed(4)))),
        b"U": lambda walk: walk.narrow(bytes(walk.reader.take(walk.reader.byte()))),
        b"V": lambda walk: walk.stack.append(
            decode(walk.reader.line(), "raw-unicode-escape", "strict")
        ),
        b"X": lambda walk: walk.text(walk.reader.take(walk.reader.unsigned(4))),
        b"\x8c": lambda walk: walk.text(walk.reader.take(walk.reader.byte())),
        b"\x8d": lambda walk: walk.text(walk.reader.take(walk.reader.unsigned(8))),
        b"B": lambda walk: walk.data(walk.reader.take(walk.reader.unsigned(4))),
        b"C": lambda walk: walk.data(walk.reader.take(walk.reader.byte())),
        b"\x8e": lambda walk: walk.data(walk.reader.take(walk.reader.unsigned(8))),
        b"\x96": lambda walk: walk.data(walk.reader.take(walk.reader.unsigned(8))),
        b"\x97": _BUFFER,
        b"\x98": _BUFFER,
        b"]": lambda walk: walk.stack.append([]),
        b"}": lambda walk: walk.stack.append(DictValue()),
        b")": lambda walk: walk.stack.append(()),
        b"\x8f": lambda walk: walk.stack.append(SetValue()),
        b"l": lambda walk: walk.push(walk.items()),
        b"d": _dict,
        b"t": lambda walk: walk.push(tuple(walk.items())),
        b"\x91": lambda walk: walk.push(SetValue(walk.items())),
        b"\x85": lambda walk: walk.tuple_of(1),
        b"\x86": lambda walk: walk.tuple_of(2),
        b"\x87": lambda walk: walk.tuple_of(3),
        b"a": _append,
        b"e": lambda walk: walk.extend(walk.items()),
        b"s": _set_item,
        b"u": lambda walk: walk.set_items(walk.items()),
        b"\x90": lambda walk: walk.add_items(walk.items()),
        b"p": lambda walk: walk.remember(walk.line_number()),
        b"q": lambda walk: walk.remember(walk.reader.byte()),
        b"r": lambda walk: walk.remember(walk.reader.unsigned(4)),
        b"\x94": lambda walk: walk.remember(len(walk.memo)),
        b"g": lambda walk: walk.recall(walk.line_number()),
        b"h": lambda walk: walk.recall(walk.reader.byte()),
        b"j": lambda walk: walk.recall(walk.reader.unsigned(4)),
        b"c": _global,
        b"\x93": _stack_global,
        b"R": _reduce,
        b"i": _inst,
        b"o": _obj,
        b"\x81": lambda walk: _new(walk, keywords=False),
        b"\x92": lambda walk: _new(walk, keywords=True),
        b"b": lambda walk: walk.build(),
        b"\x82": _EXTENSION,
        b"\x83": _EXTENSION,
        b"\x84": _EXTENSION,
        b"P": lambda walk: _persistent(walk, decode(walk.reader.line(), "ascii", "strict")),
        b"Q": lambda walk: _persistent(walk, walk.pop()),
    }.items()
}
