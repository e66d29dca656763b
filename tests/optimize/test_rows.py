"""The rows that variants are judged on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Signature
from afterfit.optimize.ladder import missing_marker
from afterfit.optimize.rows import UNSEEN, edge_rows, held_out_rows, threshold_rows


def test_held_out_rows_are_drawn_once_each_and_repeatably(
    table: Callable[..., dict[str, np.ndarray]],
) -> None:
    """The same seed draws the same rows, without replacement, in their order."""
    data = Dataset(frame={"row": np.arange(600), **table()})
    first, again = held_out_rows(data, 100, 3), held_out_rows(data, 100, 3)
    assert len(first) == 100
    assert np.array_equal(first.frame["row"], again.frame["row"])
    assert np.all(np.diff(first.frame["row"]) > 0)


def test_edge_rows_have_every_kind_of_strange_value(
    table: Callable[..., dict[str, np.ndarray]], signed: Callable[..., Signature]
) -> None:
    """Missing, unseen, empty, blank, extreme, signed zero and denormal values are all there."""
    frame = table()
    rows = edge_rows(Dataset(frame=frame), signed(frame, "binary", (0, 1)), 0)
    ratio, job, age = rows.frame["ratio"], rows.frame["job"], rows.frame["age"]
    assert np.isnan(ratio).any()
    assert (np.signbit(ratio) & (ratio == 0)).any()
    assert (ratio == 5e-324).any()
    assert np.nanmax(ratio) >= 1e6 * np.nanmax(frame["ratio"])
    assert {"", " ", UNSEEN, *set(frame["job"][~missing_mask(frame["job"])])} <= set(job)
    assert missing_mask(job).any()
    assert {frame["age"].min() - 1, frame["age"].max() + 1} <= set(age.tolist())
    assert np.all(age[~np.isnan(age)] % 1 == 0)
    assert "every nullable column missing" in rows.cases
    assert len(rows.case) == len(rows)


def test_threshold_rows_stand_on_and_a_last_digit_beside_each_threshold(
    table: Callable[..., dict[str, np.ndarray]], signed: Callable[..., Signature]
) -> None:
    """Both precisions' neighbours are probed; integer columns get the integers around."""
    frame = table()
    thresholds = {"ratio": np.array([0.1]), "age": np.array([38.5])}
    signature = signed(frame, "binary", (0, 1))
    rows = threshold_rows(Dataset(frame=frame), signature, thresholds, 100, 0)
    single = np.float32(0.1)
    wanted = [0.1, np.nextafter(0.1, 1), np.nextafter(0.1, -1), float(single)]
    wanted += [float(np.nextafter(single, np.float32(side))) for side in (1, -1)]
    assert set(wanted) <= set(rows.frame["ratio"].tolist())
    assert {38, 39} <= set(rows.frame["age"].tolist())
    assert 38.5 not in rows.frame["age"]


def test_threshold_rows_are_bounded(
    table: Callable[..., dict[str, np.ndarray]], signed: Callable[..., Signature]
) -> None:
    """A large ensemble does not make the comparison endless."""
    frame = table()
    thresholds = {"ratio": np.linspace(-3, 3, 10_000)}
    signature = signed(frame, "binary", (0, 1))
    rows = threshold_rows(Dataset(frame=frame), signature, thresholds, 50, 0)
    assert 50 <= len(rows) <= 6 * 50


def test_the_marker_of_missing_text_is_no_value_of_the_data() -> None:
    """If the data holds the marker itself, another one is taken."""
    plain: Frame = {"job": np.array(["", None, "nurse"], dtype=object)}
    marker = missing_marker(Dataset(frame=dict(plain)))
    taken = {"job": np.array([marker, None], dtype=object)}
    other = missing_marker(Dataset(frame=taken))
    assert marker not in ("", "nurse")
    assert other != marker
