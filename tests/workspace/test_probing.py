"""Probes of a version in a workspace: the kit that is written, and the results that come back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.platforms.probe.test_results import MEASURED, result, written
from tests.runtime.bundles import people_bundle
from tests.workspace.people import people_workspace

from afterfit.cli.app import run
from afterfit.core.bundle import Bundle
from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.core.slo import slo_of
from afterfit.errors import ConflictError, InputError, NotFoundError, UnavailableError, UsageError
from afterfit.platforms.probe.machine import Pinning, usable_cpus
from afterfit.records.loadtest import LoadtestRecord
from afterfit.registry.version import Version
from afterfit.serve.run import start_server
from afterfit.store.environment import current_environment
from afterfit.workspace import Workspace, probe_here
from afterfit.workspace.placing import _probes, tier_of_features
from afterfit.workspace.probe_here import Asked, main, measure_here
from afterfit.workspace.probes import probes_of
from afterfit.workspace.probing import Wanted, emit_probe

OFFER = "aws-ec2/us-east-1/m7i.large"
SLO = "p99 <= 50 ms"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A workspace with the version ``people@1``."""
    return people_workspace(tmp_path)


@pytest.fixture
def version(space: Workspace) -> Version:
    """The version."""
    return space.registry.resolve("people@1")


def test_a_kit_has_the_image_that_ships_and_what_measures_it(
    space: Workspace, version: Version, tmp_path: Path
) -> None:
    """Written whole, and again in its own place; a folder of others stays."""
    for _ in range(2):
        made = emit_probe(space, "people@1", tmp_path / "kit", Wanted(offers=(OFFER,), slo=SLO))
    names = {path.name for path in made.folder.iterdir()}
    assert {"image", "probe.json", "probe.sh", "probe.lock", "README.md", "Dockerfile"} <= names
    assert Bundle(made.folder / "image" / "bundle").digest == version.digest
    asked = msgspec.json.decode((made.folder / "probe.json").read_bytes(), type=Asked)
    assert (asked.digest, asked.slo, asked.settings.workers) == (version.digest, SLO, 1)
    with pytest.raises(ConflictError):
        emit_probe(space, "people@1", tmp_path, Wanted(offers=(OFFER,), slo=SLO))


@pytest.mark.parametrize(("wanted", "error", "message"), [
    (Wanted(offers=(OFFER,)), UsageError, "no objective"),
    (Wanted(slo=SLO), UsageError, "not said which offers"),
    (Wanted(slo=SLO, offers=("aws-ec2/us-east-1/m7i.larg",)), NotFoundError, "no offer"),
    (Wanted(slo="fast", offers=(OFFER,)), UsageError, "no service-level objective"),
])  # fmt: skip
def test_what_cannot_be_measured_writes_nothing(
    space: Workspace, tmp_path: Path, wanted: Wanted, error: type[Exception], message: str
) -> None:
    """Each says what is missing."""
    with pytest.raises(error, match=message):
        emit_probe(space, "people@1", tmp_path / "kit", wanted)
    assert not (tmp_path / "kit").exists()


def test_results_are_kept_and_the_newest_of_a_machine_counts(
    space: Workspace, version: Version, tmp_path: Path
) -> None:
    """What was read once need not be given again; a bad file among good ones keeps nothing."""
    faster = msgspec.structs.replace(MEASURED, rate=95.0)
    older = written(tmp_path / "a", result(digest=version.digest))
    newer = written(
        tmp_path / "b",
        result(digest=version.digest, measured=faster, date="2026-11-28T00:00:00Z"),
    )
    with pytest.raises(InputError):
        probes_of(space, version, [older, written(tmp_path / "c", b"{}")])
    assert probes_of(space, version) == ()
    assert probes_of(space, version, [newer, older], "p99<50ms") == (faster,)
    assert probes_of(space, version) == (faster,)
    assert probes_of(space, version, slo="p99 <= 5 ms") == ()


def test_a_choice_reads_results_of_its_version_only(
    space: Workspace, version: Version, tmp_path: Path
) -> None:
    """What a probe noted is a warning; without a version there is nothing that they belong to."""
    found = result(digest=version.digest, notes=("the replica had 1 of 2 vCPUs",))
    path = written(tmp_path / "a", found)
    assert _probes(space, version, [path], slo_of(SLO)) == (MEASURED,)
    assert space.warnings == [f"the probe on {MEASURED.machine}: {found.notes[0]}"]
    assert _probes(space, None, [], slo_of(SLO)) == ()
    with pytest.raises(UsageError, match="of a version"):
        _probes(space, None, [path], slo_of(SLO))


def asked(bundle: Bundle, **told: Any) -> Asked:
    """What a kit asks of a bundle."""
    return Asked(name="people", number=1, digest=bundle.digest, slo=SLO,
                 settings=ServingSettings(workers=1, intra_op=1), seconds=60.0, **told)  # fmt: skip


def test_the_server_runs_on_its_own_cpus_and_answers(tmp_path: Path) -> None:
    """The load comes from the others, where there are."""
    people_bundle(tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    usable = usable_cpus()
    pinned = Pinning(usable[:1], usable[-1:], "")
    replica = probe_here._Replica(asked(bundle), bundle, pinned)
    seen: list[int] = []
    start = start_server

    def started(*given: Any, **told: Any) -> Any:
        server = start(*given, **told)
        seen.append(server.pid)
        return server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_here, "start_server", started)
        patch.setattr(probe_here, "USUAL_S", 0.2)
        try:
            with replica.stand(ServingSettings(workers=1, intra_op=1)) as up:
                up.ask()
                assert up.usual_rps > 0
                if sys.platform == "linux":
                    assert os.sched_getaffinity(seen[0]) == set(pinned.server)
                    assert os.sched_getaffinity(0) == set(pinned.load)
        finally:
            probe_here._run_on(usable)


def loaded(about: Any, rate: float | None = 400.0) -> LoadtestRecord:
    """What a load test found."""
    sustained = Metric(name="sustained_rps", value=rate, low=380.0, high=420.0, n=9000)
    return LoadtestRecord(
        subject=about.subject, env=about.env, schedule="search", requests=9000, errors=0,
        duration_s=30.0, rate=300.0, slo=SLO, quantiles=((0.5, 1.0), (0.99, 30.0)),
        settings={"workers": 1, "threads": 1}, sustained_rps=sustained if rate else None,
    )  # fmt: skip


def test_what_was_measured_is_written_and_read_back(
    space: Workspace, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The script's own file, and the last line of its output, for logs without files."""
    if not {"avx2", "asimddp"} & set(current_environment().cpu_features):
        pytest.skip("the tier of this processor is not known")
    monkeypatch.setattr(probe_here, "load_endpoint", lambda end, _: loaded(end.about))
    made = emit_probe(space, "people@1", tmp_path / "kit", Wanted(offers=(OFFER,), slo=SLO))
    bundle, settings = str(made.folder / "image" / "bundle"), str(made.folder / "probe.json")
    words = ["--bundle", bundle, "--settings", settings, "--output", str(tmp_path / "out")]
    assert main([*words, "--machine", "aws/us-east-1/m7i.large"]) == 0
    [found] = probes_of(space, version, [tmp_path / "out"], SLO)
    assert (found.rate, found.low, found.high, found.cores) == (400.0, 380.0, 420.0, 1.0)
    assert found.machine == "aws/us-east-1/m7i.large"
    # What the processor says of itself counts, and not what its name promises.
    assert found.tier == tier_of_features(current_environment().cpu_features)
    line = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert line["digest"] == version.digest
    assert line["told"] is True
    # What the probe noted of the machine is told to whoever reads the result.
    assert len(space.warnings) == len(line["notes"])


def test_a_machine_that_holds_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As are settings that are none, and a bundle that is another."""
    people_bundle(tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    monkeypatch.setattr(probe_here, "load_endpoint", lambda end, _: loaded(end.about, None))
    with pytest.raises(UnavailableError, match="no rate was found"):
        measure_here(asked(bundle), bundle, "aws/us-east-1/m7i.large")
    bad = tmp_path / "probe.json"
    bad.write_text("{}", "utf-8")
    words = ["--bundle", str(bundle.folder), "--output", str(tmp_path)]
    assert main([*words, "--settings", str(bad)]) == 2
    assert "no settings of a probe" in capsys.readouterr().err
    bad.write_bytes(msgspec.json.encode(msgspec.structs.replace(asked(bundle), digest="0" * 64)))
    assert main([*words, "--settings", str(bad)]) == 2


def test_the_command_names_the_folder_and_what_to_do(
    space: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And refuses times that are none."""
    words = ["platforms", "probe", "people@1", "--for", OFFER, "--workspace", str(space.folder)]
    words += ["--output", str(tmp_path / "kit")]
    assert run([*words, "--slo", "p99<50ms"]) == 0
    assert "--probes FOLDER" in capsys.readouterr().out
    assert run([*words, "--slo", "p99<50ms", "--seconds", "5"]) == 2
