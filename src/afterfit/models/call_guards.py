"""The arguments that the allowed functions may be called with.

Most of them reach into their first argument: they look up ``__new__`` or ``from_arrays`` on it,
call it, or copy a dict into the instance that they make. With an argument of another shape than
honest files have, each would call an allowed name with arguments of the file's choice.
"""

from __future__ import annotations

from collections.abc import Callable

from afterfit.models.pickle_values import DictValue, Global, Made, RefusedError, Value

__all__ = ["check_arguments"]

Arguments = tuple[Value, ...]
RANDOM = "numpy.random"


def check_arguments(target: Global, args: Value) -> None:
    """Raise RefusedError where a call has other arguments than honest files give it."""
    guard = _guard(target)
    if guard is None:
        return
    if not isinstance(args, tuple) or not guard(args):
        raise RefusedError(f"{target.full} is called with arguments that honest files do not have")


def _guard(target: Global) -> Callable[[Arguments], bool] | None:
    if target.name.startswith("__pyx_unpickle_"):
        return _compiled
    if target.name == "newObj":
        return _one_class
    if target.module.startswith("pandas.") and target.name.startswith("_new_"):
        return _index
    if target.name == "_reconstruct":
        return _array
    if target.name == "_mareconstruct":
        return _masked
    return _random if target.module == f"{RANDOM}._pickle" else None


def _compiled(args: Arguments) -> bool:
    # Cython copies the dict of a third argument into the instance, past every check of a state
    return (
        len(args) == 3
        and isinstance(args[0], Global)
        and type(args[1]) is int
        and (args[2] is None or args[2] == ())
    )


def _one_class(args: Arguments) -> bool:
    return len(args) == 1 and isinstance(args[0], Global)


def _index(args: Arguments) -> bool:
    if len(args) != 2 or not isinstance(args[0], Global) or not isinstance(args[1], DictValue):
        return False
    return args[0].module.split(".")[0] == "pandas" and _plain_keys(args[1])


def _plain_keys(values: DictValue) -> bool:
    return all(isinstance(key, str) for key, _ in values.items)


def _array(args: Arguments) -> bool:
    return len(args) == 3 and _of(args[0], "numpy") and isinstance(args[1], tuple)


def _masked(args: Arguments) -> bool:
    return len(args) == 4 and _of(args[0], "numpy") and _of(args[1], "numpy")


def _of(value: Value, package: str) -> bool:
    return isinstance(value, Global) and value.module.split(".")[0] == package


def _random(args: Arguments) -> bool:
    # the second argument is called on the first
    return len(args) <= 2 and all(_is_random(argument) for argument in args)


def _is_random(value: Value) -> bool:
    maker = value.maker if isinstance(value, Made) else value
    if isinstance(maker, Global):
        return f"{maker.module}.".startswith(f"{RANDOM}.")
    return isinstance(value, str)
