"""Networks of PyTorch: read from their files, asked, and turned into graphs that answer alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.networks import (
    PIXELS,
    dense_network,
    image_network,
    pixels,
    probabilities,
    program,
    torch_or_skip,
)

from afterfit.core.signature import Column, Signature
from afterfit.errors import DependencyError, InputError, ModelError, UntrustedError, UsageError
from afterfit.models.convert import attempts, to_onnx
from afterfit.models.draft import native_files, serving_requirements
from afterfit.models.loaded import open_model
from afterfit.models.native import Hints
from afterfit.models.torch import Adapter, TorchNative
from afterfit.models.torch_layout import Slot
from afterfit.models.variant import load_here
from afterfit.runtime.onnx import OnnxModel

torch = torch_or_skip(at_import=True)
# Weights in a file of their own come with code, and so with a process.
pytestmark = pytest.mark.usefixtures("inline")


def signature(names: tuple[str, ...], classes: int) -> Signature:
    """The signature of numbers, for so many classes; none is a regression."""
    task: Any = {0: "regression", 2: "binary"}.get(classes, "multiclass")
    columns = tuple(Column(name=name, kind="number") for name in names)
    return Signature(columns=columns, task=task, classes=tuple(range(classes)))


def native(net: Any, told: Signature, slots: tuple[Slot, ...] | None = None) -> TorchNative:
    """The network behind the interface, in this process."""
    from afterfit.models import torch_layout

    return TorchNative(net, slots or torch_layout.of_module(net), Hints.of(told))


def saved(folder: Path, kind: str, net: Any) -> tuple[Any, Path | None]:
    """The network in one of its files: what to open, and the folder of its code."""
    if kind == "export":
        torch.export.save(program(net, 1, 8, 8), folder / "net.pt2")
        return folder / "net.pt2", None
    if kind == "trace":
        torch.jit.save(torch.jit.trace(net, torch.zeros(2, 1, 8, 8)), folder / "net.pt")
        return folder / "net.pt", None
    if kind == "script":
        torch.jit.save(torch.jit.script(net), folder / "net.ts")
        return folder / "net.ts", None
    from safetensors.torch import save_file

    save_file(net.state_dict(), folder / "net.safetensors")
    code = folder / "code"
    code.mkdir()
    (code / "nets.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),\n"
        "                         nn.Flatten(), nn.Linear(256, 10))\n\n\n"
        "make.input_shape = (1, 8, 8)\n"
    )
    return f"nets:make@{folder / 'net.safetensors'}", code


@pytest.mark.parametrize("kind", ["export", "trace", "script", "weights"])
def test_every_kind_of_file_answers_as_the_network_does(kind: str, tmp_path: Path) -> None:
    """Columns fill the image in their order, and scores become probabilities."""
    net = image_network()
    source, code = saved(tmp_path, kind, net)
    frame = pixels(50)
    with open_model(source, code=code, workdir=tmp_path / "work") as model:
        told = model.description
        answer = model.predict(frame).probabilities
        ways = model.call("afterfit.models.convert:attempts")
        converted = model.call(
            "afterfit.models.convert:to_onnx",
            signature=signature(PIXELS, 10),
            attempt=ways[0],
        )
        variant, files = native_files(model)
    assert (told.framework, told.task, told.n_features) == ("torch", "multiclass", 64)
    assert told.steps == ("softmax added: the network answers scores",)
    assert answer is not None
    np.testing.assert_allclose(answer, probabilities(net, frame, 1, 8, 8), atol=1e-6)
    assert converted.error == ""
    graph = OnnxModel(converted.data, converted.inputs, converted.output, tuple(range(10)))
    for rows in (1, 5, 256):
        some = pixels(rows)
        np.testing.assert_allclose(
            graph.predict(some).main, probabilities(net, some, 1, 8, 8), atol=1e-5
        )
    bundle = tmp_path / "bundle"
    for name, path in files.items():
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(path.read_bytes())
    if code is None:
        served = load_here(bundle, variant, signature(PIXELS, 10)).predict(frame)
        np.testing.assert_array_equal(served.probabilities, answer)
    assert bool(variant.asks) == (kind == "weights")


def test_what_serves_a_network_is_pinned_by_its_public_version(tmp_path: Path) -> None:
    """A bundle is the same whichever build of PyTorch is installed here."""
    source, _ = saved(tmp_path, "export", image_network())
    with open_model(source, workdir=tmp_path) as model:
        pins = serving_requirements(model.description)
    assert f"torch=={torch.__version__.partition('+')[0]}" in pins
    assert not [pin for pin in pins if pin.startswith(("nvidia", "cuda", "triton"))]


def test_a_network_in_memory_is_exported_and_then_a_file(tmp_path: Path) -> None:
    """Equal networks give equal bytes, with no path of this machine, and keep their mode."""
    net = image_network().train()
    with open_model(net, workdir=tmp_path / "a") as model:
        answer = model.predict(pixels(3)).main
        assert model.format == "torch-export"
        first = (tmp_path / "a" / "model.pt2").read_bytes()
    with open_model(image_network(), workdir=tmp_path / "b") as model:
        assert model.path is not None
        assert model.path.read_bytes() == first
    assert net.training
    assert str(Path(__file__).parent).encode() not in first
    assert torch.__file__.encode() not in first
    np.testing.assert_allclose(answer, probabilities(net.eval(), pixels(3), 1, 8, 8), atol=1e-6)


@pytest.mark.parametrize("kind", ["program", "module", "script"])
def test_the_same_network_gives_the_same_graph(kind: str) -> None:
    """Bytes decide a version: they hold no counter and no path."""
    net: Any = dense_network(outputs=3)
    if kind == "script":
        net = torch.jit.script(net)
    told = signature(("a", "b", "c", "d"), 3)
    model = native(net, told, (Slot(name="input", shape=(4,)),))
    if kind == "program":
        model.program = program(net, 4)
    made = [to_onnx(model, told, attempts(model)[0]) for _ in range(2)]
    assert made[0].error == ""
    assert made[0].data == made[1].data
    assert b"site-packages" not in made[0].data
    assert str(Path(__file__).parent).encode() not in made[0].data


@pytest.mark.parametrize(
    ("last", "classes", "note"),
    [
        (None, 3, "softmax added: the network answers scores"),
        (torch.nn.LogSoftmax(dim=1), 3, "softmax added: the network answers scores"),
        (torch.nn.Softmax(dim=1), 3, ""),
        (None, 2, "sigmoid added: the network answers a score"),
        (torch.nn.Sigmoid(), 2, ""),
        (None, 0, ""),
    ],
)
def test_scores_become_probabilities_in_both_forms_alike(
    last: Any, classes: int, note: str
) -> None:
    """What is added is added to the graph and to the network; values stay values."""
    names = ("a", "b", "c", "d")
    told = signature(names, classes)
    model = native(dense_network(outputs=3 if classes == 3 else 1, last=last), told)
    frame = {name: np.random.default_rng(i).normal(size=40) * 9 for i, name in enumerate(names)}
    answer = model.predict(frame)
    converted = to_onnx(model, told, attempts(model)[0])
    assert converted.output is not None, converted.error
    assert converted.notes == ((note,) if note else ())
    assert model.description.steps == ((note,) if note else ())
    graph = OnnxModel(converted.data, converted.inputs, converted.output, told.classes)
    np.testing.assert_allclose(graph.predict(frame).main, answer.main, atol=1e-5)
    if answer.probabilities is not None:
        np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-6)
        assert len(np.unique(answer.probabilities.round(6))) > 40
    assert (answer.values is not None) == (classes == 0)


def test_one_number_without_a_task_waits_for_the_data() -> None:
    """It may be a value as well as a score; a probability it is for sure where a layer says so."""
    names = ("a", "b", "c", "d")
    open_task = TorchNative(dense_network(), (Slot(name="x", shape=(4,)),), Hints(features=names))
    assert open_task.description.task is None
    adopted = open_task.adopt(Hints(features=names, task="binary", classes=("no", "yes")))
    assert adopted.description.classes == ("no", "yes")
    assert adopted.description.steps == ("sigmoid added: the network answers a score",)
    sure = TorchNative(
        dense_network(last=torch.nn.Sigmoid()), (Slot(name="x", shape=(4,)),), Hints()
    )
    assert (sure.description.task, sure.description.classes) == ("binary", (0, 1))


def test_tokens_are_integers_and_several_inputs_share_the_columns() -> None:
    """An embedding takes int64; a second input takes the columns after those of the first."""

    class Text(torch.nn.Module):  # type: ignore[misc,name-defined]
        example_input = (torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 2))

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.words = torch.nn.Embedding(11, 4)
            self.last = torch.nn.Linear(6, 3)

        def forward(self, tokens: Any, numbers: Any) -> Any:
            return self.last(torch.cat([self.words(tokens).mean(dim=1), numbers], dim=1))

    names = ("w0", "w1", "w2", "x0", "x1")
    told = signature(names, 3)
    net = Text().eval()
    model = native(net, told)
    frame = {n: np.arange(7) % 11 if n[0] == "w" else np.arange(7) / 7 for n in names}
    converted = to_onnx(model, told, attempts(model)[0])
    assert converted.output is not None, converted.error
    assert [each.dtype for each in converted.inputs] == ["int64", "float32"]
    graph = OnnxModel(converted.data, converted.inputs, converted.output, told.classes)
    np.testing.assert_allclose(graph.predict(frame).main, model.predict(frame).main, atol=1e-6)
    with pytest.raises(InputError, match="w1"):
        model.predict(frame | {"w1": np.full(7, np.nan)})
    embedding = torch.nn.Sequential(torch.nn.EmbeddingBag(9, 3))
    assert native(embedding, signature(names[:3], 3)).slots[0].dtype == "int64"


def test_control_flow_by_the_data_is_no_graph_and_still_a_model() -> None:
    """The error is one line; the network answers as it is."""

    class Branching(torch.nn.Module):  # type: ignore[misc,name-defined]
        input_shape = (2,)

        def forward(self, x: Any) -> Any:
            return x * 2 if x.sum() > 0 else x - 1

    told = signature(("a", "b"), 2)
    model = native(Branching().eval(), told)
    converted = to_onnx(model, told, attempts(model)[0])
    assert "data-dependent" in converted.error
    assert "\n" not in converted.error
    assert len(model.predict({"a": np.ones(3), "b": np.ones(3)})) == 3


def test_a_fixed_number_of_rows_is_told(tmp_path: Path) -> None:
    """An export of one example answers one row: the fix exports it for any number."""
    fixed = torch.export.export(dense_network(), (torch.zeros(2, 4),))
    torch.export.save(fixed, tmp_path / "net.pt2")
    with (
        open_model(tmp_path / "net.pt2", workdir=tmp_path) as model,
        pytest.raises(ModelError, match="fixed number of rows") as caught,
    ):
        _ = model.description
    assert "dynamic_shapes" in caught.value.fix


def test_a_convolution_without_a_shape_is_told_how_to_give_one() -> None:
    """Nothing is guessed from the number of columns."""
    net = image_network()
    del net.input_shape
    with pytest.raises(ModelError, match="Conv2d") as caught:
        Adapter().wrap(net, Hints())
    assert "input_shape" in caught.value.fix


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Too few columns, text and missing values each say what is wrong."""
    model = native(dense_network(outputs=3), signature(("a", "b", "c", "d"), 3))
    frame = {name: np.ones(2) for name in "abcd"}
    with pytest.raises(InputError, match="missing column"):
        model.predict({"a": np.ones(2)})
    with pytest.raises(InputError, match="no number for some"):
        model.predict(frame | {"b": np.array([1.0, np.nan])})
    with pytest.raises(InputError, match="column 'b'"):
        model.predict(frame | {"b": np.array(["x", "y"], dtype=object)})
    with pytest.raises(InputError, match="no rows"):
        model.predict({name: np.ones(0) for name in "abcd"})
    with pytest.raises(ModelError, match="answers 3 numbers for 2 classes"):
        native(dense_network(outputs=3), signature(("a", "b", "c", "d"), 2))
    with pytest.raises(ModelError):
        model.save(tmp_path / "x")


def test_weights_need_the_code_that_builds_their_network(tmp_path: Path) -> None:
    """Without a factory, without its folder, or with another network, the fix is named."""
    source, code = saved(tmp_path, "weights", image_network())
    with pytest.raises(ModelError, match="weights") as caught:
        open_model(tmp_path / "net.safetensors", workdir=tmp_path)
    assert "module:function@" in caught.value.fix
    with pytest.raises(UsageError, match="folder"):
        open_model(source, workdir=tmp_path)
    assert code is not None
    (code / "nets.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Linear(3, 2)\n"
    )
    with (
        open_model(source, code=code, workdir=tmp_path) as model,
        pytest.raises(ModelError, match="do not fit"),
    ):
        _ = model.description


def test_files_of_torch_save_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """A pickled module is code; pickled weights are refused too, and both say what to save."""
    net = dense_network()
    torch.save(net, tmp_path / "net.pt")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UntrustedError, match=r"torch\.save") as caught:
        open_model(tmp_path / "net.pt", workdir=tmp_path)
    assert "torch.export" in caught.value.fix
    assert "safetensors" in caught.value.fix
    with pytest.raises(ModelError, match=r"torch\.save"):
        open_model(tmp_path / "weights.pt", workdir=tmp_path)


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing dependency is told with the command that installs it."""
    import sys

    from afterfit.models.native import Source

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DependencyError) as caught:
        Adapter().load(Source(format="torchscript"))
    assert "afterfit[torch]" in caught.value.fix
