"""The JSON answer of ``/predict``, written straight from the batch."""

from __future__ import annotations

from collections.abc import Callable
from operator import add

import msgspec

from afterfit.runtime.answers import Answer, Served
from afterfit.runtime.messages import Response

__all__ = ["PredictWriter"]


class PredictWriter:
    """Writes the answers of one model; what every answer has alike is made once.

    An answer that another model gave in its place is written by that model's own writer.
    """

    def __init__(self, model: Served) -> None:
        self._model = model
        name, version, digest = (msgspec.json.encode(part) for part in model.key)
        self._begin = b'{"model":%b,"version":%b,"digest":%b,"predictions":[' % (
            name,
            version,
            digest,
        )
        self._labels = [b'","label":%b' % label for label in model.label_json]
        self._words = [msgspec.json.encode(word) + b":" for word in model.words]

    def json(self, answer: Answer) -> Response:
        """Return the answer: ``{id, label, probabilities}`` or ``{id, value}`` for each row."""
        if answer.batch.model is not self._model:
            return answer.batch.model.part(PredictWriter).json(answer)
        rows = b",".join(map(self._row(answer), range(answer.start, answer.stop)))
        return Response(200, self._begin + rows + b"]}")

    def _row(self, answer: Answer) -> Callable[[int], bytes]:
        """Return what writes one row by its place in the batch."""
        batch = answer.batch
        ids, numbers = batch.ids, batch.numbers_json
        if batch.predictions.values is not None:
            return lambda row: b'{"id":"%b","value":%b}' % (ids[row].encode(), numbers[row])
        labels, codes = self._labels, batch.codes
        if batch.predictions.probabilities is None:
            return lambda row: b'{"id":"%b%b}' % (ids[row].encode(), labels[codes[row]])
        words = self._words

        def labelled(row: int) -> bytes:
            chances = b",".join(map(add, words, numbers[row][1:-1].split(b",")))
            return b'{"id":"%b%b,"probabilities":{%b}}' % (
                ids[row].encode(),
                labels[codes[row]],
                chances,
            )

        return labelled
