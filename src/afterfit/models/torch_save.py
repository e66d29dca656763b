"""A network in memory as an archive of ``torch.export``, the same bytes for the same network."""

from __future__ import annotations

import io
from typing import Any

from afterfit.errors import ModelError
from afterfit.models import torch_layout
from afterfit.models.torch_archive import rewritten
from afterfit.models.torch_export import brief_cause, example, quiet

__all__ = ["archive"]


def archive(model: Any) -> bytes:
    """Return the ``.pt2`` bytes of an ``nn.Module`` or ``ExportedProgram``; raises ModelError.

    A module is exported in eval mode, on the CPU, for any number of rows; it is left as it was.
    """
    import torch

    program = model
    if type(model).__name__ != "ExportedProgram":
        program = _exported(model)
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer)
    return rewritten(buffer.getvalue())


def _exported(model: Any) -> Any:
    import copy

    import torch

    slots = torch_layout.of_module(model)
    width = torch_layout.width(slots)
    if width is None:
        raise ModelError(
            "the network does not tell how many columns it takes",
            fix="tell it: net.input_shape = (30,), or net.example_input = a tensor of two rows",
        )
    inputs = torch_layout.tensors(slots, [f"x{index}" for index in range(width)])
    rows = torch.export.Dim("rows")
    try:
        with quiet():
            own = copy.deepcopy(model).cpu().eval()
            return torch.export.export(
                own, example(inputs), dynamic_shapes=tuple({0: rows} for _ in inputs)
            )
    except Exception as error:  # noqa: BLE001 - exporters raise anything
        raise ModelError(
            "the network in memory cannot be exported",
            why=brief_cause(error),
            fix="save its weights (safetensors.torch.save_file(net.state_dict(), "
            "'net.safetensors')) and name module:function@net.safetensors with --code FOLDER",
        ) from None
