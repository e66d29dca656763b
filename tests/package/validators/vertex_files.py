"""model.json, endpoint.json and deployment.json of a folder, as messages of Vertex AI's v1 API."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Print what was found; return how many files are bad."""
    from google.cloud.aiplatform_v1 import types

    folder, bad = Path(sys.argv[1]), 0
    messages = {
        "model.json": types.UploadModelRequest,
        "endpoint.json": types.Endpoint,
        "deployment.json": types.DeployModelRequest,
    }
    for name, message in messages.items():
        try:
            message.from_json((folder / name).read_text(), ignore_unknown_fields=False)
            print(f"ok {name}")  # noqa: T201 - this is how it answers
        except Exception as error:  # noqa: BLE001 - whatever the library objects to
            bad += 1
            print(f"bad {name}: {' '.join(str(error).split())[:600]}")  # noqa: T201
    return bad


if __name__ == "__main__":
    sys.exit(main())
