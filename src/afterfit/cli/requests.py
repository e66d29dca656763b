"""What commands that ask a server read: headers, and files with the JSON of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.store.files import os_error


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
