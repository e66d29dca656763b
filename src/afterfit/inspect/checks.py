"""Observations about model and data, each as a finding."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions, missing_mask
from afterfit.core.metric import in_percent
from afterfit.core.model import ModelDescription
from afterfit.core.shell import shell_word
from afterfit.core.signature import Signature
from afterfit.inspect import findings

__all__ = ["about_columns", "about_model", "about_outputs"]

PICKLES = frozenset({"joblib", "pickle", "cloudpickle"})
ARCHIVES = frozenset({"torch-export", "torchscript"})
PROSE_WORDS = 3
ENOUGH_ROWS = 100


def about_model(
    form: str,
    description: ModelDescription,
    notes: tuple[str, ...],
    let_in: tuple[tuple[str, str], ...] = (),
) -> list[Finding]:
    """Return findings about the file and how it is loaded.

    ``let_in`` are (name, reason) of what a person allowed though it is known to be dangerous.
    """
    return [
        _versions(description),
        _file_format(form),
        findings.NotIsolated.tip("; ".join(notes)) if notes else findings.NotIsolated.passed(),
        _trusted(description, let_in),
    ]


def _versions(description: ModelDescription) -> Finding:
    pairs = {
        library: (saved, description.installed[library])
        for library, saved in sorted(description.saved_with.items())
        if library in description.installed
    }
    if not pairs:
        return findings.VersionMismatch.not_applicable("the file tells no versions")
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if not different:
        text = ", ".join(f"{name} {saved}" for name, (saved, _) in pairs.items())
        return findings.VersionMismatch.passed(f"saved with what is installed: {text}")
    name, (saved, installed) = next(iter(different.items()))
    return findings.VersionMismatch.issue(
        "; ".join(f"saved with {n} {s}, installed is {i}" for n, (s, i) in different.items()),
        where=name,
        fix=f'pip install "{name}=={saved}"',
        saved=saved,
        installed=installed,
    )


def _file_format(form: str) -> Finding:
    if form in ARCHIVES:
        return findings.PickleFormat.passed(f"the {form} file calls only operators that are known")
    if form not in PICKLES:
        return findings.PickleFormat.passed(f"{form} files cannot run code")
    return findings.PickleFormat.tip(
        f"the model is a {form} file, and loading one runs what is written in it",
        fix='skops.io.dump(model, "model.skops")',
    )


def _trusted(description: ModelDescription, let_in: tuple[tuple[str, str], ...]) -> Finding:
    if let_in:
        told = "; ".join(f"{name} {reason}" for name, reason in let_in)
        return findings.Trusted.issue(
            f"let in by hand, though known to be dangerous: {told}",
            fix="keep the model in a format that cannot run code, such as skops or ONNX",
            names=[name for name, _ in let_in],
        )
    if not description.custom:
        return findings.Trusted.passed()
    return findings.Trusted.tip(
        f"let in by hand: {', '.join(description.custom)}", names=list(description.custom)
    )


def about_columns(
    signature: Signature, data: Dataset, reference: Dataset, *, named: bool
) -> list[Finding]:
    """Return findings about the input columns; ``named`` says that the model knows their names."""
    found = [_extra(signature, data), _by_position(signature, named=named)]
    found += _constant(signature, reference)
    return found + _identifiers(signature, reference)


def _extra(signature: Signature, data: Dataset) -> Finding:
    extra = [name for name in data.frame if name not in signature.names]
    if not extra:
        return findings.ExtraColumns.passed()
    shown = ", ".join(extra[:10])
    return findings.ExtraColumns.tip(
        f"the model does not take {len(extra)} of the data's columns: {shown}",
        where=f"column {extra[0]}",
        columns=extra,
    )


def _by_position(signature: Signature, *, named: bool) -> Finding:
    if named:
        return findings.ByPosition.passed()
    return findings.ByPosition.issue(
        f"the model knows no column names; taken in this order: {', '.join(signature.names[:20])}",
        fix="train on a DataFrame, or see that the data's columns stand in the training's order",
    )


def _constant(signature: Signature, reference: Dataset) -> list[Finding]:
    check = findings.ConstantColumn
    if len(reference) < ENOUGH_ROWS:
        text = f"{len(reference)} rows are too few to tell"
        return [check.skipped(text, needed_n=ENOUGH_ROWS)]
    constant = [name for name in signature.names if _distinct(reference.frame[name]) <= 1]
    if not constant:
        return [check.passed()]
    text = "{} has one value in all {:,} reference rows"
    return [
        check.tip(
            text.format(name, len(reference)),
            where=f"column {name}",
            fix=f"leave {name} out of training, or find out why it never varies",
        )
        for name in constant
    ]


def _is_prose(values: np.ndarray) -> bool:
    """Whether half of the texts have three words or more: sentences differ, and name nothing."""
    words = [len(value.split()) for value in values.tolist() if isinstance(value, str)]
    return bool(words) and float(np.median(words)) >= PROSE_WORDS


def _identifiers(signature: Signature, reference: Dataset) -> list[Finding]:
    check = findings.IdentifierColumn
    n = len(reference)
    if n < ENOUGH_ROWS:
        return [check.skipped(f"{n} rows are too few to tell", needed_n=ENOUGH_ROWS)]
    exempt = {"number", "boolean"}
    suspects = [
        column.name
        for column in signature.columns
        if column.kind not in exempt
        and _distinct(reference.frame[column.name]) == n
        and not (column.kind == "text" and _is_prose(reference.frame[column.name]))
    ]
    if not suspects:
        return [check.passed()]
    return [
        check.tip(
            f"{name} has a different value in each of {n:,} reference rows, as an identifier has",
            where=f"column {name}",
            fix=f"leave {name} out of training, or name it as the entity: "
            f"--entity {shell_word(name)}",
        )
        for name in suspects
    ]


def _distinct(array: np.ndarray) -> int:
    missing = missing_mask(array)
    return len(set(array[~missing].tolist())) + int(bool(missing.any()))


def about_outputs(
    signature: Signature, *, assumed: bool, derived: Finding, classifies: bool
) -> list[Finding]:
    """Return findings about the answers; ``assumed`` says that nobody named the positive class."""
    if not classifies:
        text = "a regression has no classes"
        kinds = (findings.PositiveAssumed, findings.ClassesDerived, findings.LabelsOnly)
        return [kind.not_applicable(text) for kind in kinds]
    return [_positive(signature, assumed=assumed), derived, _probabilities(signature)]


def _positive(signature: Signature, *, assumed: bool) -> Finding:
    check = findings.PositiveAssumed
    if signature.positive is None:
        return check.not_applicable("there are more than two classes")
    if not assumed:
        return check.passed(f"positive is {signature.positive!r}")
    first, second = signature.classes
    return check.tip(
        f"{second!r} was taken as the positive class, the second of {first!r} and {second!r}",
        fix=f"name it: --positive {shell_word(second)}  (or: --positive {shell_word(first)})",
        positive=second,
    )


def _probabilities(signature: Signature) -> Finding:
    if signature.probabilities:
        return findings.LabelsOnly.passed()
    return findings.LabelsOnly.issue(
        "the model gives labels only: thresholds, calibration and ranking cannot be looked at",
        fix="train with probabilities, for example: CalibratedClassifierCV(model)",
    )


def classes_derived(
    signature: Signature, data: Dataset, sample: Dataset, answer: Predictions
) -> Finding:
    """Return what the data says of classes that were numbered by the model and named by us.

    The answers to ``sample`` are compared with its labels under the order that was taken and,
    for two classes, under the other one.
    """
    words = " ".join(str(label) for label in signature.classes)
    text = f"the outputs 0..{len(signature.classes) - 1} were named by the sorted labels: {words}"
    share = _agreement(signature, sample, answer)
    evidence: dict[str, Any] = {"agreement": share, "n": len(sample)}
    told = [shell_word(label) for label in signature.classes]
    fix = f"name them in the order of the outputs: --classes {' '.join(told)}"
    if share is not None and len(signature.classes) == 2 and share < 0.5:
        other = " ".join(reversed(told))
        return findings.ClassesDerived.issue(
            f"{text}; but only {in_percent(share)} of {len(sample)} answers agree with the "
            "labels then",
            where=f"column {data.target_name or 'target'}",
            fix=f"if training numbered them otherwise: --classes {other}",
            **evidence,
        )
    agree = "" if share is None else f" ({in_percent(share)} of {len(sample)} answers agree)"
    return findings.ClassesDerived.tip(f"{text}{agree}", fix=fix, **evidence)


def _agreement(signature: Signature, sample: Dataset, answer: Predictions) -> float | None:
    labelled = sample.labelled()
    if sample.target is None or not labelled.any():
        return None
    truth = encode_labels(sample.target[labelled], signature.classes)
    return float(np.mean(signature.codes(answer)[labelled] == truth))
