"""Vectorizers of text: told to skl2onnx so that tokens are scikit-learn's, or refused plainly.

By itself skl2onnx reads words as ASCII and lets single letters be words, and its graphs need the
locale en_US.UTF-8 to be read, which slim images do not have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.errors import ModelError
from afterfit.models.convert_graph import ConverterContainer
from afterfit.models.convert_repair import walk

__all__ = ["text_options", "write_tfidf"]

_WORD = r"[\p{L}\p{N}_]"
"""What Python's ``\\w`` is in the expressions that ONNX Runtime reads (RE2)."""

_PATTERNS = {
    r"(?u)\b\w\w+\b": f"{_WORD}{_WORD}+",
    r"(?u)\b\w+\b": f"{_WORD}+",
    r"\b\w\w+\b": f"{_WORD}{_WORD}+",
    r"\b\w+\b": f"{_WORD}+",
    r"\w\w+": f"{_WORD}{_WORD}+",
    r"\w+": f"{_WORD}+",
}
LOCALE = "C.UTF-8"
"""Every glibc since 2.35 has it built in, so it is in the slimmest image too."""

MENDED = "words are split as Python splits them, in the locale C.UTF-8 that every image has"


def text_options(estimator: Any) -> tuple[dict[int, dict[str, Any]], tuple[str, ...]]:
    """Return (skl2onnx's options by the id of each vectorizer, what was mended).

    Raises ModelError for one whose tokens a graph cannot give.
    """
    found = {}
    for part in walk(estimator):
        if hasattr(part, "token_pattern") and hasattr(part, "alternate_sign"):
            raise ModelError(
                "a HashingVectorizer has no ONNX form (fix: TfidfVectorizer, which has a "
                "vocabulary; or nothing, the model answers as it is)"
            )
        if hasattr(part, "token_pattern") and hasattr(part, "vocabulary_"):
            _require_words(part)
            _require_lower_case(part)
            found[id(part)] = {"tokenexp": _pattern(part), "locale": LOCALE}
    return found, (MENDED,) if found else ()


def _require_words(part: Any) -> None:
    name = type(part).__name__
    if part.analyzer != "word":
        raise ModelError(
            f"a {name} of {part.analyzer!r} n-grams: ONNX has n-grams of words only "
            "(fix: analyzer='word'; or nothing, the model answers as it is)"
        )
    for option in ("preprocessor", "tokenizer", "strip_accents"):
        if getattr(part, option) is not None:
            raise ModelError(
                f"a {name} with {option}: ONNX cannot run it "
                f"(fix: {option}=None; or nothing, the model answers as it is)"
            )
    if part.stop_words and tuple(part.ngram_range) != (1, 1):
        raise ModelError(
            f"a {name} with stop words and n-grams: ONNX keeps the stop words between others "
            "(fix: stop_words=None or ngram_range=(1, 1))"
        )


def _require_lower_case(part: Any) -> None:
    """Refuse a vocabulary whose lower case depends on the letters around.

    Python turns a capital sigma into another letter at a word's end, and a dotted capital I into
    two characters; a locale knows one letter for each.
    """
    strange = ("\u03c2", "i\u0307")
    known = [word for word in part.vocabulary_ if any(letter in word for letter in strange)]
    if part.lowercase and known:
        raise ModelError(
            f"a {type(part).__name__} that knows {min(known)!r}: the lower case of its letters "
            "depends on their place (fix: lower the text beforehand, with lowercase=False)"
        )


def _pattern(part: Any) -> str:
    """Return the vectorizer's expression for words, as RE2 reads it."""
    pattern = str(part.token_pattern)
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if any(sign in pattern for sign in ("\\", "(", "|")):
        raise ModelError(
            f"a {type(part).__name__} with the token_pattern {pattern!r}, which ONNX Runtime may "
            r"read otherwise (fix: the default, or one without \, ( and |)"
        )
    return pattern


def write_tfidf(scope: Any, operator: Any, container: Any) -> None:
    """Write a TfidfTransformer; one with ``sublinear_tf`` by ourselves.

    It weighs a count as 1 + log(count), where skl2onnx writes log(1 + count): other answers as soon
    as a text has one word twice.
    """
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.operator_converters.tfidf_transformer import convert_sklearn_tfidf_transformer

    estimator = operator.raw_operator
    if not estimator.sublinear_tf:
        convert_sklearn_tfidf_transformer(scope, operator, container)
        return
    out = ConverterContainer(scope, container)
    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    kind: Any = np.float64 if double else np.float32
    counts = operator.inputs[0].full_name
    zero, one = out.constant(np.array(0, kind)), out.constant(np.array(1, kind))
    absent = out.node("Equal", [counts, zero])
    logs = out.node("Log", [out.node("Where", [absent, one, counts])])
    weights = out.node("Where", [absent, zero, out.node("Add", [logs, one])])
    if estimator.use_idf:
        idf = np.asarray(estimator.idf_, kind).reshape(1, -1)
        weights = out.node("Mul", [weights, out.constant(idf)])
    if estimator.norm is not None:
        weights = _normalized(
            out, weights, "ReduceL2" if estimator.norm == "l2" else "ReduceL1", kind
        )
    out.named("Identity", [weights], operator.outputs[0].full_name)


def _normalized(out: ConverterContainer, rows: str, reduce: str, kind: Any) -> str:
    """Return the rows divided by their norm; a row of zeros stays as it is."""
    axis = out.constant(np.array([1], np.int64))
    norm = out.node(reduce, [rows, axis], keepdims=1)
    empty = out.node("Equal", [norm, out.constant(np.array(0, kind))])
    divisor = out.node("Where", [empty, out.constant(np.array(1, kind)), norm])
    return out.node("Div", [rows, divisor])
