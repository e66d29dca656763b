"""The model beside the champion and the baselines, on the same rows and by a margin."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence, Part, Rival
from afterfit.assess.gain import Other, judgement, paired_comparison, rows_needed
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import find
from afterfit.core.quality import main_metric
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError, in_record
from afterfit.records.assess_generalization import Comparison
from afterfit.stats.interval import Interval
from afterfit.stats.noninferior import Drop, relative

__all__ = ["beside_others", "compared_metrics", "in_order"]

LIFTS = ("baseline_lift", "linear_lift")


def beside_others(evidence: Evidence) -> Part:
    """Return the comparisons with the champion, where there is one, and with the baselines."""
    plain = tuple(each for name in LIFTS for each in _by_lift(evidence, name))
    check = findings.BesideChampion
    rival = evidence.rival
    if rival is None:
        told = check.not_applicable("no champion of this name is registered here")
        return Part((told,), fields={"comparisons": plain})
    try:
        champion = _with_champion(evidence, rival)
    except AfterfitError as error:
        text = f"{rival.name} could not be asked: {in_record(error)}"
        told = check.skipped(text, fix=error.fix)
        return Part((told,), fields={"comparisons": plain})
    lift = msgspec.structs.replace(champion[0].gain, name="champion_lift")
    told = _about_champion(champion[0], same=rival.same)
    return Part((told,), (lift,), {"comparisons": (*champion, *plain)})


def _with_champion(evidence: Evidence, rival: Rival) -> tuple[Comparison, ...]:
    """Return the comparisons, by the main metric first; raises what asking the champion raises."""
    signature, theirs = evidence.signature, rival.signature
    if theirs.task != signature.task or set(theirs.classes) != set(signature.classes):
        raise InputError(
            f"it answers {theirs.task} with classes {list(theirs.classes)}, the model here "
            f"{signature.task} with classes {list(signature.classes)}",
            fix="give another --name to a model that answers something else",
        )
    absent = [name for name in theirs.names if name not in evidence.data.frame]
    if absent:
        raise InputError(
            f"the rows lack its columns: {', '.join(absent[:5])}",
            fix="give --data rows with the columns of both models",
        )
    answers = rival.predict(evidence.data.select(theirs.names).frame)
    other = in_order(rival.name, theirs, answers, signature)
    return tuple(
        _known_same(paired_comparison(evidence, other, name, evidence.config), rival)
        for name in compared_metrics(signature, theirs)
    )


def compared_metrics(signature: Signature, theirs: Signature) -> tuple[str, ...]:
    """Return the metrics by which two models can be compared, the main one first."""
    if signature.task == "regression":
        return ("mae", "rmse")
    if not (signature.probabilities and theirs.probabilities):
        return ("accuracy",)
    return (*(("roc_auc",) if signature.task == "binary" else ()), "accuracy", "log_loss")


def in_order(name: str, theirs: Signature, answers: Predictions, signature: Signature) -> Other:
    """Return another model's answers in the order of the classes of ``signature``."""
    if answers.values is not None:
        return Other(name, theirs, answers)
    place = np.array([signature.classes.index(label) for label in theirs.classes])
    codes = place[theirs.codes(answers)]
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.empty_like(answers.probabilities)
        probabilities[:, place] = answers.probabilities
    own = msgspec.structs.replace(theirs, classes=signature.classes, own_labels=True)
    return Other(name, own, Predictions(probabilities=probabilities, codes=codes))


def _known_same(found: Comparison, rival: Rival) -> Comparison:
    """Return the comparison; where it is the same model, it is known to be as good."""
    if rival.same and found.verdict == "cannot tell":
        return msgspec.structs.replace(found, verdict="non-inferior", needed_n=0)
    return found


def _about_champion(found: Comparison, *, same: bool) -> Finding:
    check = findings.BesideChampion
    margin = f"{100 * found.margin:.2g} %" if found.share else f"{found.margin:g}"
    text = (
        f"{found.verdict} to {found.against}: {found.metric} gains {found.gain.text()} "
        f"({found.gain.method}); the margin is {margin}"
    )
    evidence: dict[str, Any] = {"verdict": found.verdict}
    if found.needed_n:
        evidence["needed_n"] = found.needed_n
    if same:
        return check.passed(f"{text}; it is the same model", **evidence)
    if found.verdict == "inferior":
        return check.issue(text, fix="keep the champion, or find out what was lost", **evidence)
    if found.verdict != "cannot tell":
        return check.passed(text, **evidence)
    if found.needed_n:
        return check.tip(text, fix="label more rows", **evidence)
    return check.tip(f"{text}; as seen it loses more", fix="label more rows", **evidence)


def _by_lift(evidence: Evidence, name: str) -> tuple[Comparison, ...]:
    """Return the comparison with a baseline, whose lift has been measured in pairs already."""
    lift = find(evidence.lifts, name)
    metric = main_metric(evidence.signature)
    if lift is None or lift.value is None or lift.low is None or lift.high is None:
        return ()
    scopes = [m.scope for m in evidence.lifts if m.scope.startswith("baseline:")]
    scope = next(iter(scopes[:1] if name == "baseline_lift" else scopes[-1:]), "")
    ours, other = find(evidence.held_out, metric), find(evidence.lifts, metric, scope)
    theirs = None if other is None else other.value
    share = relative(metric)
    unit = theirs if share and theirs else 1.0
    margin = evidence.config.margin
    verdict = judgement(Interval(lift.low / unit, lift.high / unit, ""), margin)
    drop = Drop(-lift.value / unit, -lift.high / unit, -lift.low / unit, lift.method, lift.n)
    needed = rows_needed(drop, evidence.config, lift.n) if verdict == "cannot tell" else 0
    gain = msgspec.structs.replace(
        lift,
        name=f"{metric}_gain",
        value=lift.value / unit,
        low=lift.low / unit,
        high=lift.high / unit,
        unit="" if share else lift.unit,
    )
    return (
        Comparison(
            against=f"baseline {scope.partition(':')[2]}",
            metric=metric,
            ours=None if ours is None else ours.value,
            theirs=theirs,
            gain=gain,
            margin=margin,
            verdict=verdict,
            share=share,
            needed_n=needed if math.isfinite(needed) else 0,
        ),
    )
