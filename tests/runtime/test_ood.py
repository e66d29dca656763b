"""Rows unlike the reference: flagged in their events, counted by version, and off the answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.runtime.bundles import people, people_bundle, people_signature
from tests.runtime.waiting import until

from afterfit.core.bundle import write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.frame import Predictions, join, take
from afterfit.errors import IntegrityError
from afterfit.package.ood.config import OodConfig
from afterfit.package.ood.make import Reference, make_scorer
from afterfit.predict.run import predict_file
from afterfit.runtime.embed import EmbeddedModel
from afterfit.runtime.events import read_segments
from afterfit.runtime.ood import FILE, OodDocument
from afterfit.runtime.predict import load_bundle
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

USUAL: dict[str, Any] = {"age": 39.5, "hours": 40, "job": "nurse"}
FAR: dict[str, Any] = {"age": 4000.0, "hours": 40000, "job": "nurse"}


def scored_bundle(folder: Path) -> str:
    """The digest of a people bundle with a scorer of its reference."""
    people_bundle(folder)
    predictor = load_bundle(folder)
    frame = people(1000, seed=3)
    reference = Reference(people_signature(), frame, predictor.predict(frame), predictor.predict)
    predictor.close()
    made = make_scorer(reference, OodConfig(scorer="distance"))
    (folder / FILE).write_bytes(made.files[FILE])
    return write_manifest(folder).digest


def test_a_far_row_is_flagged_in_its_event_and_counted(tmp_path: Path) -> None:
    """On a real server: the usual rows beside it are not, nor those of a model without a scorer."""
    bundles = {
        "churn": ServedBundle(3, scored_bundle(tmp_path / "scored"), tmp_path / "scored"),
        "plain": ServedBundle(1, people_bundle(tmp_path / "plain"), tmp_path / "plain"),
    }
    config = ServeConfig(port=0, events=str(tmp_path / "events"))
    with start_server(bundles, config, tmp_path / "state") as server, server.client() as client:

        def counts(name: str) -> dict[str, float]:
            text = client.get("/metrics").body.decode()
            found = re.findall(rf"^{name}\{{(.*)\}} (\d+)$", text, re.MULTILINE)
            return {labels: float(value) for labels, value in found}

        before = client.post("/predict/churn", {"rows": [USUAL]})
        for model in ("churn", "plain"):
            reply = client.post(f"/predict/{model}", {"rows": [USUAL, FAR, USUAL]})
            assert reply.status == 200
        until(lambda: counts("afterfit_rows_flagged_total").get('flag="range"') == 2)
        assert counts("afterfit_rows_flagged_total")['flag="ood"'] == 1
        assert counts("afterfit_model_ood_total") == {
            'model="churn",version="3",role="primary"': 1,
            'model="plain",version="1",role="primary"': 0,
        }
        after = client.post("/predict/churn", {"rows": [USUAL]})
        assert after.json()["predictions"][0]["label"] == before.json()["predictions"][0]["label"]
    events = [event for event in read_segments(tmp_path / "events") if event.kind == "served"]
    flags = {(event.model, event.row): event.flags for event in events if event.row == 1}
    assert flags == {("churn", 1): ("range", "ood"), ("plain", 1): ("range",)}
    assert all(event.flags == () for event in events if event.row != 1)


def test_a_bundle_in_the_own_process_and_a_file_tell_the_same(tmp_path: Path) -> None:
    """``flags`` of an embedded model and the counts of a batch hold the flag."""
    scored_bundle(tmp_path / "scored")
    with EmbeddedModel(tmp_path / "scored") as model:
        assert model.flags([USUAL, FAR]) == [(), ("range", "ood")]
    source = tmp_path / "rows.csv"
    source.write_text("age,hours,job\n39.5,40,nurse\n4000,40000,nurse\n")
    predictor = load_bundle(tmp_path / "scored")
    record = predict_file(predictor, source, tmp_path / "out.parquet")
    assert record.flagged == {"range": 1, "ood": 1}


def test_a_bundle_without_a_scorer_loads_as_before(tmp_path: Path) -> None:
    """It has none, and no row of it gets the flag."""
    people_bundle(tmp_path / "plain")
    assert load_bundle(tmp_path / "plain").ood is None
    with EmbeddedModel(tmp_path / "plain") as model:
        assert model.flags([FAR]) == [("range",)]


def _without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {name: value for name, value in body.items() if name not in names}


@pytest.mark.parametrize(
    "spoil",
    [
        _without("space"),
        _without("threshold"),
        _without("columns"),
        lambda body: {**body, "method": "oracle"},
        lambda body: {**body, "method": "forest"},
        lambda body: {**body, "columns": [{**c, "name": c["name"] + "s"} for c in body["columns"]]},
        lambda body: {**body, "space": {**body["space"], "centres": []}},
        lambda body: {**body, "space": {**body["space"], "axes": [[1.0]]}},
    ],
)
def test_a_scorer_that_fits_no_columns_is_refused(
    spoil: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path
) -> None:
    """Before a row is asked, with the file's name."""
    folder = tmp_path / "scored"
    scored_bundle(folder)
    body = msgspec.json.decode((folder / FILE).read_bytes())
    (folder / FILE).write_bytes(canonical_json(spoil(body)))
    write_manifest(folder)
    with pytest.raises(IntegrityError) as caught:
        load_bundle(folder)
    assert caught.value.where.endswith(FILE)


def test_a_gap_is_a_gap_however_the_column_holds_it() -> None:
    """NaN among floats or None among objects, in one frame or two that were joined."""
    frame = people(600)
    answers = Predictions(probabilities=np.full((600, 2), 0.5))
    reference = Reference(people_signature(), frame, answers, lambda _: answers)
    scorer = make_scorer(reference, OodConfig(scorer="mahalanobis")).scorer
    assert scorer is not None
    age = frame["age"].astype(object)
    age[np.isnan(frame["age"])] = None
    objects = {**frame, "age": age}
    whole = scorer.scores(frame, answers)
    assert scorer.scores(objects, answers) == pytest.approx(whole, rel=1e-6)
    halves = [take(frame, slice(0, 300)), take(frame, slice(300, None))]
    assert scorer.scores(join(halves), answers) == pytest.approx(whole, rel=1e-6)


def test_the_stored_document_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Through JSON and back: the same bytes."""
    scored_bundle(tmp_path / "scored")
    data = (tmp_path / "scored" / FILE).read_bytes()
    assert canonical_json(msgspec.json.decode(data, type=OodDocument)) == data
