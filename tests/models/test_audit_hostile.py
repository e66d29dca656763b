"""Hostile files, all inert: what they would run writes a marker that must never appear."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from afterfit.errors import AfterfitError, ModelError, UntrustedError
from afterfit.models.audit import Audit, audit, require_clean
from afterfit.models.sniff import sniff


def text(value: str) -> bytes:
    """Return the opcode that pushes a text."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def call(module: str, name: str, *args: str, protocol: int = 4) -> bytes:
    """Return a pickle that would call ``module.name`` with texts."""
    if protocol < 4:
        target = f"c{module}\n{name}\n".encode()
    else:
        target = text(module) + text(name) + b"\x93"
    return b"\x80" + bytes([protocol]) + target + b"(" + b"".join(map(text, args)) + b"tR."


MARKER = "afterfit-marker"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a probe would leave, in the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / MARKER


TOUCH = f"touch {MARKER}"
WRITE = f"open({MARKER!r}, 'w').close()"
PROBES: dict[str, bytes] = {
    "eval": call("builtins", "eval", WRITE),
    "exec": call("builtins", "exec", WRITE),
    "eval of Python 2": call("__builtin__", "eval", WRITE, protocol=2),
    "os.system": call("os", "system", TOUCH),
    "posix.system": call("posix", "system", TOUCH),
    "commands of Python 2": call("commands", "getoutput", TOUCH, protocol=2),
    "subprocess": call("subprocess", "check_output", TOUCH),
    "nested loads": call("pickle", "loads", "cos\nsystem\n(S'x'\ntR."),
    "importlib": call("importlib", "import_module", "this"),
    "runpy": call("runpy", "run_module", "this"),
    "multiprocessing": call("multiprocessing.util", "spawnv_passfds", "a", "b", "c"),
    "pandas URL": call("pandas", "read_csv", "http://localhost:9/x"),
    "pandas pickle": call("pandas.io.pickle", "read_pickle", "x"),
    "torch": call("torch.utils.collect_env", "run", TOUCH),
    "numpy runstring": call("numpy.testing._private.utils", "runstring", WRITE, "x"),
    "numpy.load": call("numpy", "load", "x.npy"),
    "ctypes": call("ctypes", "CDLL", "libc.so.6"),
    "distutils": call("distutils.spawn", "spawn", "touch"),
    "mlflow": call("mlflow.projects", "run", "x"),
    "joblib.load": call("joblib", "load", "x"),
    "old joblib array": call("joblib.numpy_pickle_compat", "NDArrayWrapper", "x"),
    "numpy builtins": call("numpy", "__builtins__.eval", WRITE),
    "dotted": call("sklearn", "os.system", TOUCH),
    "open": call("builtins", "open", MARKER, "w"),
    "getattr on text": call("builtins", "getattr", "a", "upper"),
    "import": call("builtins", "__import__", "this"),
    "webbrowser": call("webbrowser", "open", "http://localhost:9"),
    "partial": call("functools", "partial", "a"),
    "attrgetter": call("operator", "attrgetter", "a"),
    "function from code": call("types", "FunctionType", "a"),
    "socket": call("socket", "create_connection", "a"),
    "shutil": call("shutil", "rmtree", MARKER),
    "timeit": call("timeit", "timeit", WRITE),
    "pip": call("pip", "main", "install"),
    "protocol 0": b"cos\nsystem\n(S'" + TOUCH.encode() + b"'\ntR.",
    "inst": b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'" + TOUCH.encode() + b"'\no.",
    "memo of the names": b"\x80\x04"
    + text("os")
    + b"\x94"
    + text("system")
    + b"\x94"
    + b"00"
    + b"h\x00h\x01\x93("
    + text(TOUCH)
    + b"tR.",
    "names duplicated": b"\x80\x04"
    + text("os")
    + b"2"
    + b"0"
    + text("system")
    + b"\x93"
    + text(TOUCH)
    + b"\x85R.",
    "ufunc by name": call("numpy.core", "_ufunc_reconstruct", "os", "system"),
    "getattr of a class": b"\x80\x02cbuiltins\ngetattr\ncsklearn.pipeline\nPipeline\n"
    + text("__init__")
    + b"\x86R.",
    "getattr kept": b"\x80\x02cbuiltins\ngetattr\n.",
    "scipy exec": b"\x80\x02cscipy.stats._continuous_distns\nnorm_gen\n)\x81}"
    + text("_parse_arg_template")
    + text(WRITE)
    + b"sb.",
    "class as a call": b"\x80\x02csklearn.linear_model._logistic\nLogisticRegression\n)R.",
    "method replaced": b"\x80\x02csklearn.linear_model._logistic\nLogisticRegression\n)\x81}"
    + text("__setstate__")
    + b"cnumpy\nlog1p\nsb.",
    "append replaced": b"\x80\x02csklearn.linear_model._logistic\nLogisticRegression\n)\x81}"
    + text("append")
    + b"cnumpy\nlog1p\nsbK\x01a.",
    "helper replaced": b"\x80\x02csklearn.isotonic\nIsotonicRegression\n)\x81}("
    + text("X_thresholds_")
    + b"K\x01"
    + text("y_thresholds_")
    + b"K\x02"
    + text("_build_f")
    + b"cnumpy\nlog1p\nub.",
    "method of an attribute replaced": b"\x80\x02csklearn.linear_model._logistic\n"
    b"LogisticRegression\n)\x81}" + text("astype") + b"cnumpy\nlog1p\nsb.",
    "codec": b"\x80\x02c_codecs\nencode\n" + text("a") + text("zlib") + b"\x86R.",
    "bytes with a pickle": pickle.dumps([call("os", "system", TOUCH)], 4),
    "bytes with an old pickle": pickle.dumps([b"cos\nsystem\n(S'x'\ntR."], 4),
    "latin1 with a pickle": pickle.dumps([call("os", "system", TOUCH)], 2),
    "state of three parts": b"\x80\x02"
    b"cpandas._libs.arrays\n__pyx_unpickle_NDArrayBacked\n"
    b"cpandas.arrays\nDatetimeArray\nK\x01N\x87RNN}"
    + text("__class__")
    + b"cnumpy\nlog1p\ns\x87b.",
    "hidden in a dict key": b"\x80\x02}cos\nsystem\nK\x01s.",
    "second pickle": pickle.dumps([1]) + call("os", "system", TOUCH),
}
ARRAY_CLASS = b"cpandas._libs.arrays\n__pyx_unpickle_NDArrayBacked\ncpandas.arrays\nDatetimeArray\n"
PLANTED = b"}" + text("__setstate__") + b"cnumpy\nlog1p\ns"
INSTANCE = b"csklearn.linear_model._logistic\nLogisticRegression\n)\x81"
REFUSED: dict[str, bytes] = {
    "state handed to a compiled class": b"\x80\x02"
    + ARRAY_CLASS
    + b"K\x01NN"
    + PLANTED
    + b"\x87\x87R.",
    "index of an instance": b"\x80\x02cpandas.core.indexes.interval\n_new_IntervalIndex\n"
    + INSTANCE
    + b"}\x86R.",
    "index of another class": b"\x80\x02cpandas.core.indexes.interval\n_new_IntervalIndex\n"
    b"cxgboost.core\nBooster\n}\x86R.",
    "random constructor": b"\x80\x02cnumpy.random._pickle\n__generator_ctor\n"
    + text("a")
    + b"cxgboost.core\nBooster\n\x86R.",
    "random constructor of an instance": b"\x80\x02cnumpy.random._pickle\n__generator_ctor\n"
    + text("a")
    + INSTANCE
    + b"\x86R.",
    "computed name": b"\x80\x04" + text("os") + b"ccollections\nOrderedDict\n)R\x93.",
    "number for a name": b"\x80\x04K\x01" + text("x") + b"\x93.",
    "extension": b"\x80\x02\x82\x01.",
    "extension 2": b"\x80\x02\x83\x01\x00.",
    "persistent": b"Psome\n.",
    "persistent binary": b"\x80\x02K\x01Q.",
    "call of a result": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "state of a class": b"\x80\x02csklearn.linear_model._logistic\nRidge\n}b.".replace(
        b"_logistic\nRidge", b"_ridge\nRidge"
    ),
    "trailing bytes": pickle.dumps([1]) + b"\xff\xff",
    "truncated": pickle.dumps(list(range(1000)))[:-20],
    "no stop": b"\x80\x02]",
    "empty stack": b"\x80\x020.",
    "memo never set": b"\x80\x02h\x05.",
    "huge memo index": b"\x80\x02Nr\xff\xff\xff\xff.",
    "huge text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    "argument across frames": b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00K" + b"\x95" * 9 + b".",
    "buffer outside": b"\x80\x05\x97.",
    "protocol 6": b"\x80\x06N.",
}


def found(tmp_path: Path, data: bytes, name: str = "model.pkl") -> Audit:
    """Return the audit of these bytes under this name."""
    path = tmp_path / name
    path.write_bytes(data)
    return audit(path)


@pytest.mark.parametrize("name", PROBES)
def test_probe_is_flagged_and_nothing_runs(name: str, tmp_path: Path, marker: Path) -> None:
    """Each probe is hostile or unknown, under each name of the file and compressed too."""
    data = PROBES[name]
    for form in ("m.pkl", "m.joblib", "m.onnx", "m", "m.skops"):
        assert found(tmp_path, data, form).verdict in ("hostile", "unknown"), form
    for pack in (zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        packed = found(tmp_path, pack(data), "m.joblib")
        assert packed.verdict in ("hostile", "unknown")
        assert packed.flavour != "plain"
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", [n for n in PROBES if n not in ("class as a call", "getattr of a class")]
)
def test_probe_names_what_it_is(name: str, tmp_path: Path) -> None:
    """A probe's message names what was found, and offers no line to allow it."""
    result = found(tmp_path, PROBES[name])
    assert result.verdict == "hostile"
    with pytest.raises(UntrustedError) as caught:
        require_clean(result, tmp_path / "model.pkl")
    assert caught.value.found
    assert "--allow" not in caught.value.fix
    assert caught.value.code == "hostile"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str, tmp_path: Path) -> None:
    """A stream that cannot be followed to its end is never clean."""
    path = tmp_path / "model.pkl"
    path.write_bytes(REFUSED[name])
    result = audit(path)
    assert result.verdict == "unreadable", result
    with pytest.raises(ModelError, match="cannot be audited"):
        require_clean(result, path)


def test_hostile_name_is_let_in_only_by_its_exact_name(tmp_path: Path, marker: Path) -> None:
    """``allow`` lets a dangerous name in where the user spells it out, and nothing beside it."""
    path = tmp_path / "m.pkl"
    path.write_bytes(PROBES["os.system"])
    assert audit(path, allow=frozenset({"os.system"})).verdict == "clean"
    assert audit(path, allow=frozenset({"os", "os.syste", "posix.system"})).verdict == "hostile"
    assert not marker.exists()


def user_function(x: Any) -> Any:
    """Stand for a function of the user."""
    return x


def test_users_function_is_unknown_and_the_line_lets_it_in(tmp_path: Path) -> None:
    """A pipeline with a function of the user names it and the line that would allow it."""
    x = np.random.default_rng(0).random((20, 3))
    model = make_pipeline(FunctionTransformer(user_function), LogisticRegression())
    model.fit(x, x[:, 0] > 0.5)
    path = tmp_path / "m.joblib"
    joblib.dump(model, path)
    result = audit(path)
    name = f"{user_function.__module__}.user_function"
    assert (result.verdict, result.unknown) == ("unknown", (name,))
    with pytest.raises(UntrustedError) as caught:
        require_clean(result, path)
    assert f"afterfit trust {path} --allow {name}" in caught.value.fix
    assert audit(path, allow=frozenset({name})).verdict == "clean"


def test_pickle_that_is_named_onnx_is_said_to_be_one(tmp_path: Path) -> None:
    """The bytes decide; the contradiction is noted."""
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps([1, 2, 3]))
    assert sniff(path) == "pickle"
    assert any("the bytes are pickle" in note for note in audit(path).notes)


class Bad:
    """An object whose pickle would call os.system."""

    def __reduce__(self) -> Any:
        import os

        return os.system, (TOUCH,)


def test_object_array_inside_joblib_is_walked(tmp_path: Path, marker: Path) -> None:
    """A hostile pickle inside of an object array of a joblib file is found."""
    array = np.empty(2, dtype=object)
    array[0] = Bad()
    for compress in (0, 3):
        path = tmp_path / f"m{compress}.joblib"
        joblib.dump({"first": np.arange(5.0), "array": array}, path, compress=compress)
        result = audit(path)
        assert result.verdict == "hostile"
        assert dict(result.dangerous).keys() & {"posix.system", "os.system", "nt.system"}
    assert not marker.exists()


def test_hostile_pickle_after_raw_array_is_found(tmp_path: Path) -> None:
    """What follows the raw bytes of an array is walked, and raw bytes are not instructions."""
    path = tmp_path / "m.joblib"
    joblib.dump([np.full(1000, 46, np.uint8), Bad()], path)
    assert audit(path).verdict == "hostile"
    joblib.dump([np.frombuffer(PROBES["os.system"], np.uint8), np.arange(3)], path)
    assert audit(path).verdict == "clean"


def test_array_header_inside_of_a_frame_is_refused(tmp_path: Path) -> None:
    """A frame that goes on after an array header would be read differently by joblib."""
    buffer = io.BytesIO()
    joblib.dump(np.arange(3.0), buffer)
    data = bytearray(buffer.getvalue())
    length = struct.unpack("<Q", data[3:11])[0]
    data[3:11] = struct.pack("<Q", length + 1)
    assert found(tmp_path, bytes(data), "m.joblib").verdict == "unreadable"


def test_forged_dtype_is_refused(tmp_path: Path) -> None:
    """A dtype of objects whose flags say that it holds none would turn bytes into pointers."""
    honest = pickle.dumps(np.dtype(object), 4)
    assert honest.count(b"K?") == 1
    assert found(tmp_path, honest).verdict == "clean"
    assert found(tmp_path, honest.replace(b"K?", b"K\x00")).verdict == "unreadable"


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that expands beyond the limits is refused before it fills the memory."""
    monkeypatch.setattr("afterfit.models.container.RATIO_FREE", 1 << 20)
    bomb = zlib.compress(b"\x80\x04" + b"N" * (8 << 20), 9)
    result = found(tmp_path, bomb, "m.joblib")
    assert result.verdict == "unreadable"
    assert "bomb" in " ".join(result.notes)


def test_compressed_stream_with_bytes_after_it_is_refused(tmp_path: Path) -> None:
    """Bytes after the compressed stream, or a stream cut off, are refused."""
    packed = zlib.compress(pickle.dumps([1] * 100))
    assert found(tmp_path, packed, "m.joblib").verdict == "clean"
    assert found(tmp_path, packed + b"more", "m.joblib").verdict == "unreadable"
    assert found(tmp_path, packed[:-3], "m.joblib").verdict == "unreadable"


def test_lz4_is_refused_with_a_fix(tmp_path: Path) -> None:
    """LZ4 is not read; the message says what to do."""
    with pytest.raises(ModelError, match="LZ4") as caught:
        found(tmp_path, b"\x04\x22\x4d\x18" + b"\0" * 30, "m.joblib")
    assert "compress=3" in caught.value.fix


def skops_file(tmp_path: Path, change: Any, extra: dict[str, bytes] | None = None) -> Audit:
    """Return the audit of an honest skops file after ``change(schema)`` and with more members."""
    from afterfit.models.skops_io import skops_io

    x = np.random.default_rng(0).random((20, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, x[:, 0] > 0.5)
    source = zipfile.ZipFile(io.BytesIO(skops_io().dumps(model)))
    schema = json.loads(source.read("schema.json"))
    change(schema)
    path = tmp_path / "m.skops"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("schema.json", json.dumps(schema))
        for name in source.namelist():
            if name != "schema.json":
                target.writestr(name, source.read(name))
        for name, content in (extra or {}).items():
            target.writestr(name, content)
    return audit(path)


def nothing(schema: dict[str, Any]) -> None:
    """Change nothing."""


NODES = {
    "function": {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
    "old function": {
        "__class__": "log1p",
        "__module__": "numpy",
        "__loader__": "FunctionNode",
        "content": {"module_path": "os", "function": "system"},
    },
    "type": {"__class__": "Popen", "__module__": "subprocess", "__loader__": "TypeNode"},
    "object": {"__class__": "Encoder", "__module__": "mypkg", "__loader__": "ObjectNode"},
    "scipy": {
        "__class__": "norm_gen",
        "__module__": "scipy.stats._continuous_distns",
        "__loader__": "ObjectNode",
    },
    "method": {
        "__class__": "Pipeline",
        "__module__": "sklearn.pipeline",
        "__loader__": "MethodNode",
        "content": {"func": "fit", "obj": {}},
    },
    "operator": {
        "__class__": "attrgetter",
        "__module__": "operator",
        "__loader__": "OperatorFuncNode",
    },
    "partial": {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode"},
    "container": {
        "__class__": "Popen",
        "__module__": "subprocess",
        "__loader__": "ListNode",
        "content": [],
    },
    "constructor": {
        "__class__": "LogisticRegression",
        "__module__": "sklearn.linear_model._logistic",
        "__loader__": "ConstructorFromReduceNode",
    },
    "method replaced": {
        "__class__": "IsotonicRegression",
        "__module__": "sklearn.isotonic",
        "__loader__": "ObjectNode",
        "content": {
            "__class__": "dict",
            "__module__": "builtins",
            "__loader__": "DictNode",
            "content": {
                "_build_f": {
                    "__class__": "log1p",
                    "__module__": "numpy",
                    "__loader__": "FunctionNode",
                }
            },
        },
    },
    "unknown loader": {"__class__": "a", "__module__": "b", "__loader__": "EvilNode"},
    "bit generator": {
        "__class__": "Generator",
        "__module__": "numpy.random._generator",
        "__loader__": "RandomGeneratorNode",
        "content": {"bit_generator": {"content": {"bit_generator": {"content": '"seed"'}}}},
    },
}


@pytest.mark.parametrize("name", NODES)
def test_hostile_skops_node_is_flagged(name: str, tmp_path: Path) -> None:
    """A node that names something else than honest files do is never clean, wherever it stands."""

    def change(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["verbose"] = NODES[name]

    assert skops_file(tmp_path, nothing).verdict == "clean"
    assert skops_file(tmp_path, change).verdict != "clean"


@pytest.mark.parametrize(
    "member",
    ["extra.bin", "../escape.npy", "/absolute.npy", "a\\..\\b.npy", "model.pkl", "C:\\x.npy"],
)
def test_skops_member_without_a_node_is_hostile(member: str, tmp_path: Path) -> None:
    """A member that the schema does not refer to, or whose path leaves the archive, is refused."""
    result = skops_file(tmp_path, nothing, {member: PROBES["os.system"]})
    assert result.verdict == "hostile"
    assert any(member.replace("\\", "/") in name.replace("\\", "/") for name, _ in result.dangerous)


def test_skops_member_that_is_a_pickle_is_hostile(tmp_path: Path) -> None:
    """The pickle that old skops versions fell back to is refused though a node refers to it."""

    def change(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["verbose"] = {
            "__class__": "ndarray",
            "__module__": "numpy",
            "__loader__": "NdArrayNode",
            "type": "numpy",
            "file": "a.npy",
        }

    result = skops_file(tmp_path, change, {"a.npy": PROBES["os.system"]})
    assert result.verdict == "hostile"


def test_skops_array_of_objects_is_refused(tmp_path: Path) -> None:
    """An array file of Python objects holds a pickle."""

    def change(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["verbose"] = {
            "__class__": "ndarray",
            "__module__": "numpy",
            "__loader__": "NdArrayNode",
            "type": "numpy",
            "file": "a.npy",
        }

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert skops_file(tmp_path, change, {"a.npy": buffer.getvalue()}).verdict == "unreadable"


@pytest.fixture(scope="module")
def honest() -> dict[str, bytes]:
    """A fitted pipeline in several formats."""
    from afterfit.models.skops_io import skops_io

    x = np.random.default_rng(0).random((20, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, x[:, 0] > 0.5)
    raw = pickle.dumps(model)
    return {"pickle": raw, "zlib": zlib.compress(raw), "skops": skops_io().dumps(model)}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4),
    st.sampled_from(["pickle", "zlib", "skops"]),
)
def test_damaged_file_never_crashes_the_audit(
    honest: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, int]],
    form: str,
) -> None:
    """Whatever is changed, the audit answers, and what it calls clean imports what it saw."""
    data = bytearray(honest[form])
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(data)
    try:
        result = audit(path)
    except AfterfitError:
        return
    if result.verdict == "clean" and form == "pickle":
        with contextlib.suppress(Exception), path.open("rb") as file:
            Guarded(file, result.globals).load()
        assert not Guarded.refused


class Guarded(pickle.Unpickler):
    """A real unpickler that imports only what the audit saw, and remembers the rest."""

    refused: ClassVar[list[str]] = []

    def __init__(self, file: BinaryIO, names: tuple[str, ...]) -> None:
        super().__init__(file)
        self.names = names

    def find_class(self, module: str, name: str) -> Any:
        """Return the global, if the audit saw it."""
        if f"{module}.{name}" not in self.names:
            self.refused.append(f"{module}.{name}")
            raise pickle.UnpicklingError(name)
        return super().find_class(module, name)
