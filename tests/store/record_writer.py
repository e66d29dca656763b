"""A script: put records with one's own number, telling the digest of each once it is kept.

``python record_writer.py FOLDER NUMBER COUNT`` prints one digest a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from afterfit.records.predict import PredictRecord
from afterfit.records.record import Environment
from afterfit.store.records import RecordStore


def main(folder: Path, number: str, count: int) -> None:
    """Put ``count`` records."""
    store = RecordStore(folder)
    for index in range(count):
        record = PredictRecord(
            subject=number, env=Environment(afterfit="1"), source="s", output="o", rows=index
        )
        print(store.put(record, key=f"{number}-{index}").digest, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
