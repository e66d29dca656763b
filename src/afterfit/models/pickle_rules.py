"""What a pickle may do with the names that it imports, and what was found while following it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from afterfit.models.allow import ATTRIBUTE, CALLER, Uses, allowed_uses, danger, methods
from afterfit.models.call_guards import check_arguments
from afterfit.models.numpy_arrays import check_dtype_flags
from afterfit.models.partial_calls import PARTIAL, is_plain_check
from afterfit.models.pickle_values import (
    DictValue,
    Global,
    Made,
    Opaque,
    RefusedError,
    Value,
)

__all__ = ["Rules"]

# Calls that only stand for another name; each is replaced by that name.
NAMING_CALLS = frozenset(
    {
        ("builtins", "getattr"),
        ("numpy.core", "_ufunc_reconstruct"),
        ("numpy._core", "_ufunc_reconstruct"),
    }
)
# Every sight of these must be a call that is known: they are in no use harmless otherwise.
SIGHTED = NAMING_CALLS | {PARTIAL}
ARRAYS = frozenset(
    (module, name)
    for module in ("numpy._core", "numpy.core")
    for module, name in (
        (f"{module}.multiarray", "_reconstruct"),
        (f"{module}.numeric", "_frombuffer"),
    )
)
RECONSTRUCTOR = ("copyreg", "_reconstructor")
ENCODE = ("_codecs", "encode")
PLAIN_BASES = frozenset(
    {"object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str"}
)
EVERYTHING: Uses = frozenset({"call", "new", "fill", "name"})
MOST_PARTS = 100_000
_PARTIAL = ".".join(PARTIAL)
REASONS = {_PARTIAL: CALLER}
STORAGE = ("torch", "torch.storage")


@dataclass
class Rules:
    """The allowed names, and the globals, problems and versions seen so far."""

    allow: frozenset[str] = frozenset()
    trust_all: bool = False
    torch: bool = False
    globals: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    dangerous: dict[str, str] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    uses: set[tuple[str, str, str]] = field(default_factory=set)
    names: dict[tuple[str, str], Global] = field(default_factory=dict)
    sights: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)
    partials: list[Made] = field(default_factory=list)

    @classmethod
    def permissive(cls) -> Rules:
        """Return rules that allow all names: for following a stream, never for judging it."""
        return cls(trust_all=True)

    def uses_of(self, name: Global) -> Uses | None:
        """Return what may be done with a name, or None where it is not known."""
        if self.trust_all or name.full in self.allow:
            return EVERYTHING
        if name.pair == PARTIAL:
            return frozenset()
        return allowed_uses(name.module, name.name, torch=self.torch)

    def imported(self, module: str, name: str) -> Global:
        """Return the global, after it was judged once."""
        found = self.names.get((module, name))
        if found is None:
            found = self.names[(module, name)] = Global(module, name)
            self.globals.add(found.full)
            self.uses.add((module, name, "name"))
            if self.uses_of(found) is None and found.pair not in NAMING_CALLS:
                self.condemn(found)
        return found

    def condemn(self, name: Global, how: str = "") -> None:
        """Write a name down as dangerous or unknown."""
        reason = danger(name.module, name.name)
        if reason:
            self.dangerous.setdefault(name.full, reason)
            return
        self.unknown.add(name.full)
        if how:
            self.note(f"{name.full} is {how}, which the honest files known here never do")

    def note(self, text: str) -> None:
        """Keep a remark once."""
        if text not in self.notes:
            self.notes.append(text)

    def sighted(self, name: Global) -> None:
        """Count a push of one of the names that must be called, and in a known way."""
        if name.pair in SIGHTED:
            self.sights[name.full] += 1

    def finish(self) -> None:
        """Judge the naming calls that were used for anything but naming, and the partial calls."""
        if self.trust_all:
            return
        for full, count in self.sights.items():
            if count != self.resolved[full] and full not in self.allow:
                self.dangerous[full] = REASONS.get(full, ATTRIBUTE)
        if not all(is_plain_check(made) for made in self.partials):
            self.dangerous[_PARTIAL] = CALLER

    def require(self, name: Global, use: str, how: str) -> None:
        """Judge one use of a name."""
        self.uses.add((name.module, name.name, use))
        uses = self.uses_of(name)
        if uses is not None and use not in uses:
            self.condemn(name, how)

    def called(self, target: Value, args: Value) -> Value:
        """Return what calling ``target`` makes."""
        if not isinstance(target, Global):
            raise RefusedError("calls something that has no name of its own")
        if target.pair in NAMING_CALLS:
            named = self._named(target, args)
            if named is not None:
                return named
        if target.pair == RECONSTRUCTOR:
            return self._reconstructed(args)
        if target.pair == ENCODE:
            return self._encoded(target, args)
        if target.pair == PARTIAL and self.uses_of(target) != EVERYTHING:
            return self._partial(target, args)
        self.require(target, "call", "called")
        check_arguments(target, args)
        return Made(target, args)

    def _named(self, target: Global, args: Value) -> Global | None:
        if not isinstance(args, tuple) or len(args) != 2:
            return None
        owner, attribute = args
        if not isinstance(attribute, str):
            return None
        if target.name == "getattr" and isinstance(owner, Global):
            self.resolved[target.full] += 1
            return self.imported(owner.module, f"{owner.name}.{attribute}")
        if target.name != "getattr" and isinstance(owner, str):
            self.resolved[target.full] += 1
            return self.imported(owner, attribute)
        return None

    def _reconstructed(self, args: Value) -> Value:
        if not isinstance(args, tuple) or len(args) != 3:
            raise RefusedError("copyreg._reconstructor is called in a way that is not known")
        kind, base, state = args
        if not isinstance(base, Global) or base.module != "builtins":
            raise RefusedError("an object is rebuilt on a base that is not built in")
        if base.name not in PLAIN_BASES:
            raise RefusedError(f"an object is rebuilt on {base.full}")
        return self.created(kind, () if state is None else (state,), None)

    def _encoded(self, target: Global, args: Value) -> Value:
        if isinstance(args, tuple) and len(args) == 2 and args[1] == "latin1":
            if isinstance(args[0], str):
                try:
                    return memoryview(args[0].encode("latin1"))
                except UnicodeEncodeError as error:
                    raise RefusedError("bytes that are not latin1") from error
            if isinstance(args[0], Opaque):
                return Opaque("bytes")
        self.condemn(target, "called with another codec than latin1")
        return Opaque("bytes")

    def _partial(self, target: Global, args: Value) -> Made:
        self.resolved[target.full] += 1
        self.uses.add((*PARTIAL, "call"))
        made = Made(target, args)
        self.partials.append(made)
        return made

    def created(self, kind: Value, args: Value, words: Value) -> Value:
        """Return the instance that ``kind.__new__`` makes."""
        if not isinstance(kind, Global):
            raise RefusedError("makes an instance of something that has no name of its own")
        if words is not None and not (isinstance(words, DictValue) and isinstance(args, tuple)):
            raise RefusedError("makes an instance with arguments that are not plain")
        self.require(kind, "new", "instantiated")
        return Made(kind, args)

    def built(self, target: Value, state: Value) -> None:
        """Set the state of an instance."""
        if not isinstance(target, Made):
            raise RefusedError("sets the state of something that is not a fresh instance")
        for part in _parts(state):
            if isinstance(part, DictValue):
                self._check_keys(target, part)
        slots = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in slots:
            if isinstance(part, Global) or (isinstance(part, Made) and not _no_mapping(part)):
                raise RefusedError(f"the state of {target.maker.full} is computed")
        target.states.append(state)
        if target.maker.pair == ("numpy", "dtype"):
            check_dtype_flags(target)

    def _check_keys(self, target: Made, state: DictValue) -> None:
        # Pickle and the classes themselves look methods up on the instance while it is loaded, so
        # a state that brings its own could have any allowed name called with any argument.
        for key, value in state.items:
            if isinstance(key, Made | Global):
                raise RefusedError(f"the state of {target.maker.full} has a computed key")
            if not isinstance(key, str):
                continue
            special = key.startswith("__") and key.endswith("__") and not _is_doc(key, value)
            full = f"{target.maker.full}:{key}"
            if _callable(value):
                self.keys.add(full)
                special = special or (key in methods() and full not in methods())
            if special:
                self.dangerous.setdefault(full, "a state that replaces a method of its object")
            if key == "_sklearn_version" and isinstance(value, str):
                self.versions.setdefault("scikit-learn", value)

    def filled(self, target: Value, items: list[Value]) -> None:
        """Put items into an instance of a container class."""
        if not isinstance(target, Made):
            raise RefusedError("puts items into something that is not a container")
        if items:
            self.require(target.maker, "fill", "filled with items")

    def constant(self, raw: memoryview) -> None:
        """Read the versions that a constant tells."""
        if bytes(raw[:5]) == b"tree\n":
            self.long_text(raw)

    def long_text(self, raw: memoryview) -> None:
        """Read the versions that a model kept as text tells."""
        head = bytes(raw[:64]).splitlines()
        if head[:1] == [b"tree"] and len(head) > 1 and head[1].startswith(b"version="):
            self.versions.setdefault("lightgbm-model", head[1][8:].decode("ascii", "replace"))

    def nested(self, offset: int) -> None:
        """Write down bytes that are a pickle themselves."""
        self.dangerous["a pickle inside of bytes"] = f"hidden from a reader, at byte {offset}"

    def persistent(self, identity: Value) -> Value:
        """Return what a persistent id stands for; only PyTorch's storages are known."""
        known = (
            self.torch
            and isinstance(identity, tuple)
            and len(identity) == 5
            and identity[0] == "storage"
            and isinstance(identity[1], Global)
            and identity[1].module in STORAGE
            and all(type(part) in (str, int) for part in identity[2:])
        )
        if not known:
            raise RefusedError("a persistent id, whose meaning lies outside of the file")
        return Opaque("storage")


def _no_mapping(state: Made) -> bool:
    # arrays, dtypes and instances of compiled classes have no ``items`` to take keys from
    module, name = state.maker.pair
    return (
        state.maker.pair in ARRAYS
        or state.maker.pair == ("numpy", "dtype")
        or name.startswith("__pyx_unpickle_")
        or (module.split(".")[0] == "pandas" and name.endswith("Dtype"))
    )


def _parts(state: Value) -> Iterator[Value]:
    # some classes read a dict that lies inside of a tuple as their attributes
    waiting = [state]
    seen = 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > MOST_PARTS:
            raise RefusedError("a state with too many parts")
        if isinstance(part, tuple):
            waiting.extend(part)
        else:
            yield part


def _is_doc(key: str, value: Value) -> bool:
    # distributions of scipy keep their own; a text cannot be called
    return key == "__doc__" and (isinstance(value, str) or value == Opaque("text"))


def _callable(value: Value) -> bool:
    # arrays, scalars and dtypes cannot be called
    if isinstance(value, Made):
        return not _no_mapping(value) and value.maker.name != "scalar"
    return isinstance(value, Global)
