"""Wheels in a folder: what a server imports, from wheels that are whole and stay inside."""

from __future__ import annotations

import marshal
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from tests.package.oci.conftest import MODULE, write_wheel

from afterfit.errors import InputError, ResourceError
from afterfit.package.oci import install as installing
from afterfit.package.oci.install import compile_all, install, serves


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A zip of just these files."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, body in files.items():
            archive.writestr(each, body)
    return path


def names(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil.py", "a/../../evil.py", "a\\..\\evil.py", "."]
)
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    """A path that leads out is refused, and what it names is not there."""
    made = wheel(tmp_path / "w", "evil", {name: b"x"})
    with pytest.raises(InputError, match="outside"):
        install([made], tmp_path / "lib")
    assert names(tmp_path) == {"w/evil-1.0-py3-none-any.whl"}


def test_two_wheels_with_one_file(tmp_path: Path) -> None:
    """Equal bytes are one file; others are refused, and a file where the other has a folder."""
    one = wheel(tmp_path / "w", "one", {"ns/__init__.py": b"", "one.py": b"1"})
    two = wheel(tmp_path / "w", "two", {"ns/__init__.py": b"", "two.py": b"2"})
    install([two, one], tmp_path / "lib")
    assert names(tmp_path / "lib") == {"ns/__init__.py", "one.py", "two.py"}
    other = wheel(tmp_path / "w", "three", {"one.py": b"3"})
    with pytest.raises(InputError, match="two wheels bring the same file"):
        install([one, other], tmp_path / "lib2")
    for name, body in (("four", {"one.py/x.py": b""}), ("five", {"ns": b""})):
        with pytest.raises(InputError, match="a folder of another"):
            install([one, wheel(tmp_path / "z", name, body)], tmp_path / f"lib-{name}")


def test_parts_of_a_wheel(tmp_path: Path) -> None:
    """What is imported is moved to its place; scripts, headers and folders are left out."""
    files = {
        "a-1.0.data/purelib/a/__init__.py": b"",
        "a-1.0.data/platlib/a/core.so": b"",
        "a-1.0.data/scripts/run": b"",
        "a-1.0.data/headers/a.h": b"",
        "a/include/a.h": b"",
        "a/py.typed": b"",
        "a/empty/": b"",
    }
    install([wheel(tmp_path / "w", "a", files)], tmp_path / "lib")
    assert names(tmp_path / "lib") == {"a/__init__.py", "a/core.so", "a/py.typed"}


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("numpy/_core/tests/test_dtype.py", False),
        ("numpy/testing/__init__.py", True),
        ("numpy/f2py/__init__.py", True),
        ("scipy/stats/tests/data.npy", False),
        ("sklearn/tests/test_base.py", False),
        ("acme/tests/__init__.py", True),
        ("onnxruntime/transformers/optimizer.py", False),
        ("onnxruntime/capi/_pybind_state.py", True),
        ("acme/__init__.pyi", False),
        ("acme/core.pxd", False),
        ("numpy-2.4.6.dist-info/METADATA", True),
        ("numpy-2.4.6.dist-info/licenses/LICENSE.txt", True),
        ("tests.py", True),
    ],
)
def test_what_a_server_needs(path: str, *, needed: bool) -> None:
    """Tests of packages that do not import them and tools that build stay out; licences stay."""
    assert serves(PurePosixPath(path)) is needed


@pytest.mark.parametrize("harm", ["cut", "flipped", "encrypted", "none"])
def test_a_broken_wheel(tmp_path: Path, harm: str) -> None:
    """Cut, with a bit turned, with a password, no zip: an error that names the wheel."""
    made = wheel(tmp_path / "w", "a", {"a.py": b"x = 1\n" * 100})
    body = bytearray(made.read_bytes())
    if harm == "cut":
        body = body[:-30]
    elif harm == "flipped":
        body[50] ^= 1
    elif harm == "encrypted":
        body[6] |= 1
        body[body.index(b"PK\x01\x02") + 8] |= 1
    else:
        body = bytearray(b"<html>not found</html>")
    made.write_bytes(body)
    with pytest.raises(InputError, match="a wheel cannot be read") as refused:
        install([made], tmp_path / "lib")
    assert refused.value.where == made.name


def test_bytecode_is_the_same_at_any_place(tmp_path: Path) -> None:
    """In two folders, by one process or several at once; it names the place in the image."""
    for folder, several in (("one", 1), ("deep/two", 4)):
        lib = tmp_path / folder
        write_wheel(tmp_path / f"w{several}", "acme", {"acme/__init__.py": MODULE})
        for name in ("b", "c"):
            write_wheel(tmp_path / f"w{several}", name, {f"{name}.py": MODULE})
        install((tmp_path / f"w{several}").glob("*.whl"), lib)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installing, "usable_cpus", lambda n=several: n)
            compile_all(lib, "/opt/lib")
    one, two = tmp_path / "one", tmp_path / "deep" / "two"
    compiled = sorted(one.rglob("*.pyc"))
    assert len(compiled) == 3
    for path in compiled:
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    (path,) = (one / "acme/__pycache__").glob("*.pyc")
    code = marshal.loads(path.read_bytes()[16:])  # noqa: S302 - compiled a moment ago
    assert code.co_filename == "/opt/lib/acme/__init__.py"


def test_a_module_for_another_python_stays_text(tmp_path: Path) -> None:
    """What cannot be compiled is left as it is; what fails for another reason is told."""
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "old.py").write_bytes(b"print 1\n")
    (lib / "bad.py").write_bytes(b"x = '\xff'\n")
    (lib / "good.py").write_bytes(b"x = 1\n")
    compile_all(lib, "/opt/lib")
    assert [path.name.partition(".")[0] for path in lib.rglob("*.pyc")] == ["good"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "good.py").write_bytes(b"x = 1\n")
    (tmp_path / "full" / "__pycache__").write_bytes(b"in the way")
    with pytest.raises(ResourceError, match=r"good\.py cannot be compiled") as refused:
        compile_all(tmp_path / "full", "/opt/lib")
    assert "Error" in refused.value.why


def test_the_order_of_wheels_does_not_matter(tmp_path: Path) -> None:
    """They are taken by name, however the disk lists them."""
    paths = [wheel(tmp_path / "w", name, {f"{name}.py": b""}) for name in ("b", "a")]
    install(iter(paths), tmp_path / "one")
    install(iter(paths[::-1]), tmp_path / "two")
    assert names(tmp_path / "one") == names(tmp_path / "two") == {"a.py", "b.py"}
