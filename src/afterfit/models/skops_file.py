"""A skops archive, judged by its schema and its members; nothing is loaded.

Source: the node classes of ``skops.io``. All nodes of the schema are visited, wherever they stand;
what each node would import or call is judged with the same table as a pickle.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import defaultdict
from typing import Any

import msgspec

from afterfit.models.allow import methods
from afterfit.models.opcodes import looks_like_pickle, starts_pickle
from afterfit.models.partial_calls import PARTIAL, is_plain_node
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import Global, RefusedError
from afterfit.models.protobuf import leaves_folder

__all__ = ["audit_skops", "checked_members", "read_member"]

MOST_BYTES = 8 << 30
MOST_RATIO = 1100
RATIO_FREE = 256 << 20
NEWEST_PROTOCOL = 2
BIT_GENERATORS = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})
# what skops does with the type that a node names
NODES: dict[str, str] = {
    "JsonNode": "",
    "CachedNode": "",
    "DictNode": "container",
    "DefaultDictNode": "container",
    "ListNode": "container",
    "SetNode": "container",
    "TupleNode": "container",
    "BytesNode": "container",
    "BytearrayNode": "container",
    "SliceNode": "",
    "FunctionNode": "name",
    "TypeNode": "name",
    "ConstructorFromReduceNode": "call",
    "ObjectNode": "new",
    "TreeNode": "call",
    "LossNode": "call",
    "NdArrayNode": "name",
    "MaskedArrayNode": "name",
    "DTypeNode": "name",
    "RandomStateNode": "name",
    "RandomGeneratorNode": "name",
    "SparseMatrixNode": "name",
    "MethodNode": "method",
    "PartialNode": "name",
    "OperatorFuncNode": "name",
}
CONTAINERS = frozenset(
    {f"builtins.{n}" for n in ("dict", "list", "set", "tuple", "frozenset", "bytes", "bytearray")}
    | {"collections.OrderedDict", "collections.defaultdict", "sklearn.utils._bunch.Bunch"}
)
# nodes that make something which could be called
CALLABLE = frozenset(
    {"FunctionNode", "TypeNode", "ObjectNode", "ConstructorFromReduceNode", "MethodNode"}
    | {"PartialNode", "OperatorFuncNode", "LossNode", "TreeNode", "CachedNode"}
)
Node = dict[str, Any]


def audit_skops(data: memoryview, rules: Rules) -> None:
    """Judge an archive; raises RefusedError for one that cannot be followed."""
    with checked_members(data, rules) as archive:
        try:
            schema = json.loads(read_member(archive, "schema.json"))
        except (ValueError, RecursionError) as error:
            raise RefusedError("schema.json is not JSON") from error
        if not isinstance(schema, dict) or "__loader__" not in schema:
            raise RefusedError("schema.json has no root")
        protocol = schema.get("protocol")
        if type(protocol) is not int or not 0 <= protocol <= NEWEST_PROTOCOL:
            raise RefusedError(f"skops protocol {protocol!r} is not known")
        if isinstance(schema.get("_skops_version"), str):
            rules.versions["skops"] = schema["_skops_version"]
        files = _nodes(schema, rules)
        _members(archive, files, rules)


def checked_members(data: memoryview, rules: Rules) -> zipfile.ZipFile:
    """Return the open archive, after its directory was found plain and its sizes bounded.

    Names that leave the folder are written down as dangerous; raises RefusedError for the rest.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise RefusedError(f"the archive is damaged: {error}") from error
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise RefusedError("two members of the archive have the same name")
    total = sum(info.file_size for info in infos)
    if total > MOST_BYTES or (total > RATIO_FREE and total > MOST_RATIO * len(data)):
        raise RefusedError(f"{len(data)} bytes that become {total}: a bomb")
    if any(info.flag_bits & 1 for info in infos):
        raise RefusedError("a member of the archive is encrypted")
    for name in names:
        if leaves_folder(name):
            rules.dangerous[f"member {name}"] = "a path that leaves the archive"
    return archive


def _nodes(schema: Node, rules: Rules) -> set[str]:
    files: set[str] = set()
    by_id: dict[Any, list[Node]] = defaultdict(list)
    partials: list[Node] = []
    waiting: list[Any] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            if "__id__" in value:
                by_id[value["__id__"]].append(value)
            if value.get("__loader__") == "PartialNode":
                partials.append(value)
            elif isinstance(value.get("__loader__"), str):
                _node(value, rules)
                if isinstance(value.get("file"), str):
                    files.add(value["file"])
    for node in partials:
        _partial(node, by_id, rules)
    return files


def _partial(node: Node, by_id: dict[Any, list[Node]], rules: Rules) -> None:
    if is_plain_node(node, by_id):
        rules.globals.add(".".join(PARTIAL))
    else:
        _node(node, rules)


def _node(node: Node, rules: Rules) -> None:
    loader, module, name = node["__loader__"], node.get("__module__"), node.get("__class__")
    if loader not in NODES:
        raise RefusedError(f"{loader} is no node that is known")
    use = NODES[loader]
    if use:
        _judge_type(node, use, module, name, rules)
    if loader == "ObjectNode":
        _state_version(node, rules)
    elif loader == "RandomGeneratorNode":
        _bit_generator(node)
    elif loader == "FunctionNode" and isinstance(node.get("content"), dict):
        _old_function(node["content"], rules)


def _judge_type(node: Node, use: str, module: object, name: object, rules: Rules) -> None:
    if not isinstance(module, str) or not isinstance(name, str) or not module or not name:
        raise RefusedError(f"a {node['__loader__']} without a type")
    if use == "container" and f"{module}.{name}" in CONTAINERS:
        rules.globals.add(f"{module}.{name}")
        return
    found = _imported(module, name, rules)
    if use == "container":
        if found.full not in rules.allow:
            rules.condemn(found, "used as a container")
    elif use == "method":
        content = node.get("content")
        function = content.get("func") if isinstance(content, dict) else ""
        rules.condemn(Global(found.full, str(function)), "a bound method")
    else:
        rules.require(found, use, "made by skops")


def _old_function(content: Node, rules: Rules) -> None:
    module, name = content.get("module_path"), content.get("function")
    if not isinstance(module, str) or not isinstance(name, str):
        raise RefusedError("a function without a name")
    _imported(module, name, rules)


def _imported(module: str, name: str, rules: Rules) -> Global:
    """Return a name that skops imports by itself; those that only a call could excuse are none."""
    found = rules.imported(module, name)
    rules.sighted(found)
    return found


def _state_version(node: Node, rules: Rules) -> None:
    content = node.get("content")
    state = content.get("content") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        return
    for key, value in state.items():
        full = f"{node['__module__']}.{node['__class__']}:{key}"
        loader = value.get("__loader__") if isinstance(value, dict) else ""
        replaces = loader in CALLABLE and key in methods() and full not in methods()
        text = key == "__doc__" and loader == "JsonNode"
        if replaces or (key.startswith("__") and key.endswith("__") and not text):
            rules.dangerous[full] = "a state that replaces a method of its object"
    version = state.get("_sklearn_version")
    if isinstance(version, dict) and isinstance(version.get("content"), str):
        rules.versions.setdefault("scikit-learn", version["content"].strip('"'))


def _bit_generator(node: Node) -> None:
    try:
        text = node["content"]["bit_generator"]["content"]["bit_generator"]["content"]
        name = msgspec.json.decode(text)
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise RefusedError("a random generator without a name") from error
    if name not in BIT_GENERATORS:
        raise RefusedError("a random generator that numpy does not have")


def _members(archive: zipfile.ZipFile, files: set[str], rules: Rules) -> None:
    names = set(archive.namelist()) - {"schema.json"}
    for name in sorted(files - names):
        raise RefusedError(f"the member {name} is missing")
    for name in sorted(names - files):
        rules.dangerous[f"member {name}"] = "no node of the schema refers to it"
    for name in sorted(names):
        content = memoryview(read_member(archive, name))
        if bytes(content[:6]) == b"\x93NUMPY":
            _plain_array(content, name)
        elif bytes(content[:2]) == b"PK":
            _sparse(content, name, rules)
        elif looks_like_pickle(content) or (name.endswith((".pkl", ".joblib")) and content):
            rules.dangerous[f"member {name}"] = "a pickle inside of the archive"
        elif name.endswith((".npy", ".npz")):
            if starts_pickle(content):
                rules.dangerous[f"member {name}"] = "a pickle inside of the archive"
            raise RefusedError(f"the member {name} is no array")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of a member; raises RefusedError where it is damaged."""
    try:
        return archive.read(name)
    except Exception as error:
        raise RefusedError(f"the member {name} is damaged: {error}") from error


def _plain_array(content: memoryview, name: str) -> None:
    head = bytes(content[:HEADER])
    if b"'descr'" not in head or b"O'" in head.split(b"'fortran_order'")[0]:
        raise RefusedError(f"the array {name} holds Python objects")


HEADER = 4096


def _sparse(content: memoryview, name: str, rules: Rules) -> None:
    with checked_members(content, rules) as archive:
        for member in archive.namelist():
            inner = memoryview(read_member(archive, member))
            if bytes(inner[:6]) != b"\x93NUMPY":
                raise RefusedError(f"the member {name} holds something that is no array")
            _plain_array(inner, f"{name}:{member}")
