"""The process that holds a model: loads what was audited and answers its parent.

Started by :mod:`afterfit.models.host`. It gives up the network before anything else is imported
(``--network`` keeps it, for a model that serves), reads requests from its standard input, answers
on what was its standard output, and ends with its parent; whatever the model prints goes to
standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from afterfit.errors import AfterfitError
    from afterfit.models.native import NativeModel

__all__ = ["Child", "main"]

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_DEATH_SIGNAL = 1


def give_up_network() -> bool:
    """Return whether this process now has no network but an idle loopback (Linux namespaces)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False
    if unshare(_NEW_NET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_NEW_USER | _NEW_NET) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as stream:  # noqa: PTH123  # pathlib is not imported yet, and a second thread would make unshare fail
            stream.write(text)
    return True


def end_with(parent: int) -> None:
    """Have the kernel end this process with its parent (Linux): a model that hangs reads no more.

    The kernel means the thread that started this process; the parent has one for that.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has ended before it could be asked for
            os._exit(1)


class Child:
    """The model and the requests it answers: load, open, adopt, predict, call."""

    def __init__(self, *, isolated: bool) -> None:
        self.isolated = isolated
        self._native: Any = None
        self._source: Any = None

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the reply of one request; raises what the model raises."""
        actions: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "open": self.open,
            "adopt": self.adopt,
            "predict": self.predict,
            "call": self.call,
        }
        return actions[request.pop("op")](**request)

    def load(self, source: Any) -> Any:
        """Return the description of the model after loading it."""
        from afterfit.models.native import adapter_for_format
        from afterfit.models.packages import imported_since

        if source.code:
            sys.path.insert(0, source.code)
        self._source = source
        before = _modules_without(source)
        self._native = adapter_for_format(source.format).load(source)
        if before is not None:
            self._merge(installed=imported_since(before), saved_with={})
        return {"description": self._native.description, "isolated": self.isolated}

    def open(self, folder: str, variant: Any, signature: Any, threads: int) -> Any:
        """Return whether there is no network, after loading a variant of the files in a folder."""
        from pathlib import Path

        from afterfit.models.variant import NATIVE, load_here
        from afterfit.runtime.predict import open_variant

        opened: Callable[..., Any] = load_here if variant.runtime == NATIVE else open_variant
        self._native = opened(Path(folder), variant, signature, threads=threads)
        return {"isolated": self.isolated}

    def adopt(self, hints: Any) -> Any:
        """Return the description of the model after telling it what its file does not."""
        from afterfit.models.native import adapter_for_object

        before = self.native.description
        again = getattr(self.native, "adopt", None)
        if again is None:
            adapter = adapter_for_object(self.native.estimator)
            self._native = adapter.wrap(self.native.estimator, hints)
        else:
            self._native = again(hints)
        self._merge(installed=before.installed, saved_with=before.saved_with)
        return {"description": self._native.description, "isolated": self.isolated}

    def _merge(self, *, installed: dict[str, str], saved_with: dict[str, str]) -> None:
        """Add to the description what only the loading could see."""
        import msgspec

        told = self.native.description
        self.native.description = msgspec.structs.replace(
            told,
            installed={**installed, **told.installed},
            saved_with={**told.saved_with, **saved_with},
        )

    @property
    def native(self) -> NativeModel:
        """The loaded model."""
        if self._native is None:
            raise RuntimeError("no model was loaded")
        native: NativeModel = self._native
        return native

    def predict(self, frame: dict[str, Any]) -> Any:
        """Return the predictions of a frame."""
        return self.native.predict(frame)

    def call(self, target: str, arguments: dict[str, Any]) -> Any:
        """Return what ``module:function`` says of the model."""
        from importlib import import_module

        module, _, name = target.partition(":")
        return getattr(import_module(module), name)(self.native, **arguments)


def _modules_without(source: Any) -> set[str] | None:
    """Return the modules imported before the user's own code; None where there is none."""
    if not source.code and source.format != "cloudpickle":
        return None
    # Imported first, so that what they bring is not counted as the model's.
    import joblib  # noqa: F401
    import pandas as pd  # noqa: F401

    return set(sys.modules)


def explain(error: BaseException, action: str) -> AfterfitError:
    """Return the error as one of Afterfit's, without a traceback."""
    from afterfit.errors import (
        AfterfitError,
        DependencyError,
        InputError,
        ModelError,
        ResourceError,
    )

    if isinstance(error, AfterfitError):
        return error
    text = f"{type(error).__name__}: {_short(str(error))}"
    if isinstance(error, MemoryError):
        return ResourceError(
            "the model's process ran out of memory",
            why=text,
            fix="use a machine with more memory, or give fewer rows at once",
        )
    if action == "predict" and isinstance(error, ValueError | TypeError | KeyError | IndexError):
        return InputError(
            "the model refused these rows",
            why=text,
            code="refused",
            fix="give rows like those that the model was trained on; its own words are above",
        )
    if isinstance(error, ModuleNotFoundError):
        return DependencyError(
            f"the model needs the module {error.name}, which is not installed here",
            why=text,
            fix=f"install it, or name the folder that holds it: --code FOLDER ({error.name})",
        )
    what = {"load": "the model cannot be loaded", "predict": "the model failed on these rows"}
    return ModelError(
        what.get(action, "the model's process failed"),
        why=text,
        code=f"{action}_failed",
        fix="try it in Python where the model was trained; its own words are above",
    )


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 2000 else f"{text[:2000]}…"


def serve(requests: BinaryIO, replies: BinaryIO, *, isolated: bool) -> None:
    """Answer requests until the parent closes the connection."""
    from afterfit.models import wire

    child = Child(isolated=isolated)
    while True:
        try:
            request = wire.receive(requests)
        except EOFError:
            return
        action = str(request.get("op", ""))
        try:
            message = wire.framed({"ok": child.answer(request)})
        except Exception as error:  # noqa: BLE001  # whatever a model raises is told to the parent
            message = wire.framed({"error": explain(error, action).as_dict()})
        replies.write(message)
        replies.flush()


def main() -> None:
    """Answer on the first standard output; everything printed goes to standard error."""
    isolated = "--network" not in sys.argv[1:] and give_up_network()
    # After giving up the network: the kernel forgets the signal where a process gets other rights.
    for argument in sys.argv[1:]:
        if argument.startswith("--parent="):
            end_with(int(argument.removeprefix("--parent=")))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.dont_write_bytecode = True
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, replies, isolated=isolated)


if __name__ == "__main__":
    main()
