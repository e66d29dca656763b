"""A variant on something else than it was proven on: tried again on its golden rows, and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle

from afterfit.core.bundle import Bundle, Large, Variant, write_manifest
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import Model
from afterfit.core.proof import Proven, Surroundings, libraries_of, proven_file, read_proven
from afterfit.errors import IntegrityError, ModelError
from afterfit.runtime.by_size import BySize
from afterfit.runtime.predict import load_bundle
from afterfit.runtime.processor import surroundings
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server


def here() -> Surroundings:
    """What graphs run on in this process."""
    return surroundings(Variant(name="onnx", runtime="onnx", framework="sklearn", file=""))


def elsewhere() -> Surroundings:
    """An older ONNX Runtime on a processor with an instruction set that none has."""
    return msgspec.structs.replace(
        here(),
        libraries={"onnxruntime": "1.19.2"},
        cpu_features=(*here().cpu_features, "made_up"),
    )


def proven(digest: str, on: Surroundings) -> Proven:
    """Evidence of a certificate that was given there."""
    return Proven(digest=digest, by="certificate", on=on)


def beside(folder: Path, evidence: Proven) -> None:
    """Write the evidence beside a bundle."""
    proven_file(folder).write_bytes(evidence.encode())


def broken(folder: Path, shift: float = 0.01) -> str:
    """The digest of a people bundle whose golden rows expect other answers."""
    people_bundle(folder)
    golden = Bundle(folder).golden
    assert golden.probabilities is not None
    golden.probabilities[3][0] += shift
    (folder / "golden.json").write_bytes(msgspec.json.encode(golden))
    return write_manifest(folder).digest


def test_the_same_surroundings_need_no_second_proof(tmp_path: Path) -> None:
    """Golden rows are answered all the same, and it is told that nothing differs."""
    folder = tmp_path / "bundle"
    digest = people_bundle(folder)
    beside(folder, proven(digest, here()))
    proof = load_bundle(folder).proof
    assert proof.proven_on == proof.running_on == here()
    assert (proof.by, proof.differs, proof.reverified) == ("certificate", (), False)
    assert (proof.rows, proof.why) == (16, "it runs on what it was proven on")


def test_other_surroundings_are_named_and_the_golden_rows_tried_again(tmp_path: Path) -> None:
    """Library, instruction sets, rows and the largest difference; the bundle keeps its digest."""
    folder = tmp_path / "bundle"
    digest = people_bundle(folder)
    beside(folder, proven(digest, elsewhere()))
    predictor = load_bundle(folder, expected=digest)
    proof = predictor.proof
    assert predictor.digest == digest
    assert proof.reverified
    assert (proof.rows, proof.tolerance) == (16, 1e-5)
    assert proof.largest_difference is not None
    assert 0.0 <= proof.largest_difference <= 1e-5
    told = " ".join(proof.differs)
    assert f"onnxruntime is {here().libraries['onnxruntime']} here and was 1.19.2" in told
    assert "without made_up" in told


def test_where_nobody_told_the_golden_rows_are_all_there_is(tmp_path: Path) -> None:
    """They came out right here, on what is not known to be what it was proven on."""
    people_bundle(tmp_path / "bundle")
    proof = load_bundle(tmp_path / "bundle").proof
    assert (proof.proven_on, proof.by, proof.reverified) == (None, "unknown", True)
    assert proof.differs == ()


def test_without_golden_rows_nothing_is_said_to_be_reverified(tmp_path: Path) -> None:
    """A bundle that has none says why."""
    folder = tmp_path / "bundle"
    numbers_bundle(folder)
    (folder / "golden.json").unlink()
    digest = write_manifest(folder).digest
    beside(folder, proven(digest, elsewhere()))
    proof = load_bundle(folder).proof
    assert proof.differs
    assert (proof.reverified, proof.why) == (False, "the bundle has no golden rows")


def test_a_variant_that_answers_otherwise_elsewhere_is_refused(tmp_path: Path) -> None:
    """The error names the rows, both surroundings, and both ways out."""
    folder = tmp_path / "bundle"
    beside(folder, proven(broken(folder), elsewhere()))
    with pytest.raises(ModelError, match="where it was proven") as caught:
        load_bundle(folder)
    assert "1 of 16 golden rows differ, by up to 0.01" in caught.value.why
    assert "here and was 1.19.2" in caught.value.why
    assert caught.value.fix.startswith("pip install onnxruntime==1.19.2; or prove it")
    other = msgspec.structs.replace(elsewhere(), libraries=here().libraries)
    beside(folder, proven(Bundle(folder).digest, other))
    with pytest.raises(ModelError) as caught:
        load_bundle(folder)
    assert "without made_up" in caught.value.why
    assert caught.value.fix.startswith("prove it on a machine like this one")


class _Shifted:
    """A model whose probabilities are a little larger."""

    def __init__(self, model: Model, shift: float) -> None:
        self.model = model
        self.shift = shift

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions plus the shift."""
        return Predictions(probabilities=self.model.predict(frame).main + self.shift)


@pytest.mark.parametrize("shifts", [(3e-6, 1e-6), (1e-6, 3e-6)])
def test_the_worse_of_two_forms_is_told(tmp_path: Path, shifts: tuple[float, float]) -> None:
    """Where one form answers few rows and another many, both are asked."""
    people_bundle(tmp_path / "bundle")
    predictor = load_bundle(tmp_path / "bundle")
    golden = Bundle(tmp_path / "bundle").golden
    small, large = (_Shifted(predictor.model, shift) for shift in shifts)
    predictor.model = BySize(small, large, 8)
    report = predictor.check_golden(golden)
    assert report.outcome == "passed"
    assert report.worst == pytest.approx(3e-6, rel=1e-2)
    small.shift = 0.1
    assert predictor.check_golden(golden).outcome == "failed"


def test_evidence_of_another_bundle_and_what_is_none_are_refused(tmp_path: Path) -> None:
    """The error says which file, and how to do without."""
    folder = tmp_path / "a bundle"
    digest = people_bundle(folder)
    beside(folder, proven("0" * 64, here()))
    with pytest.raises(IntegrityError, match="that of another one") as caught:
        load_bundle(folder)
    assert caught.value.fix.startswith(f"rm '{tmp_path}/a bundle.proven.json'")
    proven_file(folder).write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_bundle(folder)
    proven_file(folder).unlink()
    proven_file(folder).mkdir()  # beside a mounted folder there may be anything
    assert read_proven(folder, digest) is None


def test_evidence_is_found_beside_a_folder_that_is_named_by_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative name has no folder beside it, the place that it means has one."""
    folder = tmp_path / "bundle"
    evidence = proven(people_bundle(folder), elsewhere())
    beside(folder, evidence)
    monkeypatch.chdir(folder)
    assert read_proven(Path(), evidence.digest) == evidence


def test_the_libraries_of_both_forms_count() -> None:
    """A graph runs on ONNX Runtime, a booster on its own library, whichever build is installed."""
    booster = Variant(name="b", runtime="native", framework="xgboost", file="b.ubj")
    both = Variant(
        name="g",
        runtime="onnx",
        framework="sklearn",
        file="g.onnx",
        large=Large(rows=64, variant=booster),
    )
    known = {"onnxruntime-gpu": "1.32.0", "xgboost-cpu": "3.2.0", "torch": "2.13.0+cpu"}
    found = libraries_of(both, lambda name: known.get(name, ""))
    assert found == {"onnxruntime": "1.32.0", "xgboost": "3.2.0"}
    network = Variant(name="n", runtime="native", framework="torch", file="n.pt2")
    assert libraries_of(network, lambda name: known.get(name, "")) == {"torch": "2.13.0"}
    own = Variant(name="f", runtime="native", framework="function", file="f.py")
    assert libraries_of(own, lambda name: known.get(name, "")) == {}


def lines(log: Path, event: str) -> list[dict[str, Any]]:
    """The lines of a server's log that tell of an event."""
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def test_a_server_says_that_it_reverified_and_on_what(tmp_path: Path) -> None:
    """In /version, and in a line of its log; nothing of it is in the bundle."""
    folder, log = tmp_path / "bundle", tmp_path / "log"
    digest = people_bundle(folder)
    files = sorted(path.name for path in folder.rglob("*"))
    bundle = ServedBundle(1, digest, folder, proven(digest, elsewhere()))
    with (
        log.open("wb") as stream,
        start_server({"churn": bundle}, ServeConfig(port=0), tmp_path / "s", log=stream) as server,
        server.client() as client,
    ):
        told = client.get("/version").json()["models"]["churn"]
    assert told["digest"] == digest
    proof = told["proof"]
    assert proof["by"] == "certificate"
    assert proof["proven_on"]["libraries"] == {"onnxruntime": "1.19.2"}
    assert msgspec.convert(proof["running_on"], Surroundings) == here()
    assert (proof["reverified"], proof["rows"]) == (True, 16)
    assert 0.0 <= proof["largest_difference"] <= proof["tolerance"]
    (line,) = lines(log, "reverified")
    assert line["digest"] == digest
    assert line["differs"] == proof["differs"]
    assert (line["rows"], line["largest_difference"]) == (16, proof["largest_difference"])
    assert sorted(path.name for path in folder.rglob("*")) == files


def test_a_server_does_not_get_ready_with_a_variant_that_fails_there(tmp_path: Path) -> None:
    """Whoever starts it is told what is other there, and how to go on."""
    folder = tmp_path / "bundle"
    digest = broken(folder)
    bundle = ServedBundle(1, digest, folder, proven(digest, elsewhere()))
    with pytest.raises(ModelError, match="where it was proven") as caught:
        start_server({"churn": bundle}, ServeConfig(port=0), tmp_path / "state")
    assert "onnxruntime" in caught.value.why
    assert "pip install onnxruntime==1.19.2" in caught.value.fix


def test_a_version_that_fails_there_leaves_the_old_one_serving(tmp_path: Path) -> None:
    """A follower's change is refused with the same error, and nothing changes."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    first = ServedBundle(1, people_bundle(good), good)
    digest = broken(bad)
    second = ServedBundle(2, digest, bad, proven(digest, elsewhere()))
    with start_server({"churn": first}, ServeConfig(port=0), tmp_path / "state") as server:
        with pytest.raises(ModelError, match="where it was proven"):
            server.replace("churn", second)
        with server.client() as client:
            assert client.get("/version").json()["digest"] == first.digest
