"""The end of a model's time: a call under way is ended with its process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from afterfit.models.loaded import open_model
from afterfit.models.timebox import Timed, TimeOverError, ended_after
from afterfit.testing.samples import frame_of, labels, pipeline, table


def test_a_call_under_way_ends_with_the_time_and_the_model_answers_again(tmp_path: Path) -> None:
    """A minute's measurement is over after a second; the process starts anew when asked."""
    data = table()
    fitted = pipeline(LogisticRegression()).fit(data, labels(data))
    with open_model(fitted, workdir=tmp_path) as model:
        frame = frame_of(data)
        before = model.predict(frame).main
        first = model.pid
        timed = Timed(model, time.monotonic() + 1.0)
        started = time.monotonic()
        with ended_after(1.0, [model]), pytest.raises(TimeOverError):
            timed.call("afterfit.models.convert_timing:time_beside", frame=frame, seconds=60.0)
        assert time.monotonic() - started < 30
        with pytest.raises(TimeOverError):
            timed.predict(frame)
        assert (model.predict(frame).main == before).all()
        assert model.pid != first
