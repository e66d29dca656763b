"""Compiles modules, as a program of its own: ``python bytecode.py FOLDER INSIDE NAME``.

It imports nothing but the standard library and runs without ``site``: which names a process has
met decides how bytecode is written, so equal files give equal bytes only in equal processes.
"""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

_UNREADABLE = {"SyntaxError", "IndentationError", "TabError", "UnicodeDecodeError", "ValueError"}


def main(folder: str, inside: str, name: str) -> None:
    """Compile the module or package ``name`` of ``folder``, which will stand at ``inside``.

    A file for another version of Python, as some packages bring, is left as text.
    """
    top = Path(folder) / name
    for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
        try:
            py_compile.compile(
                str(path),
                dfile=f"{inside}/{path.relative_to(folder).as_posix()}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as error:
            if error.exc_type_name not in _UNREADABLE:
                raise


if __name__ == "__main__":
    main(*sys.argv[1:])
