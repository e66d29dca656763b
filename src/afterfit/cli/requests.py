"""What commands that ask a server share: the options that name it, and what they read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from afterfit.cli.common import given_of
from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.store.files import os_error

ELSEWHERE = Group("A server that a URL names", sort_key=5)


@Parameter(name="*", group=ELSEWHERE)
@dataclass(frozen=True)
class Elsewhere:
    """How a server that a URL names is asked."""

    model: Annotated[
        str | None, Parameter(help="The model; the first that is listed without it.")
    ] = None
    route: Annotated[
        str | None, Parameter(help="The path of a JSON endpoint, such as /predict.")
    ] = None
    example: Annotated[
        Path | None, Parameter(help="A file with the JSON of one right request.")
    ] = None
    header: Annotated[
        list[str] | None,
        Parameter(negative="", help="Sent always, as 'authorization: Bearer …'."),
    ] = None
    allow_remote: Annotated[
        list[str] | None,
        Parameter(negative="", help="A host beyond this machine that is yours."),
    ] = None

    def given(self) -> list[str]:
        """Return the options that were given."""
        return given_of(self)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers by name and value; raises UsageError."""
        return tuple(header_of(text) for text in self.header or ())

    def asked(self) -> dict[str, Any]:
        """Return model, route and the JSON of the example, those of them that were told."""
        example = None if self.example is None else json_file(self.example, "--example")
        told = {"model": self.model, "route": self.route, "example": example}
        return {name: value for name, value in told.items() if value is not None}


def header_of(text: str) -> tuple[str, str]:
    """Return the name and the value of ``name: value``; raises UsageError."""
    name, colon, value = (part.strip() for part in text.partition(":"))
    plain = (name + value).isascii() and (name + value).isprintable()
    if not colon or not name or not plain or " " in name:
        raise UsageError(f"not a header: {text!r}", where="--header", fix="--header 'name: value'")
    return name, value


def json_file(path: Path, option: str) -> Any:
    """Return the JSON in the file that an option names; raises an error that tells of both."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        fix = f"{option} FILE, a file that holds the JSON of one request"
        raise NotFoundError(f"no such file: {path}", where=option, fix=fix) from None
    except OSError as error:
        raise os_error(error, path, "read") from None
    except (ValueError, RecursionError) as error:
        fix = "write one request as JSON"
        raise InputError("not JSON", where=str(path), why=str(error), fix=fix) from None
