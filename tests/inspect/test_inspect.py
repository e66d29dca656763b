"""``inspect``: the signature of model and data together, and the bad inputs it refuses."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from tests.runtime.bundles import numbers_graph

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.signature import Column, Signature
from afterfit.errors import AfterfitError, InputError, UsageError
from afterfit.inspect.checks import _identifiers
from afterfit.inspect.config import InspectConfig
from afterfit.inspect.run import inspect_model
from afterfit.models.loaded import LoadedModel, open_model
from afterfit.records.inspect import InspectRecord
from afterfit.testing.samples import frame_of, labels, pipeline, table

CONFIG = InspectConfig()


def dataset(data: pd.DataFrame, target: Any = None, **more: Any) -> Dataset:
    """Return a DataFrame as a dataset with its labels."""
    values = labels(data) if target is None else target
    return Dataset(
        frame=frame_of(data),
        **{"target": values, "target_name": "bought", "source": "rows.csv", **more},
    )


def finding(record: InspectRecord, code: str) -> Finding:
    """Return the first finding of a code."""
    return next(found for found in record.findings if found.code == code)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """A pipeline that imputes, in its process."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    with open_model(fitted, workdir=tmp_path_factory.mktemp("model")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """A logistic regression without an imputer, in its process."""
    data = table(missing=False)
    fitted = LogisticRegression().fit(data[["amount", "visits"]], labels(data))
    with open_model(fitted, workdir=tmp_path_factory.mktemp("strict")) as loaded:
        yield loaded


def test_the_signature_comes_from_model_and_data(model: LoadedModel) -> None:
    """Columns stand in the model's order with kinds, ranges and categories of the data."""
    data = table(missing=False)
    turned = dataset(data[["city", "visits", "amount"]], labels(data))
    record = inspect_model(model, turned, None, CONFIG)
    amount, visits, city = record.signature.columns
    assert record.signature.names == ("amount", "visits", "city")
    assert (amount.kind, visits.kind, city.kind) == ("number", "integer", "category")
    assert (visits.low, visits.high) == (0, 8)
    assert city.categories == ("Bonn", "Kiel", "Ulm")
    assert record.signature.classes == ("no", "yes")
    assert record.signature.target == "bought"
    assert (record.signature.positive, record.signature.threshold) == ("yes", 0.5)
    assert finding(record, "I003").outcome == "tip"
    assert finding(record, "I001").outcome == "passed"
    assert record.subject == model.digest
    assert record.inputs == {"data": turned.digest}
    again = inspect_model(model, turned, None, CONFIG)
    assert again.digest == record.digest


def test_nullable_is_asked_of_the_model(model: LoadedModel, strict: LoadedModel) -> None:
    """No value is missing in either data: the imputing model takes one, the strict one does not."""
    data = table(missing=False)
    imputing = inspect_model(model, dataset(data), None, CONFIG)
    plain = inspect_model(strict, dataset(data), None, CONFIG)
    assert [column.nullable for column in imputing.signature.columns] == [True, True, True]
    assert [column.nullable for column in plain.signature.columns] == [False, False]
    extra = finding(plain, "I002")
    assert (extra.outcome, extra.evidence["columns"]) == ("tip", ["city"])


def test_missing_values_that_the_model_refuses_name_the_column(strict: LoadedModel) -> None:
    """A NaN that the model cannot take is an input error about that column."""
    with pytest.raises(InputError, match="column amount has missing values") as caught:
        inspect_model(strict, dataset(table()), None, CONFIG)
    assert "imputer" in caught.value.fix


def test_one_cell_that_is_no_number_is_named(model: LoadedModel) -> None:
    """It makes a column of text; what is told is the cell and its row, and not a number."""
    data = table(missing=False)
    cells = data["visits"].astype(str).astype(object)
    cells[17] = "thirty"
    with pytest.raises(InputError, match="holds text where the model learned numbers") as caught:
        inspect_model(model, dataset(data.assign(visits=cells), labels(data)), None, CONFIG)
    assert caught.value.where == "rows.csv: row 18, column visits"
    assert caught.value.why == "for example 'thirty'; 1 of 240 rows hold no number"
    assert "row 18" in caught.value.fix


def test_decimal_commas_are_told_as_such(model: LoadedModel) -> None:
    """As a semicolon CSV of another country has them."""
    data = table(missing=False)
    cells = data["amount"].astype(str).str.replace(".", ",").astype(object)
    with pytest.raises(InputError) as caught:
        inspect_model(model, dataset(data.assign(amount=cells), labels(data)), None, CONFIG)
    assert "with a decimal point" in caught.value.fix
    assert caught.value.fix.endswith(cells[0].replace(",", "."))


def test_rare_values_are_not_listed_and_ranges_are_the_trainings(model: LoadedModel) -> None:
    """Values on fewer than ten reference rows, which could name a person, are left out."""
    train = table(missing=False)
    train.loc[:8, "city"] = "Tiny"
    data = table(missing=False)
    data["visits"] = data["visits"] * 100
    record = inspect_model(model, dataset(data, labels(train)), dataset(train), CONFIG)
    assert record.signature.column("city").categories == ("Bonn", "Kiel", "Ulm")
    assert record.signature.column("visits").high == 8
    assert record.n_train == len(train)


def without(data: pd.DataFrame) -> Dataset:
    """The data without a column of the model."""
    return dataset(data.drop(columns="city"), labels(data))


def empty_column(data: pd.DataFrame) -> Dataset:
    """A column without any value."""
    return dataset(data.assign(amount=np.nan), labels(data))


def text_for_numbers(data: pd.DataFrame) -> Dataset:
    """Text in a column that was scaled in training."""
    words = pd.Series(["many"] * len(data), dtype="str")
    return dataset(data.assign(visits=words), labels(data))


def numbers_for_text(data: pd.DataFrame) -> Dataset:
    """Numbers in a column that was encoded from text in training."""
    return dataset(data.assign(city=1), labels(data))


def no_rows(data: pd.DataFrame) -> Dataset:
    """Nothing but a header."""
    return dataset(data.head(0), np.empty(0, dtype=object))


def one_class(data: pd.DataFrame) -> Dataset:
    """Labels of a single class."""
    return dataset(data, np.array(["no"] * len(data), dtype=object))


def strange_labels(data: pd.DataFrame) -> Dataset:
    """Labels that the model never learned."""
    return dataset(data, np.array(["red", "blue"] * (len(data) // 2), dtype=object))


def no_target(data: pd.DataFrame) -> Dataset:
    """A target that is named and not there."""
    return Dataset(frame=frame_of(data), target_name="bought", source="rows.csv")


def unlabelled(data: pd.DataFrame) -> Dataset:
    """A target column without a label."""
    return dataset(data, np.array([None] * len(data), dtype=object))


@pytest.mark.parametrize(
    ("make", "message", "where"),
    [
        (without, "lacks 1 of the model's 3 columns: city", "column city"),
        (empty_column, "every value of column amount is missing", "column amount"),
        (text_for_numbers, "column visits holds text", "column visits"),
        (numbers_for_text, "column city holds numbers", "column city"),
        (no_rows, "no rows", "rows.csv"),
        (one_class, "one class only: 'no'", "column bought"),
        (strange_labels, "labels that the model does not know", "column bought"),
        (no_target, "target column bought is not in the data", "column bought"),
        (unlabelled, "every label is missing", "column bought"),
    ],
)
def test_bad_data_is_an_input_error_that_says_where_and_what_to_do(
    model: LoadedModel, make: Callable[[pd.DataFrame], Dataset], message: str, where: str
) -> None:
    """Each bad input ends with exit code 2, names its column and gives a fix."""
    with pytest.raises(InputError) as caught:
        inspect_model(model, make(table(missing=False)), None, CONFIG)
    assert message in caught.value.message
    assert where in caught.value.where
    assert caught.value.fix
    assert caught.value.exit_code == 2


def test_tables_that_disagree_are_refused(model: LoadedModel) -> None:
    """Text in one table and numbers in the other name the column; so do missing columns of it."""
    data = table(missing=False)
    words = data.assign(visits=pd.Series(["1"] * len(data), dtype="str"))
    with pytest.raises(InputError, match="column visits"):
        inspect_model(model, dataset(data), dataset(words, labels(data)), CONFIG)
    with pytest.raises(InputError, match="lacks 1"):
        inspect_model(model, dataset(data), without(data), CONFIG)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (InspectConfig(positive="maybe"), "positive class 'maybe'"),
        (InspectConfig(threshold=1.5), "threshold 1.5"),
        (InspectConfig(classes=("a", "b", "c")), "configured classes are 3"),
        (InspectConfig(task="regression"), "task is regression, the model's is binary"),
        (InspectConfig(task="multiclass"), "task is multiclass, the model's is binary"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    model: LoadedModel, config: InspectConfig, message: str
) -> None:
    """A positive class, a threshold or classes that the model cannot have are errors."""
    with pytest.raises(AfterfitError, match=message):
        inspect_model(model, dataset(table(missing=False)), None, config)


def test_a_regressor_is_no_classifier(tmp_path: Path) -> None:
    """The model's own task is the one that holds, whatever the labels look like."""
    data = table(missing=False)[["amount", "visits"]]
    codes = (labels(table(missing=False)) == "yes").astype(int)
    fitted = LinearRegression().fit(data, codes)
    with open_model(fitted, workdir=tmp_path) as loaded:
        for task in ("binary", "multiclass"):
            with pytest.raises(UsageError, match=f"task is {task}, the model's is regression"):
                inspect_model(loaded, dataset(data, codes), None, InspectConfig(task=task))
        same = inspect_model(loaded, dataset(data, codes), None, InspectConfig(task="regression"))
        assert same.signature.task == "regression"


def test_a_graph_with_one_output_can_be_told_what_it_means(tmp_path: Path) -> None:
    """The same graph gives a number, or the probability of the second class."""
    path = tmp_path / "m.onnx"
    path.write_bytes(numbers_graph())
    random = np.random.default_rng(0)
    data = pd.DataFrame({"a": random.normal(size=50), "b": random.normal(size=50)})
    codes = (data["a"] + data["b"] > 0).astype(int).to_numpy()
    with open_model(path, workdir=tmp_path) as loaded:
        binary = inspect_model(loaded, dataset(data, codes), None, InspectConfig(task="binary"))
        assert (binary.signature.task, binary.signature.probabilities) == ("binary", True)
        number = inspect_model(
            loaded, dataset(data, codes * 0.5), None, InspectConfig(task="regression")
        )
        assert number.signature.task == "regression"


def test_the_positive_class_can_be_named(model: LoadedModel) -> None:
    """The named class is positive, and nothing is assumed."""
    config = InspectConfig(positive="no", threshold=0.25)
    record = inspect_model(model, dataset(table(missing=False)), None, config)
    assert (record.signature.positive, record.signature.threshold) == ("no", 0.25)
    assert finding(record, "I003").outcome == "passed"


def test_fixes_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    """Labels with signs that a shell takes for its own are quoted, wherever they are proposed."""
    import xgboost

    data = table(missing=False)[["amount", "visits"]]
    codes = (data["amount"] > 0).astype(int)
    y = np.where(codes == 1, "<=50K a year", ">50K").astype(object)
    booster = xgboost.train(
        {"objective": "binary:logistic"}, xgboost.DMatrix(data, label=1 - codes), 10
    )
    with open_model(booster, workdir=tmp_path) as loaded:
        record = inspect_model(loaded, dataset(data, y), None, CONFIG)
        with pytest.raises(InputError) as caught:
            inspect_model(loaded, dataset(data, y), None, InspectConfig(positive="rich"))
    assert shlex.split(caught.value.fix) == ["--positive", ">50K"]
    words = shlex.split(finding(record, "I003").fix)
    assert [words[words.index("--positive") + 1], words[-1]] == [">50K", "<=50K a year)"]
    assert shlex.split(finding(record, "I004").fix)[-3:] == ["--classes", "<=50K a year", ">50K"]


def test_numbered_classes_get_the_datas_words(tmp_path: Path) -> None:
    """A booster's 0 and 1 become the sorted labels; an order that contradicts them is an issue."""
    import xgboost

    data = table(missing=False)[["amount", "visits"]]
    y = labels(table(missing=False))
    codes = (y == "yes").astype(int)
    booster = xgboost.train(
        {"objective": "binary:logistic"}, xgboost.DMatrix(data, label=codes), 10
    )
    with open_model(booster, workdir=tmp_path) as loaded:
        record = inspect_model(loaded, dataset(data, y), None, CONFIG)
        assert record.signature.classes == ("no", "yes")
        assert finding(record, "I004").outcome == "tip"
        decided = record.signature.codes(loaded.predict(frame_of(data)))
        assert (decided == codes).mean() > 0.9
        other = np.where(y == "yes", "a_yes", "b_no").astype(object)
        turned = inspect_model(loaded, dataset(data, other), None, CONFIG)
        assert finding(turned, "I004").outcome == "issue"
        assert "--classes b_no a_yes" in finding(turned, "I004").fix
        named = InspectConfig(classes=("b_no", "a_yes"))
        right = inspect_model(loaded, dataset(data, other), None, named)
        assert finding(right, "I004").outcome == "passed"
        assert right.signature.classes == ("b_no", "a_yes")


def test_labels_only_constant_and_identifier_columns(tmp_path: Path) -> None:
    """What is weak about a model or a table is told, and trained-on-arrays is told as well."""
    data = table(missing=False)[["amount", "visits"]].assign(flat=1, key=range(240))
    y = labels(table(missing=False))
    fitted = LinearSVC().fit(data.to_numpy(), y)
    with open_model(fitted, workdir=tmp_path) as loaded:
        record = inspect_model(loaded, dataset(data, y), None, CONFIG)
    assert not record.signature.probabilities
    assert finding(record, "I010").outcome == "issue"
    assert finding(record, "I008").outcome == "issue"
    assert finding(record, "I006").where == "column flat"
    assert finding(record, "I007").where == "column key"


def test_sentences_are_no_identifiers_and_codes_are() -> None:
    """Each row's text is its own in both; only a code names the row."""
    codes = np.array([f"K-{place:05}" for place in range(200)], object)
    reviews = np.array([f"parcel {place} came two days late" for place in range(200)], object)
    columns = tuple(Column(name=name, kind="text") for name in ("code", "review"))
    reference = Dataset(frame={"code": codes, "review": reviews})
    found = _identifiers(Signature(task="regression", columns=columns), reference)
    assert [each.where for each in found] == ["column code"]


def test_functions_take_task_and_classes_from_the_labels(tmp_path: Path) -> None:
    """A function that tells nothing of itself is a classifier where the labels are words."""
    (tmp_path / "fscore.py").write_text(
        "def predict(rows):\n    return (rows['amount'] > 0).astype(float)\n"
    )
    data = table(missing=False)
    with open_model("fscore:predict", code=tmp_path, workdir=tmp_path) as loaded:
        record = inspect_model(loaded, dataset(data), None, CONFIG)
        assert record.signature.task == "binary"
        assert record.signature.classes == ("no", "yes")
        answer = loaded.predict(dataset(data).select(record.signature.names).frame)
        assert answer.probabilities is not None
    with open_model("fscore:predict", code=tmp_path, workdir=tmp_path) as loaded:
        values = dataset(data, data["amount"].to_numpy() * 3)
        record = inspect_model(loaded, values, None, CONFIG)
        assert (record.signature.task, record.signature.positive) == ("regression", None)


def test_another_version_is_told() -> None:
    """A file of another scikit-learn is an issue with the command that installs it."""
    from afterfit.core.model import ModelDescription
    from afterfit.inspect.checks import about_model

    description = ModelDescription(
        framework="sklearn",
        estimator="Ridge",
        saved_with={"scikit-learn": "1.5.2"},
        installed={"scikit-learn": "1.9.1"},
    )
    version, form, *_ = about_model("joblib", description, ())
    assert (version.code, version.outcome) == ("I001", "issue")
    assert version.fix == 'pip install "scikit-learn==1.5.2"'
    assert (form.code, form.outcome) == ("I005", "tip")
    same = msgspec.structs.replace(description, saved_with={"scikit-learn": "1.9.1"})
    assert about_model("skops", same, ("no namespaces",))[0].outcome == "passed"
