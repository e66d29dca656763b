"""Starting a server from bundle folders: what stops it, and what it leaves behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.errors import ConflictError, IntegrityError, UsageError
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, link_bundle, start_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> ServedBundle:
    """A people bundle."""
    return ServedBundle(1, people_bundle(tmp_path / "bundle"), tmp_path / "bundle")


def test_a_server_starts_in_a_deep_folder_and_stops_with_code_0(
    bundle: ServedBundle, tmp_path: Path
) -> None:
    """Where the path is too long for a unix socket, the admin socket stands elsewhere.

    How long it took, and which part of that was loading, is known to whoever started it.
    """
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    began = time.monotonic()
    handle = start_server({"churn": bundle}, ServeConfig(port=0), deep)
    assert 0 < handle.load_s < handle.start_s <= time.monotonic() - began
    with handle.client() as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
    assert handle.admin.get().models["churn"].version == 1
    assert handle.stop() == 0
    assert handle.stop() == 0


def test_a_taken_port_is_a_conflict(bundle: ServedBundle, tmp_path: Path) -> None:
    """With the way out, told by who started it and not a second time in the server's log."""
    with (
        start_server({"churn": bundle}, ServeConfig(port=0), tmp_path / "a") as handle,
        (tmp_path / "log").open("wb") as log,
    ):
        port = int(handle.url.rsplit(":", 1)[1])
        with pytest.raises(ConflictError, match=str(port)) as caught:
            start_server({"churn": bundle}, ServeConfig(port=port), tmp_path / "b", log=log)
    assert "--port 0" in caught.value.fix
    assert "failed" not in (tmp_path / "log").read_text()


def test_a_changed_bundle_does_not_start(bundle: ServedBundle, tmp_path: Path) -> None:
    """The worker's own error comes through, with the file."""
    path = bundle.folder / "signature.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"signature\.json"):
        start_server({"churn": bundle}, ServeConfig(port=0), tmp_path / "state")


def test_a_public_address_is_refused_before_anything_starts(
    bundle: ServedBundle, tmp_path: Path
) -> None:
    """No state is written."""
    config = ServeConfig(host="0.0.0.0")  # noqa: S104 - refused, which is what this shows
    with pytest.raises(UsageError, match="other machines"):
        start_server({"churn": bundle}, config, tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_link_is_made_once_moved_on_change_and_refused_for_another_digest(
    bundle: ServedBundle, tmp_path: Path
) -> None:
    """``bundles/DIGEST`` points to the folder that really holds that digest."""
    links = tmp_path / "links"
    for _ in range(2):
        assert link_bundle(links, bundle.digest, bundle.folder).resolve() == bundle.folder
    copy = tmp_path / "copy"
    people_bundle(copy)
    assert link_bundle(links, bundle.digest, copy).resolve() == copy
    with pytest.raises(IntegrityError, match="another bundle"):
        link_bundle(links, "0" * 64, copy)
