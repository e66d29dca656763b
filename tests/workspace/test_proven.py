"""A version carries what its variant was proven on, from its record to whoever serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.e2e.helpers import quick_space
from tests.runtime.bundles import people_bundle

from afterfit.core.bundle import Bundle, write_manifest
from afterfit.core.proof import Surroundings, read_proven
from afterfit.package.config import PackageConfig
from afterfit.package.lock import serving_pins
from afterfit.records.optimize import OptimizeRecord, VariantReport
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import start_server
from afterfit.store.environment import current_environment
from afterfit.workspace.proven import proven_of


def record_of(folder: Path) -> OptimizeRecord:
    """A record of optimize whose exact variant is that of the bundle."""
    variant = Bundle(folder).variant
    return OptimizeRecord(
        subject="0" * 64,
        env=current_environment(),
        chosen=variant.name,
        variant=variant,
        variants=(VariantReport(name=variant.name, status="exact"),),
    )


def test_a_version_says_what_it_was_proven_on(tmp_path: Path) -> None:
    """As the record of optimize tells, to a server and to an image; a lost record stops nobody."""
    space, folder, env = quick_space(tmp_path), tmp_path / "bundle", current_environment()
    people_bundle(folder)
    (folder / "requirements.lock").write_text(serving_pins())
    digest = write_manifest(folder).digest
    stored = space.keep(record_of(folder), started=0.0)
    evidence = {"optimize": stored.digest}
    version = space.registry.register("m", folder, who="me", evidence=evidence)
    served = space.version("m@1")
    assert served.proven is not None
    assert served.proven.digest == served.digest == digest
    assert served.proven.by == "comparison"
    assert served.proven.on.libraries == {"onnxruntime": env.packages["onnxruntime"]}
    assert served.proven.on.cpu_features == env.cpu_features
    assert served.proven.on.machine in env.system
    with (
        start_server({"m": served}, ServeConfig(port=0), tmp_path / "state") as server,
        server.client() as client,
    ):
        proof = client.get("/version").json()["models"]["m"]["proof"]
    assert proof["proven_on"] == proof["running_on"]
    assert msgspec.convert(proof["proven_on"], Surroundings) == served.proven.on
    assert (proof["by"], proof["reverified"]) == ("comparison", False)
    space.package("m@1", "dockerfile", tmp_path / "image", PackageConfig())
    assert read_proven(tmp_path / "image" / "bundle", digest) == served.proven
    lost = msgspec.structs.replace(version, evidence={"optimize": "0" * 64})
    assert proven_of(space.records, lost) is None


def test_a_model_that_ships_as_it_is_was_proven_on_its_own_library(tmp_path: Path) -> None:
    """ONNX Runtime has no part in its answers."""
    people_bundle(tmp_path / "bundle")
    record = record_of(tmp_path / "bundle")
    alone = msgspec.structs.replace(
        record.variant, name="native", runtime="native", framework="sklearn"
    )
    proven = msgspec.structs.replace(record, chosen="native", variant=alone).proven("1" * 64)
    assert proven.by == "itself"
    assert set(proven.on.libraries) == {"scikit-learn"}
