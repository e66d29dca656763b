"""Archives of PyTorch, judged by their members; nothing is loaded, and PyTorch is not imported.

A ``torch.export`` archive looks like data and is not: sizes are expressions that sympy evaluates,
names become Python source that is executed, operators are looked up by attribute, and guards are
source outright. So every text of it has a shape that can be none of that, or it is refused. A
TorchScript archive holds source of its own language, whose operators can write and read files.

Source: ``torch._export.serde`` and ``torch.export.pt2_archive`` of PyTorch 2.13; the schemas of
``torch._C._jit_get_all_schemas()``.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from afterfit.models.opcodes import follow
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import RefusedError
from afterfit.models.skops_file import checked_members, read_member

__all__ = ["audit_export", "audit_script", "program_of", "repacked", "rewritten"]

MOST_TEXT = 64 << 20
"""Bytes of JSON or source that are read of one member."""

MOST_PACKED = 256 << 20
"""Bytes that all compressed members become: weights are never compressed."""

FILE = "reads or writes files"
_FILE_OPERATORS = frozenset({"save", "from_file", "load_tensor", "load_library"})
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.(?P<name>\w+)(\.\w+)?"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_"
    r"|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|max|min|not|sum|ite)",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z0-9_.]*", re.ASCII)
_EXPRESSION = re.compile(
    r"(\b(?:Symbol|Integer|Add|Mul|Pow|Max|Min|FloorDiv|CeilToInt|CleanDiv|Mod|PythonMod|True|False"
    r"|integer|positive|nonnegative|negative|zero|[su]\d+)\b|'[su]\d+'|\d+|[(),=\s*+-])*",
    re.ASCII,
)
_FREE_TEXT = frozenset({"as_string", "as_strings", "torch_version"})
_TREES = frozenset({"in_spec", "out_spec"})
_TREE_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})
_DROPPED = frozenset({"metadata", "guards_code"})
"""Read by people and by checks that are done otherwise here; a program is loaded without them."""

_MEMBER = re.compile(
    r"(archive_format|archive_version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|models/\w+\.json|data/(weights/weight_\d+|constants/tensor_\d+)"
    r"|data/(weights/\w+_weights_config|constants/\w+_constants_config)\.json"
    r"|data/sample_inputs/\w+\.pt|extra/.*)",
    re.ASCII,
)
_SCRIPT_MEMBER = re.compile(
    r"(data\.pkl|constants\.pkl|version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|traced_inputs\.pkl|(data|constants|traced_inputs)/\d+|code/[\w./]+\.py(\.debug_pkl)?|extra/.*)",
    re.ASCII,
)


def audit_export(data: memoryview, rules: Rules) -> None:
    """Judge a ``torch.export`` archive; raises RefusedError for one that cannot be followed."""
    with checked_members(data, rules) as archive:
        members = _members(archive, _MEMBER, rules)
        models = [name for name in members if name.startswith("models/")]
        if len(models) != 1:
            raise RefusedError(f"the archive holds {len(models)} programs, and not one")
        _texts(_json(archive, members[models[0]]), rules)
        for name, member in members.items():
            if name.endswith("_config.json"):
                _payloads(archive, name, _json(archive, member), members, rules)
        # sample inputs, a pickle, are never loaded: `rewritten` leaves them out


def audit_script(data: memoryview, rules: Rules) -> None:
    """Judge a TorchScript archive; raises RefusedError for one that cannot be followed."""
    rules.torch = True
    with checked_members(data, rules) as archive:
        for name, member in sorted(_members(archive, _SCRIPT_MEMBER, rules).items()):
            if name.endswith(".pkl"):
                follow(memoryview(read_member(archive, member)), rules)
            elif name.endswith(".py"):
                _source(_text(archive, member), name, rules)
    # classes of the archive's own source, which torch.jit interprets
    rules.unknown -= {n for n in rules.unknown if n.startswith("__torch__.") and not _is_plugins(n)}
    rules.note("holds TorchScript code, which torch.jit runs without Python")


def program_of(data: bytes) -> dict[str, Any]:
    """Return the program of an archive that was audited."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if "/models/" in n and n.endswith(".json"))
        found: dict[str, Any] = json.loads(archive.read(name))
        return found


def rewritten(data: bytes) -> bytes:
    """Return an archive that was audited without what loading would only run or unpickle.

    Left out are the guards, the stack traces and the sample inputs; equal programs give equal
    bytes, with no path of the machine that exported them.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as out:
        for name in sorted(archive.namelist()):
            _, _, inner = name.partition("/")
            content = archive.read(name)
            if inner.startswith("data/sample_inputs/"):
                content = b""
            elif inner.startswith("models/"):
                content = json.dumps(_without(json.loads(content)), sort_keys=True).encode()
            elif inner.startswith(("extra/", ".data/serialization_id")):
                continue
            entry = zipfile.ZipInfo(f"archive/{inner}", date_time=(1980, 1, 1, 0, 0, 0))
            out.writestr(entry, content)
    return target.getvalue()


def repacked(data: bytes) -> bytes:
    """Return the members of an archive that was audited, in an archive of one plain directory.

    PyTorch reads archives by its own rules: of these there is but one reading.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as out:
        for name in archive.namelist():
            if not name.endswith("/"):
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                out.writestr(entry, archive.read(name))
    return target.getvalue()


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without(each) for key, each in value.items() if key not in _DROPPED}
    empty: dict[str, Any] = {"metadata": {}, "guards_code": []}
    return kept | {key: each for key, each in empty.items() if key in value}


def _members(archive: zipfile.ZipFile, known: re.Pattern[str], rules: Rules) -> dict[str, str]:
    """Return inner name to member; one that is not known is written down as dangerous."""
    found: dict[str, str] = {}
    packed = sum(i.file_size for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED)
    if packed > MOST_PACKED:
        raise RefusedError(f"compressed members of {packed} bytes: PyTorch compresses text alone")
    roots = {name.partition("/")[0] for name in archive.namelist()}
    if len(roots) != 1:
        raise RefusedError("the archive has more than one folder")
    for name in archive.namelist():
        inner = name.partition("/")[2]
        if known.fullmatch(inner):
            found[inner] = name
        elif inner:
            rules.dangerous[f"member {inner}"] = "no part of an archive of weights and operators"
    return found


def _text(archive: zipfile.ZipFile, member: str) -> str:
    if archive.getinfo(member).file_size > MOST_TEXT:
        raise RefusedError(f"the member {member} is larger than any honest one")
    try:
        return read_member(archive, member).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"the member {member} is no text") from error


def _json(archive: zipfile.ZipFile, member: str) -> Any:
    try:
        return json.loads(_text(archive, member))
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"the member {member} is not JSON") from error


def _texts(root: Any, rules: Rules) -> None:
    """Judge every text of a program, wherever it stands."""
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            for name, each in value.items():
                if name in {"as_custom_obj", "custom_obj_values"} and each:
                    rules.dangerous[name] = "an object that only its own pickle describes"
                if not _NAME.fullmatch(name):
                    raise RefusedError(f"a program with the key {name[:60]!r}")
                if name not in _DROPPED:
                    waiting.append((name, each))
        elif isinstance(value, list):
            waiting.extend((key, each) for each in value)
        elif isinstance(value, str):
            _judge(key, value, rules)


def _judge(key: str, text: str, rules: Rules) -> None:
    if key in _FREE_TEXT:
        return
    if key in {"target", "as_operator"}:
        _operator(text, rules)
    elif key == "expr_str":
        if not _EXPRESSION.fullmatch(text):
            rules.dangerous[f"expression {text[:60]}"] = "runs as Python when it is read"
    elif key in _TREES:
        _tree(text)
    elif not _NAME.fullmatch(text):
        rules.dangerous[f"{key} {text[:60]}"] = "a name that would become Python source"


def _operator(text: str, rules: Rules) -> None:
    found = _OPERATOR.fullmatch(text)
    rules.globals.add(text[:200])
    if found is None:
        rules.unknown |= {text[:200]} - rules.allow
        if not text.startswith("torch.ops."):
            rules.dangerous[text[:200]] = "no operator: any attribute of PyTorch could be called"
    elif found["name"] in _FILE_OPERATORS:
        rules.dangerous[text] = FILE


def _tree(text: str) -> None:
    """Do nothing for tuples, lists and dicts of tensors; raises RefusedError."""
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError) as error:
        raise RefusedError("the form of an input is not JSON") from error
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            if node.get("type") not in _TREE_TYPES:
                raise RefusedError(f"an input of the type {str(node.get('type'))[:60]}")
            if "__" in str(node.get("context")):
                raise RefusedError("an input whose form names a class")
            waiting.append(node.get("children_spec"))


def _payloads(
    archive: zipfile.ZipFile,
    name: str,
    config: Any,
    members: dict[str, str],
    rules: Rules,
) -> None:
    """Judge where the weights are: plain bytes, all there, and as large as they say."""
    folder = name.rpartition("/")[0]
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise RefusedError(f"the member {name} has no weights")
    for weight, entry in entries.items():
        path = f"{folder}/{entry.get('path_name')}" if isinstance(entry, dict) else ""
        if not _NAME.fullmatch(weight) or path not in members:
            raise RefusedError(f"the weight {weight[:60]} is missing")
        if entry.get("use_pickle") is not False:
            rules.dangerous[f"weight {weight}"] = "a pickle inside of the archive"
        meta = entry.get("tensor_meta")
        sizes = [each.get("as_int") for each in (meta or {}).get("sizes", [])]
        if not all(type(size) is int and size >= 0 for size in sizes):
            raise RefusedError(f"the weight {weight[:60]} has no plain size")
        if archive.getinfo(members[path]).file_size == 0 and 0 not in sizes:
            raise RefusedError(f"the weight {weight[:60]} has no bytes")


def _source(text: str, name: str, rules: Rules) -> None:
    """Judge TorchScript, which is written as Python is."""
    if not text.isascii():
        raise RefusedError(f"the source {name} is not ASCII")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedError(f"the source {name} cannot be read") from error
    for operator in _used(tree):
        last = operator.rpartition(".")[2]
        if last in _FILE_OPERATORS:
            rules.dangerous[operator] = FILE
        elif _is_plugins(operator):
            rules.unknown |= {operator} - rules.allow


_SCRIPT_OPERATORS = frozenset({"aten", "prim", "prims", "quantized"})


def _is_plugins(operator: str) -> bool:
    """Return whether an operator or class comes from a library that was loaded into PyTorch."""
    if operator.startswith("ops."):
        return operator.split(".")[1] not in _SCRIPT_OPERATORS
    return operator.startswith(("__torch__.torch.classes.", "torch.classes."))


def _used(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names and the attributes that are looked up by text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node) if _plain(node) else node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "getattr":
                yield from (a.value for a in node.args if _is_text(a))  # type: ignore[attr-defined]
        elif isinstance(node, ast.alias):
            yield node.name


def _plain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
