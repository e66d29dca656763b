"""Whether a variant answers here as it did where it was proven, and who is told."""

from __future__ import annotations

from pathlib import Path

from afterfit.core.bundle import Variant
from afterfit.core.proof import GoldenReport, Proof, Proven
from afterfit.errors import ModelError
from afterfit.runtime.log import log_line
from afterfit.runtime.processor import surroundings

__all__ = ["log_proof", "proof_of", "refusal"]

_NO_NEED = "it runs on what it was proven on"
_AGAIN = "prove it on a machine like this one, where `afterfit ship` makes a version for it"


def proof_of(variant: Variant, proven: Proven | None, golden: GoldenReport) -> Proof:
    """Return what is known of a variant after its golden rows were asked."""
    here = surroundings(variant)
    differs = here.differences(proven.on) if proven else ()
    elsewhere = proven is None or bool(differs)
    return Proof(
        by=proven.by if proven else "unknown",
        proven_on=proven.on if proven else None,
        running_on=here,
        differs=differs,
        reverified=elsewhere and golden.outcome == "passed",
        rows=golden.rows,
        largest_difference=golden.worst,
        tolerance=golden.tolerance,
        why=golden.why if elsewhere else _NO_NEED,
    )


def log_proof(digest: str, proof: Proof) -> None:
    """Write a line where a variant runs on something else than it was proven on."""
    if not proof.differs:
        return
    told = {
        "event": "reverified" if proof.reverified else "not_reverified",
        "digest": digest,
        "proven_by": proof.by,
        "differs": proof.differs,
        "rows": proof.rows,
        "largest_difference": proof.largest_difference,
        "tolerance": proof.tolerance,
    }
    log_line(told if proof.reverified else {**told, "why": proof.why})


def refusal(folder: Path, golden: GoldenReport, proof: Proof) -> ModelError:
    """Return the error of a bundle whose golden rows come out otherwise."""
    if not proof.differs:
        return ModelError(
            "the model does not answer as it did when it was packaged",
            where=str(folder),
            why=golden.why,
            fix="run it with the package versions of requirements.lock",
        )
    proven = proof.proven_on.libraries if proof.proven_on else {}
    pins = [
        f"{name}=={version}"
        for name, version in sorted(proven.items())
        if proof.running_on.libraries.get(name) != version
    ]
    return ModelError(
        "the variant does not answer here as it did where it was proven",
        where=str(folder),
        why=f"{golden.why}; {'; '.join(proof.differs)}",
        fix=f"pip install {' '.join(pins)}; or {_AGAIN}" if pins else _AGAIN,
        code="proof",
    )
