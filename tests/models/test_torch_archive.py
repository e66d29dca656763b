"""Hostile archives of PyTorch: refused before PyTorch sees them. All probes are inert."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models.networks import dense_network, image_network, program, torch_or_skip

from afterfit.errors import ModelError, UntrustedError
from afterfit.models.audit import Audit, audit
from afterfit.models.loaded import open_model
from afterfit.models.torch_archive import rewritten
from afterfit.models.torch_traced import traced_inputs

torch = torch_or_skip(at_import=True)

Change = Callable[[dict[str, Any]], None]
EVIL = "__import__('posix').system('true')"


class Calls:
    """A pickle of it calls posix.system when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("true",)


@pytest.fixture(scope="module")
def exported() -> bytes:
    """The archive of a small exported network."""
    buffer = io.BytesIO()
    torch.export.save(program(image_network(), 1, 8, 8), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def scripted() -> bytes:
    """The TorchScript archive of a small network."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(dense_network()), buffer)
    return buffer.getvalue()


def changed(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The archive with other members, by their names below its folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = archive.namelist()[0].partition("/")[0]
        members = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    change(members)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for name, content in members.items():
            out.writestr(f"{root}/{name}", content)
    return target.getvalue()


def program_changed(data: bytes, change: Change) -> bytes:
    """The archive whose program is another."""

    def edit(members: dict[str, bytes]) -> None:
        document = json.loads(members["models/model.json"])
        change(document)
        members["models/model.json"] = json.dumps(document).encode()

    return changed(data, edit)


def judged(tmp_path: Path, data: bytes, name: str = "net.pt2") -> Audit:
    """The audit of such a file."""
    path = tmp_path / name
    path.write_bytes(data)
    return audit(path)


def first_node(document: dict[str, Any]) -> dict[str, Any]:
    """The first operator of a program."""
    node: dict[str, Any] = document["graph_module"]["graph"]["nodes"][0]
    return node


def size_of_input(document: dict[str, Any]) -> dict[str, Any]:
    """The expression of the number of rows."""
    values = document["graph_module"]["graph"]["tensor_values"]
    size: dict[str, Any] = next(
        v["sizes"][0] for v in values.values() if "as_expr" in str(v["sizes"][:1])
    )
    return size


def test_an_honest_archive_is_clean(tmp_path: Path, exported: bytes, scripted: bytes) -> None:
    """Both kinds are told by their bytes, and nothing needs to be let in."""
    found = judged(tmp_path, exported)
    assert (found.format, found.verdict, found.unknown) == ("torch-export", "clean", ())
    found = judged(tmp_path, scripted, "net.pt")
    assert (found.format, found.verdict, found.unknown) == ("torchscript", "clean", ())


HOSTILE: dict[str, Change] = {
    "a size that is Python": lambda d: size_of_input(d)["as_expr"].update(expr_str=EVIL),
    "a size that reaches attributes": lambda d: size_of_input(d)["as_expr"].update(
        expr_str="Symbol('s77').__class__"
    ),
    "an operator that is none": lambda d: first_node(d).update(target="torch.os.system"),
    "an operator that is no attribute": lambda d: first_node(d).update(target="os.system"),
    "an operator of files": lambda d: first_node(d).update(target="torch.ops.aten.from_file"),
    "a library": lambda d: first_node(d).update(target="torch.ops.aten.load_library"),
    "a name that becomes source": lambda d: d["graph_module"]["graph"]["inputs"][0].update(
        as_tensor={"name": f"x={EVIL}"}
    ),
    "a name after a newline": lambda d: first_node(d).update(name=f"x\n{EVIL}"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_program_that_would_run_code_is_hostile(
    change: Change, tmp_path: Path, exported: bytes
) -> None:
    """Expressions, names and operators have shapes that can be no Python."""
    found = judged(tmp_path, program_changed(exported, change))
    assert found.verdict == "hostile", found
    with pytest.raises(UntrustedError):
        open_model(tmp_path / "net.pt2", workdir=tmp_path)


def test_guards_and_traces_are_never_run(tmp_path: Path, exported: bytes) -> None:
    """Guards are Python source outright: a program is loaded without them."""
    mark = tmp_path / "mark"
    code = f"open({str(mark)!r}, 'w') is None"
    data = program_changed(exported, lambda d: d.update(guards_code=[code]))
    assert code.encode() in data.replace(b"\\", b"")
    assert b"mark" not in rewritten(data)
    path = tmp_path / "net.pt2"
    path.write_bytes(data)
    with open_model(path, workdir=tmp_path) as model:
        assert model.description.n_features == 64
    assert not mark.exists()


def test_sample_inputs_are_never_unpickled(exported: bytes) -> None:
    """They are a pickle that PyTorch would load: the loaded archive has none."""
    data = changed(
        exported, lambda m: m.update({"data/sample_inputs/model.pt": pickle.dumps(Calls())})
    )
    assert b"posix" in data
    assert b"posix" not in rewritten(data)


def test_an_operator_of_a_plugin_is_unknown(tmp_path: Path, exported: bytes) -> None:
    """What a library registers is not judged here, so it is not loaded."""
    data = program_changed(exported, lambda d: first_node(d).update(target="torch.ops.mine.op"))
    found = judged(tmp_path, data)
    assert (found.verdict, found.unknown) == ("unknown", ("torch.ops.mine.op",))


MEMBERS: dict[str, Callable[[dict[str, bytes]], None]] = {
    "compiled code": lambda m: m.update({"data/aotinductor/model/x.so": b"\x7fELF"}),
    "a custom object": lambda m: m.update({"data/constants/custom_obj_0": b"x"}),
    "an opaque object": lambda m: m.update({"data/constants/opaque_obj_0": pickle.dumps(Calls())}),
    "old weights": lambda m: m.update({"data/weights/model.pt": pickle.dumps(Calls())}),
    "pickled weights": lambda m: m.update(
        {
            name: content.replace(b'"use_pickle": false', b'"use_pickle": true')
            for name, content in m.items()
            if name.endswith("weights_config.json")
        }
    ),
}


@pytest.mark.parametrize("change", MEMBERS.values(), ids=MEMBERS)
def test_members_that_would_be_unpickled_or_run_are_hostile(
    change: Callable[[dict[str, bytes]], None], tmp_path: Path, exported: bytes
) -> None:
    """Only the members of plain weights and one program are known."""
    assert judged(tmp_path, changed(exported, change)).verdict == "hostile"


BROKEN: dict[str, Callable[[dict[str, bytes]], None]] = {
    "no program": lambda m: m.update({"models/model.json": b"{"}),
    "two programs": lambda m: m.update({"models/other.json": m["models/model.json"]}),
    "a missing weight": lambda m: m.pop("data/weights/weight_0"),  # type: ignore[dict-item]
    "a weight of nothing": lambda m: m.update({"data/weights/weight_0": b""}),
    "a class as input": lambda m: m.update(
        {
            "models/model.json": m["models/model.json"].replace(
                b"builtins.tuple", b"collections.namedtuple"
            )
        }
    ),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_archive_that_cannot_be_followed_is_unreadable(
    change: Callable[[dict[str, bytes]], None], tmp_path: Path, exported: bytes
) -> None:
    """What is not understood to its end is not loaded."""
    assert judged(tmp_path, changed(exported, change)).verdict == "unreadable"


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, exported: bytes) -> None:
    """A member of a gigabyte of zeros in a megabyte of archive is refused by its directory."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        with zipfile.ZipFile(io.BytesIO(exported)) as archive:
            for name in archive.namelist():
                root = name.partition("/")[0]
                if not name.endswith("weight_0"):
                    out.writestr(name, archive.read(name))
        with out.open(f"{root}/data/weights/weight_0", "w", force_zip64=True) as stream:
            for _ in range(1200):
                stream.write(bytes(1 << 20))
    found = judged(tmp_path, target.getvalue())
    assert found.verdict == "unreadable"
    assert any("compressed" in note for note in found.notes)


def add_to_source(line: str) -> Callable[[dict[str, bytes]], None]:
    """A change that puts a line into every forward of a TorchScript archive."""

    def edit(members: dict[str, bytes]) -> None:
        for name, content in members.items():
            if name.endswith(".py"):
                members[name] = content.replace(b"-> Tensor:\n", b"-> Tensor:\n" + line.encode())

    return edit


@pytest.mark.parametrize(
    "line",
    [
        '    torch.save(1, "/tmp/x")\n',
        '    ops.aten.save(1, "/tmp/x")\n',
        '    _0 = torch.from_file("/etc/hostname")\n',
        '    _0 = getattr(torch, "save")(1, "/tmp/x")\n',
        '    _0 = ops.debugprims.load_tensor("x", [1], [1])\n',
    ],
)
def test_torchscript_that_reads_or_writes_files_is_hostile(
    line: str, tmp_path: Path, scripted: bytes
) -> None:
    """Its own language needs no Python to overwrite a file."""
    found = judged(tmp_path, changed(scripted, add_to_source(line)), "net.pt")
    assert found.verdict == "hostile", found


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("    _0 = ops.mine.op(1)\n", "unknown"),
        ("    _0 = __torch__.torch.classes.mine.Thing\n", "unknown"),
        ("    this is no source\n", "unreadable"),
        ("    \N{FULLWIDTH LATIN SMALL LETTER S} = 1\n", "unreadable"),
    ],
)
def test_torchscript_that_is_not_known_is_not_loaded(
    line: str, verdict: str, tmp_path: Path, scripted: bytes
) -> None:
    """Operators of a plugin and sources that Python reads otherwise are refused."""
    found = judged(tmp_path, changed(scripted, add_to_source(line)), "net.pt")
    assert found.verdict == verdict, found


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
def test_a_pickle_in_torchscript_that_calls_is_hostile(
    member: str, tmp_path: Path, scripted: bytes
) -> None:
    """Its pickles are followed with the project's own reader."""
    data = changed(scripted, lambda m: m.update({member: pickle.dumps(Calls(), 2)}))
    found = judged(tmp_path, data, "net.pt")
    assert found.verdict == "hostile"
    assert ("posix.system", "runs commands or replaces the process") in found.dangerous


def test_a_trace_is_read_without_importing_what_it_names() -> None:
    """The reader of a trace's sizes knows four names; others tell it nothing."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        out.writestr("net/traced_inputs.pkl", pickle.dumps({"forward": [Calls()]}, 2))
    assert traced_inputs(target.getvalue()) is None


@pytest.mark.parametrize(
    "content",
    [
        (99).to_bytes(8, "little") + b'{"a": {"data_offsets": [0, 8]}}' + b" " * 68,
        (31).to_bytes(8, "little") + b'{"a": {"data_offsets": [0, 8]}}',
        (3).to_bytes(8, "little") + b'{"a',
    ],
)
def test_weights_that_do_not_lie_in_their_file_are_unreadable(
    content: bytes, tmp_path: Path
) -> None:
    """A safetensors file is whole, or it is not loaded."""
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    found = audit(path)
    assert (found.format, found.verdict) == ("safetensors", "unreadable")
    with pytest.raises(ModelError):
        open_model(f"nets:make@{path}", code=tmp_path, workdir=tmp_path)
