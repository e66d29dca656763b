"""Which sink an address means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from afterfit.errors import DependencyError, UsageError
from afterfit.runtime.sinks import SegmentWriter, StdoutSink, folder_of, open_sink, opening

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_is_a_folder_and_a_dash_is_standard_output(tmp_path: Path) -> None:
    """As they have always been; a folder may also be written as an address."""
    for address in (str(tmp_path), f"file://{tmp_path}"):
        sink = open_sink(address, "w")
        assert isinstance(sink, SegmentWriter)
        assert (sink.folder, sink.worker) == (tmp_path, "w")
        assert folder_of(address) == tmp_path
    assert isinstance(open_sink("-", "w"), StdoutSink)
    assert folder_of("-") is folder_of("") is folder_of("s3://bucket/x") is None


def test_a_scheme_that_nobody_registered_is_refused_with_those_that_there_are() -> None:
    """Before anything is served."""
    with pytest.raises(UsageError, match="carrier-pigeon") as caught:
        open_sink("carrier-pigeon://roof", "w")
    assert "postgresql" in caught.value.why
    assert "s3" in caught.value.why


def test_a_sink_of_others_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its scheme in the group afterfit.sinks, as the ones here are."""

    class Point:
        name = "nowhere"

        @staticmethod
        def load() -> object:
            return lambda address, worker: (address, worker)

    def entry_points(*, group: str, name: str = "") -> list[type[Point]]:
        assert group == opening.GROUP
        return [Point] if name == Point.name else []

    monkeypatch.setattr(opening, "entry_points", entry_points)
    opened: object = open_sink("nowhere://there", "w3")
    assert opened == ("nowhere://there", "w3")


def test_the_built_in_sinks_are_registered_as_those_of_others_are() -> None:
    """The installed metadata and the table for source trees name the same functions."""
    from importlib.metadata import entry_points

    installed = {point.name: point.value for point in entry_points(group=opening.GROUP)}
    assert installed == opening.BUILT_IN


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [("postgresql://host/db", "psycopg", "postgres"), ("s3://bucket", "fsspec", "objectstore")],
)
def test_a_missing_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, address: str, module: str, extra: str
) -> None:
    """No traceback of an import."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError) as caught:
        open_sink(address, "w")
    assert caught.value.fix == f"pip install 'afterfit[{extra}]'"


def test_a_store_whose_own_package_is_missing_is_named_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fsspec alone knows no cloud."""
    pytest.importorskip("fsspec", reason="NOT RUN: fsspec is not installed")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DependencyError) as caught:
        open_sink("gs://bucket/events", "w")
    assert caught.value.fix == "pip install gcsfs"
