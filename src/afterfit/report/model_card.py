"""The model card of a version: what it is, for whom, how good, and what nobody has said.

The order is that of Mitchell et al. (2019), "Model Cards for Model Reporting", FAT*; the head of
the Markdown form is the metadata that Hugging Face reads (its "model card" and "model-index").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from afterfit.core.digest import short
from afterfit.core.sections import CardSection
from afterfit.records.assess import AssessRecord
from afterfit.records.codec import Stored
from afterfit.records.inspect import InspectRecord
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.robustness import RobustnessRecord
from afterfit.report import markdown
from afterfit.report.front import another_ships
from afterfit.report.load import load
from afterfit.report.page import Block, Cell, Chart, Details, Page, Section
from afterfit.report.parts import STEP_TITLES, code, key_values, note, when
from afterfit.report.problems import problems
from afterfit.report.quality import HELD_OUT, quality
from afterfit.report.recalibrated import decided
from afterfit.report.shipping import evidence, model, signature_blocks
from afterfit.report.speed import speed
from afterfit.report.strange import robustness

__all__ = ["card_markdown", "card_page"]

UNTOLD = "Nobody has said. Write it into [card] of afterfit.toml."
LIBRARIES = {
    "scikit-learn": "sklearn",
    "sklearn": "sklearn",
    "pytorch": "pytorch",
    "torch": "pytorch",
    "onnx": "onnx",
}
"""Hugging Face's own names, where they differ or are known; others are told as they are."""
TASKS = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "regression": "tabular-regression",
}


def card_page(
    name: str, number: int, digest: str, records: Mapping[str, Stored], told: CardSection
) -> Page:
    """Return the card from the records of a version, and what its people say of it.

    A part that no record fills says what would fill it.
    """
    about = (
        ("Model", f"{name}, version {number}"),
        ("Version digest", code(digest)),
        ("Owner", _said(told.owner)),
        ("Licence", _said(told.license)),
        ("Made", _made(records)),
    )
    return Page(
        kind="record",
        title=f"Model card: {name}",
        subtitle=f"version {number} · {short(digest)}",
        sections=(
            Section("details", "Model details", (key_values(*about), *_model(records))),
            Section("use", "Intended use", _use(told)),
            _step("evaluation", "Evaluation", "assess", records),
            _step("robustness", "On strange rows", "robustness", records),
            _step("speed", "Speed", "optimize", records),
            _step("load", "Under load", "loadtest", records),
            problems(records),
            Section("limits", "Limits and risks", (note(told.limits or UNTOLD),)),
            evidence(records),
        ),
        footer=f"Filled from the records of {name} version {number}.",
    )


def card_markdown(page: Page, records: Mapping[str, Stored], told: CardSection) -> str:
    """Return the card as Markdown behind the metadata that Hugging Face reads.

    Without what the page draws or folds away: as tables of points these are read by nobody.
    """
    brief = replace(page, sections=tuple(_brief(section) for section in page.sections))
    return f"---\n{''.join(_metadata(records, told))}---\n\n{markdown.render(brief)}"


def _brief(section: Section) -> Section:
    left = tuple(block for block in section.blocks if not isinstance(block, Chart | Details))
    return replace(section, blocks=left)


def _said(text: str) -> Cell:
    return Cell(text) if text else Cell("not said", "muted")


def _made(records: Mapping[str, Stored]) -> str:
    made = [stored.envelope.created for stored in records.values() if stored.envelope.created]
    return when(max(made)) if made else ""


def _model(records: Mapping[str, Stored]) -> tuple[Block, ...]:
    seen = _body(records, InspectRecord)
    if seen is None:
        return ()
    return (*model(seen), *signature_blocks(decided(seen.signature, records)))


def _use(told: CardSection) -> tuple[Block, ...]:
    return (
        key_values(
            ("Meant for", _said(told.intended_use)),
            ("Not meant for", _said(told.out_of_scope)),
            ("Training data", _said(told.training_data)),
        ),
    )


def _step(anchor: str, title: str, step: str, records: Mapping[str, Stored]) -> Section:
    shown: dict[type[Any], Any] = {
        AssessRecord: quality,
        RobustnessRecord: robustness,
        OptimizeRecord: speed,
        LoadtestRecord: load,
    }
    stored = records.get(step)
    if stored is None:
        why = f"there is no record of {STEP_TITLES.get(step, step).lower()}: afterfit {step}"
        return Section(anchor, title, (), "not_run", why)
    blocks = shown[type(stored.body)](stored.body)
    if isinstance(stored.body, AssessRecord) and (other := _another_ships(records)):
        blocks = (note(other, "warn"), *blocks)
    return Section(anchor, title, blocks)


def _another_ships(records: Mapping[str, Stored]) -> str:
    found = _body(records, OptimizeRecord)
    return "" if found is None else another_ships(found)


def _body(records: Mapping[str, Stored], kind: type[Any]) -> Any:
    return next((each.body for each in records.values() if isinstance(each.body, kind)), None)


def _metadata(records: Mapping[str, Stored], told: CardSection) -> Iterator[str]:
    """Yield lines of YAML; texts are in JSON's quotes, which are YAML's too."""
    seen, judged = _body(records, InspectRecord), _body(records, AssessRecord)
    if told.license:
        yield f"license: {json.dumps(told.license)}\n"
    if seen is None:
        return
    framework = seen.description.framework
    yield f"library_name: {json.dumps(LIBRARIES.get(framework.lower(), framework))}\n"
    yield f"pipeline_tag: {TASKS[seen.signature.task]}\n"
    yield f"tags: {json.dumps(['afterfit', framework])}\n"
    metrics = [] if judged is None else [m for m in judged.metrics if _is_measured(m)]
    if not metrics:
        return
    data = judged.inputs.get("data", "")
    yield "model-index:\n"
    yield f"- name: {json.dumps(told.title or seen.description.estimator)}\n"
    yield "  results:\n"
    yield f"  - task: {{type: {TASKS[seen.signature.task]}}}\n"
    yield f"    dataset: {{name: {json.dumps(told.dataset or 'held-out rows')}, "
    yield f"type: {json.dumps('sha256:' + data)}}}\n"
    yield "    metrics:\n"
    for metric in metrics:
        yield f"    - {{type: {json.dumps(metric.name)}, value: {metric.value!r}, "
        yield f"name: {json.dumps(metric.text())}}}\n"


def _is_measured(metric: Any) -> bool:
    plain = re.fullmatch(r"[a-z0-9_]+", metric.name) is not None
    return metric.scope == HELD_OUT and metric.value is not None and plain
