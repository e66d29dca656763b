"""What a probe measured, as the file that comes back from a finalist's machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from afterfit.core.digest import short
from afterfit.core.shell import shell_word
from afterfit.core.slo import slo_of
from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.platforms.shapes import LIMITS, MOST_AT_ONCE, Measured
from afterfit.store.files import read_bytes

__all__ = ["RESULT", "ProbeResult", "found_in", "read_result", "read_results"]

SCHEMA = 1
RESULT = "probe-result.json"
MOST_BYTES = 1 << 20


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One replica of the bundle ``digest``, load-tested on one machine.

    ``measured`` is what capacity is computed from. ``slo`` is the objective as text, ``cpu`` the
    processor's name and ``features`` its instruction sets; ``cores`` are the machine's,
    ``generator_cores`` those that the load came from (0: the same as the server's, which makes the
    rate too low). ``told`` says whether a person named the machine, and not its cloud. ``date`` is
    in UTC (ISO 8601), ``requests`` and ``seconds`` what the rate was searched with.
    """

    digest: str
    slo: str
    measured: Measured
    cpu: str
    features: tuple[str, ...]
    cores: int
    generator_cores: int
    date: str
    requests: int
    seconds: float
    afterfit: str
    told: bool = False
    certified: float | None = None
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA


def read_results(paths: Iterable[Path], digest: str, slo: str = "") -> tuple[Measured, ...]:
    """Return what probes of the bundle ``digest`` measured: files, or folders of such files.

    Raises NotFoundError where there is none, InputError for a file that is no result, of another
    bundle, or (with ``slo``) of another objective.
    """
    files = [file for path in paths for file in found_in(path)]
    return tuple(_checked(file, digest, slo).measured for file in files)


def found_in(path: Path) -> list[Path]:
    """Return the results at a path, sorted: itself, or ``*.json`` in the folder and below."""
    if path.is_file():
        return [path]
    found = sorted(path.rglob("probe-result*.json")) if path.is_dir() else []
    if not found:
        raise NotFoundError(
            "there is no result of a probe", where=str(path),
            why=f"a probe writes {RESULT} when it ends",
            fix="copy it from the machine that was measured",
        )  # fmt: skip
    return found


def read_result(path: Path) -> ProbeResult:
    """Return one result; raises InputError for anything else."""
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise _no_result(path, f"it has more than {MOST_BYTES} bytes")
    try:
        found = msgspec.json.decode(read_bytes(path), type=ProbeResult)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_result(path, str(error)) from None
    if found.schema != SCHEMA:
        raise _no_result(path, f"its schema is {found.schema}, this version reads {SCHEMA}")
    try:
        slo_of(found.slo)
    except UsageError as error:
        raise _no_result(path, f"{found.slo!r}: {error.message}") from None
    measured = found.measured
    if not 0 < measured.low <= measured.rate <= measured.high < float("inf"):
        raise _no_result(path, "its rate is not between its bounds, or not above 0")
    if measured.cores <= 0 or measured.memory_gib <= 0:
        raise _no_result(path, "cores and memory have to be above 0")
    for name, (least, most) in LIMITS.items():
        value = getattr(measured, name)
        if value is not None and not least <= value <= most:
            raise _no_result(path, f"measured.{name} is {value:g}, not {least:g} to {most:g}")
    if measured.rate * (measured.service_ms or 0.0) / 1e3 > MOST_AT_ONCE:
        raise _no_result(path, "rate times service_ms is more than one replica has in work")
    return found


def _checked(path: Path, digest: str, slo: str) -> ProbeResult:
    found = read_result(path)
    if found.digest != digest:
        raise InputError(
            f"{path.name} is of another bundle", where=str(path),
            why=f"it measured {short(found.digest)}, the version is {short(digest)}",
            fix="afterfit platforms probe NAME@champion   # and measure that",
        )  # fmt: skip
    if slo and slo_of(found.slo) != slo_of(slo):
        raise InputError(
            f"{path.name} is of another objective", where=str(path),
            why=f"it held {found.slo}, asked is {slo}",
            fix=f"afterfit platforms NAME@champion --slo {shell_word(found.slo)}",
        )  # fmt: skip
    return found


def _no_result(path: Path, why: str) -> InputError:
    return InputError(
        f"{path.name} is no result of a probe", where=str(path), why=why,
        fix=f"give the {RESULT} that a probe wrote",
    )  # fmt: skip
