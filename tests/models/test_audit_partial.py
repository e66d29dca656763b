"""The one partial call that is known, beside those that are refused; and what a search keeps."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_array

from afterfit.errors import UntrustedError
from afterfit.models.audit import Audit, audit, require_clean
from afterfit.models.skops_io import skops_io

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {"a": RANDOM.normal(size=60), "kind": pd.Categorical(RANDOM.choice(["u", "v"], 60))}
)
KNOWN = partial(check_array, dtype=[np.float64], ensure_all_finite=False)


def marked() -> Any:
    """The known partial with an attribute of its own."""
    made = partial(check_array, dtype=[np.float64], ensure_all_finite=False)
    made.label = 1  # type: ignore[attr-defined]
    return made


OTHERS: dict[str, Any] = {
    "the name alone": partial,
    "another function": partial(np.log1p, dtype=[np.float64], ensure_all_finite=False),
    "a class": partial(LogisticRegression, dtype=[np.float64], ensure_all_finite=False),
    "no option": partial(check_array),
    "an option more": partial(
        check_array, dtype=[np.float64], ensure_all_finite=False, estimator="x"
    ),
    "another option": partial(check_array, dtype=[np.float64], input_name="x"),
    "another value": partial(check_array, dtype=[np.float64], ensure_all_finite=True),
    "another type": partial(check_array, dtype=[LogisticRegression], ensure_all_finite=False),
    "an argument": partial(check_array, None, dtype=[np.float64], ensure_all_finite=False),
    "an attribute": marked(),
    "around the known": partial(KNOWN, ensure_min_samples=0),
}


def audited(folder: Path, data: bytes, name: str = "m.pkl") -> Audit:
    """The audit of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return audit(path)


@pytest.mark.parametrize("protocol", range(6))
def test_the_known_partial_is_clean_and_every_other_hostile(tmp_path: Path, protocol: int) -> None:
    """In a pickle: one function, two options, no argument; whatever else is refused by name."""
    assert audited(tmp_path, pickle.dumps(KNOWN, protocol)).verdict == "clean"
    for name, other in OTHERS.items():
        found = audited(tmp_path, pickle.dumps(FunctionTransformer(other), protocol))
        assert found.verdict == "hostile", name
        assert "functools.partial" in dict(found.dangerous), name


@pytest.mark.parametrize("name", OTHERS)
def test_a_skops_archive_holds_the_known_partial_only(tmp_path: Path, name: str) -> None:
    """The same rule for the nodes of an archive."""
    known = skops_io().dumps(FunctionTransformer(KNOWN))
    assert audited(tmp_path, known, "m.skops").verdict == "clean"
    other = skops_io().dumps(FunctionTransformer(OTHERS[name]))
    assert audited(tmp_path, other, "m.skops").verdict == "hostile"


HEAD = b"\x80\x02cfunctools\npartial\ncsklearn.utils.validation\ncheck_array\nq\x01\x85R"
OPTIONS = b"}q\x02(U\x05dtype]cnumpy\nfloat64\naU\x11ensure_all_finiteI00\nu"
STATE = b"(h\x01)" + OPTIONS + b"Ntb"
STREAMS = {
    "options added after the state was set": HEAD + STATE + b"h\x02U\x09estimatorU\x01xs0.",
    "type changed after the state was set": HEAD
    + STATE.replace(b"]", b"]q\x03")
    + b"h\x03cnumpy\nlog1p\na0.",
    "a second state": HEAD + STATE + b"(cnumpy\nlog1p\n)}Ntb.",
    "a state with another function": HEAD + STATE.replace(b"h\x01)", b"cnumpy\nlog1p\n)") + b".",
    "no state": HEAD + b".",
    "kept beside the call": b"\x80\x02cfunctools\npartial\nq\x05" + HEAD[2:] + STATE + b".",
    "made without a call": b"\x80\x02cfunctools\npartial\ncsklearn.utils.validation\ncheck_array\n"
    b"\x85\x81.",
    "under a method": b"\x80\x02csklearn.linear_model._logistic\nLogisticRegression\n)\x81}"
    b"U\x07predict" + HEAD[2:] + STATE + b"sb.",
}


def test_the_hand_made_stream_is_the_known_partial(tmp_path: Path) -> None:
    """What the probes below change is clean as it stands, and loads as what it says."""
    assert audited(tmp_path, HEAD + STATE + b".").verdict == "clean"
    made = pickle.loads(HEAD + STATE + b".")
    assert (made.func, made.args, made.keywords) == (KNOWN.func, KNOWN.args, KNOWN.keywords)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_changes_the_known_partial_is_hostile(tmp_path: Path, name: str) -> None:
    """Whatever is done to it before or after the call."""
    assert audited(tmp_path, STREAMS[name]).verdict == "hostile"


def changed(model: Any, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A skops archive after a change of its schema."""
    source = zipfile.ZipFile(io.BytesIO(skops_io().dumps(model)))
    schema = json.loads(source.read("schema.json"))
    change(schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return target.getvalue()


def test_an_id_that_stands_for_something_else_is_hostile(tmp_path: Path) -> None:
    """Skops gives a node the object that came first under its id: the function could be another."""

    def change(schema: dict[str, Any]) -> None:
        state = schema["content"]["content"]
        function = {"__class__": "log1p", "__module__": "numpy", "__loader__": "FunctionNode"}
        number = state["func"]["content"]["func"]["__id__"]
        state["check_inverse"] = {**function, "__id__": number}

    data = changed(FunctionTransformer(KNOWN), change)
    assert audited(tmp_path, data, "m.skops").verdict == "hostile"


@pytest.mark.parametrize("name", ["getattr", "partial"])
def test_a_name_that_only_a_call_excuses_is_no_function_of_an_archive(
    tmp_path: Path, name: str
) -> None:
    """Neither by the node's own name, nor by that of older archives."""
    module = {"getattr": "builtins", "partial": "functools"}[name]
    node = {"__class__": name, "__module__": module, "__loader__": "FunctionNode"}
    old = {
        "__class__": "log1p",
        "__module__": "numpy",
        "__loader__": "FunctionNode",
        "content": {"module_path": module, "function": name},
    }
    for function in (node, old):

        def change(schema: dict[str, Any], function: dict[str, Any] = function) -> None:
            schema["content"]["content"]["func"] = function

        data = changed(FunctionTransformer(np.log1p), change)
        assert audited(tmp_path, data, "m.skops").verdict == "hostile"


@pytest.mark.parametrize("ending", ["joblib", "skops"])
def test_a_search_over_distributions_says_how_to_keep_its_model(
    tmp_path: Path, ending: str
) -> None:
    """The distributions are refused; the line in the message gives a file that is clean."""
    search = RandomizedSearchCV(
        LogisticRegression(), {"C": scipy.stats.loguniform(0.1, 10)}, n_iter=2, cv=2, random_state=0
    ).fit(ROWS[["a"]], ROWS["a"] > 0)
    path = tmp_path / f"search.{ending}"
    dump = joblib.dump if ending == "joblib" else skops_io().dump
    dump(search, path)
    with pytest.raises(UntrustedError, match="can harm this machine") as refused:
        require_clean(audit(path), path)
    line, _, comment = refused.value.fix.partition("   #")
    assert "Otherwise ask whoever made the file" in comment
    model = tmp_path / "model.joblib"
    exec(line.replace("'model.joblib'", repr(str(model))), {"joblib": joblib, "search": search})  # noqa: S102 - the line is to be pasted
    require_clean(audit(model), model)
    names = [name for name, _ in audit(path).dangerous]
    assert audit(path, allow=frozenset(names)).verdict == "clean"


def test_the_line_of_a_search_is_told_of_searches_only(tmp_path: Path) -> None:
    """A distribution elsewhere, and a search with something else in it, have the general advice."""
    grid = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    for model in (scipy.stats.norm(), [grid, FunctionTransformer(OTHERS["no option"])]):
        path = tmp_path / "m.pkl"
        path.write_bytes(pickle.dumps(model))
        with pytest.raises(UntrustedError) as refused:
            require_clean(audit(path), path)
        assert refused.value.fix.startswith("Ask whoever made the file")


def test_categories_are_read_as_they_were_trained(tmp_path: Path) -> None:
    """A histogram model with categories is clean and answers the same after loading."""
    target = (ROWS["a"] > 0) ^ (ROWS["kind"] == "u")
    fitted = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    fitted.fit(ROWS, target)
    path = tmp_path / "m.joblib"
    joblib.dump(fitted, path)
    require_clean(audit(path), path)
    assert "functools.partial" in audit(path).globals
    answers = joblib.load(path).predict_proba(ROWS)
    assert np.array_equal(answers, fitted.predict_proba(ROWS))
