"""What comes back of a probe is checked before it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from afterfit.errors import InputError, NotFoundError
from afterfit.platforms.probe.results import ProbeResult, read_results
from afterfit.platforms.shapes import Measured

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "a" * 64
MEASURED = Measured(rate=90.0, low=80.0, high=100.0, cores=1.0, memory_gib=0.2, tier="vnni",
                    machine="aws/us-east-1/m7i.large")  # fmt: skip


def result(**told: Any) -> ProbeResult:
    """A result as a probe writes it."""
    given = {
        "digest": DIGEST, "slo": "p99 <= 50 ms", "measured": MEASURED, "cpu": "Xeon",
        "features": ("avx512_vnni",), "cores": 2, "generator_cores": 1,
        "date": "2026-11-27T04:00:00Z", "requests": 5000, "seconds": 60.0, "afterfit": "0.1.0",
    }  # fmt: skip
    return ProbeResult(**{**given, **told})


def written(folder: Path, found: Any, name: str = "probe-result.json") -> Path:
    """A file of a result."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_bytes(found if isinstance(found, bytes) else msgspec.json.encode(found))
    return path


def test_files_and_folders_of_results_are_read(tmp_path: Path) -> None:
    """Those in folders below too; other files of the folder are no results."""
    other = msgspec.structs.replace(MEASURED, machine="gcp/us-central1/n2-standard-2")
    one = written(tmp_path / "one", result())
    written(tmp_path / "two" / "out", result(measured=other), "probe-result-n2.json")
    written(tmp_path / "two", b"{}", "probe.json")
    assert read_results([one, tmp_path / "two"], DIGEST, "p99 <= 50 ms") == (MEASURED, other)


@pytest.mark.parametrize(("found", "why"), [
    (b"", "truncated"),
    (b"[1]", "Expected `object`"),
    (msgspec.json.encode(result())[:200], "truncated"),
    (result(schema=9), "its schema is 9"),
    (result(slo="fast"), "no service-level objective"),
    (result(measured=msgspec.structs.replace(MEASURED, rate=0.0, low=0.0)), "bounds"),
    (result(measured=msgspec.structs.replace(MEASURED, low=95.0)), "bounds"),
    (result(measured=msgspec.structs.replace(MEASURED, cores=0.0)), "above 0"),
    (b"x" * 2_000_000, "more than"),
])  # fmt: skip
def test_what_is_no_result_is_an_error_of_the_file(tmp_path: Path, found: Any, why: str) -> None:
    """A rate of 0, swapped bounds, another schema, or no JSON at all."""
    path = written(tmp_path, found)
    with pytest.raises(InputError, match="no result of a probe") as error:
        read_results([path], DIGEST)
    assert why in error.value.why
    assert error.value.where == str(path)


def test_another_bundle_and_another_objective_are_refused(tmp_path: Path) -> None:
    """A rate says something of the bytes and the objective that it was measured with."""
    path = written(tmp_path, result())
    with pytest.raises(InputError, match="another bundle"):
        read_results([path], "b" * 64)
    with pytest.raises(InputError, match="another objective"):
        read_results([path], DIGEST, "p99 <= 10 ms")
    with pytest.raises(NotFoundError, match="no result"):
        read_results([tmp_path / "gone"], DIGEST)
