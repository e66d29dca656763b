"""The exact names that an honest model file may import, and the names known to be dangerous.

``allow.txt`` is written by ``tools/make_allow_list.py``: one ``module name uses`` a line, where
uses are ``name`` (may be referred to), ``new`` (instantiated through ``__new__``), ``call``
(called) and ``fill`` (items put into its instances). Nothing matches by prefix.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["Uses", "allowed_uses", "danger", "methods", "table"]

Uses = frozenset[str]

SHELL = "runs commands or replaces the process"
CODE = "runs code given as text or bytes"
IMPORT = "imports or runs any module"
ATTRIBUTE = "reaches any attribute of anything"
FILES = "reads, writes or deletes files"
NETWORK = "talks to the network"
LOADS = "loads another file or pickle, which was not audited"
NATIVE = "loads native code or touches memory"
CALLER = "calls whatever it is given"
BUILT_IN = "a built-in that honest models do not need"

_MODULES = {
    SHELL: "os posix nt posixpath ntpath subprocess _posixsubprocess commands popen2 pty "
    "multiprocessing _multiprocessing concurrent asyncio signal _winapi winreg msvcrt "
    "psutil pexpect sh distutils setuptools pip _distutils_hack ensurepip venv "
    "joblib.externals platform",
    CODE: "code codeop pdb bdb timeit _timeit cProfile profile trace doctest pydoc idlelib "
    "lib2to3 unittest IPython ast compileall py_compile numexpr numpy.testing "
    "numpy.f2py numpy.distutils numpy.ctypeslib torch.utils torch._dynamo "
    "torch._inductor torch.jit torch.testing",
    IMPORT: "importlib imp _imp runpy zipimport pkgutil pkg_resources site",
    ATTRIBUTE: "sys inspect gc types _operator operator typing _frozen_importlib",
    FILES: "shutil io _io _pyio pathlib tempfile glob fileinput tarfile zipfile sqlite3 dbm "
    "shelve linecache logging mmap fcntl codecs _codecs h5py",
    NETWORK: "socket _socket ssl http httplib urllib urllib2 urllib3 requests httpx aiohttp "
    "ftplib smtplib poplib imaplib telnetlib xmlrpc socketserver webbrowser antigravity "
    "fsspec s3fs",
    LOADS: "pickle _pickle cPickle copy_reg copyreg dill cloudpickle marshal _marshal joblib "
    "skops mlflow torch.hub torch.serialization torch.package keras tensorflow yaml "
    "pandas.io numpy.lib scipy.io sklearn.datasets",
    NATIVE: "ctypes _ctypes cffi _cffi_backend",
    CALLER: "functools _functools itertools threading _thread atexit sched queue",
    BUILT_IN: "builtins __builtin__",
}
MODULES: dict[str, str] = {
    name: reason for reason, names in _MODULES.items() for name in names.split()
}
_NUMPY = {
    LOADS: "load save savez fromfile memmap loadtxt savetxt genfromtxt fromregex",
    CALLER: "vectorize apply_along_axis frompyfunc fromfunction",
}
NAMES: dict[tuple[str, str], str] = {
    **{("numpy", name): reason for reason, names in _NUMPY.items() for name in names.split()},
    ("sklearn.utils._mocking", "CheckingClassifier"): CALLER,
}
PREFIXES: tuple[tuple[str, str, str], ...] = (
    ("pandas", "read_", LOADS),
    ("pandas", "to_", FILES),
    ("pandas.core.computation", "", CODE),
    ("scipy.stats._continuous_distns", "", "runs code that its state holds as text"),
    ("scipy.stats._discrete_distns", "", "runs code that its state holds as text"),
    ("scipy.stats._distn_infrastructure", "", "runs code that its state holds as text"),
)
REACHING = ("__builtins__", "__globals__", "__subclasses__", "__dict__", "__class__", "__code__")


@cache
def table() -> dict[tuple[str, str], Uses]:
    """Return what may be done with each allowed (module, name)."""
    lines = Path(__file__).with_name("allow.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return {(module, name): frozenset(uses.split(",")) for module, name, uses in rows}


@cache
def methods() -> frozenset[str]:
    """Return the names of methods that no state of an object may put a callable under.

    ``module.Class:name`` is an attribute of that class which honest files fill in.
    """
    return frozenset(Path(__file__).with_name("methods.txt").read_text("utf-8").splitlines())


_TENSORS = "Float Double Half BFloat16 Long Int Short Char Byte Bool"
TORCH: dict[tuple[str, str], Uses] = {
    **{
        ("torch._utils", name): frozenset({"name", "call"})
        for name in ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_qtensor")
    },
    **{("torch", f"{kind}Storage"): frozenset({"name"}) for kind in _TENSORS.split()},
    ("torch.storage", "UntypedStorage"): frozenset({"name"}),
    ("torch", "Size"): frozenset({"name", "call"}),
    ("torch", "device"): frozenset({"name", "call"}),
    # PyTorch's own reader of TorchScript makes lists of these; it imports nothing.
    **{
        ("torch.jit._pickle", f"build_{kind}list"): frozenset({"name", "call"})
        for kind in ("bool", "double", "int", "tensor")
    },
    ("torch.jit._pickle", "restore_type_tag"): frozenset({"name", "call"}),
    ("torch.jit._pickle", "build_tensor_from_id"): frozenset({"name", "call"}),
}


def allowed_uses(module: str, name: str, *, torch: bool = False) -> Uses | None:
    """Return what may be done with the exact pair, or None where it is not known."""
    found = table().get((module, name))
    return TORCH.get((module, name)) if found is None and torch else found


def danger(module: str, name: str) -> str:
    """Return why a name is known to be dangerous, or an empty text."""
    if (module, name) in NAMES:
        return NAMES[(module, name)]
    if any(part in REACHING for part in f"{module}.{name}".split(".")):
        return ATTRIBUTE
    for prefix, start, reason in PREFIXES:
        if module == prefix and name.startswith(start):
            return reason
    parts = f"{module}.{name}".split(".")
    for length in range(len(parts) - 1, 0, -1):
        reason = MODULES.get(".".join(parts[:length]), "")
        if reason:
            return reason
    # a name such as ``numpy.os.system`` passes through a module that has its own entry
    through = [
        part for part in parts[1:] if part in ("os", "sys", "subprocess", "builtins", "importlib")
    ]
    return MODULES[through[0]] if through else ""
