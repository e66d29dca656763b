"""The YAML of MLflow and DVC is read as everybody else reads it, and other YAML is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.optional import optional

from afterfit.errors import InputError
from afterfit.registry.lineage.block_yaml import read_yaml

yaml = optional("yaml", "dev")

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=90)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), WORDS,
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["a\nb", "null", "01", "-"]),
)  # fmt: skip
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_./-]{0,20}", fullmatch=True)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=20)
@given(st.dictionaries(KEYS, DOCUMENTS, max_size=5))
def test_what_a_dumper_writes_is_read_or_refused(document: dict[str, object]) -> None:
    """Never as something else: an equal document, or an error that names the line."""
    text = yaml.safe_dump(document, default_flow_style=False, allow_unicode=True)
    try:
        found = read_yaml(text, "f.yaml")
    except InputError:
        return
    assert found == yaml.safe_load(text)


def test_what_mlflow_writes_is_read() -> None:
    """Long signatures in quotation marks over lines, lists level with their key, nulls."""
    text = (
        "artifact_path: model\nflavors:\n  python_function:\n    code: null\n"
        "    env:\n      conda: conda.yaml\n    python_version: 3.11.7\n"
        "  lightgbm:\n    trusted:\n    - lightgbm.basic.Booster\n    - 'collections.OrderedDict'\n"
        'signature:\n  inputs: \'[{"type": "long", "name": "age"},\n    {"type": "double"}]\'\n'
        "  empty: []\nsize: 1300\ntime: '2026-11-27 04:57:57'  # a remark\n"
    )
    found = read_yaml(text, "MLmodel")
    assert found == yaml.safe_load(text)
    assert found["signature"]["inputs"] == '[{"type": "long", "name": "age"}, {"type": "double"}]'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: &x 1\n", 1),
        ("a: 1\nb: *x\n", 2),
        ("a: !!python/object:os.system x\n", 1),
        ("a: |\n  text\n", 1),
        ("a: [1, 2]\n", 1),
        ("a: 1\na: 2\n", 2),
        ("a: 'open\n", 1),
        ("a:\n\tb: 1\n", 2),
        ("a: 1\n  b: 2\n", 1),
        ("- 1\nb: 2\n", 2),
        ('a: "\\q"\n', 2),
        ("a: 1\n---\nb: 1\n", 2),
    ],
)
def test_other_yaml_is_refused_by_its_line(text: str, line: int) -> None:
    """Rather than read as something that it may not mean."""
    with pytest.raises(InputError) as caught:
        read_yaml(text, "f.yaml")
    assert caught.value.where == f"f.yaml:{line}"


def test_deep_nesting_is_refused() -> None:
    """A file cannot exhaust the stack."""
    text = "".join("  " * depth + "a:\n" for depth in range(3000))
    with pytest.raises(InputError, match="too deeply"):
        read_yaml(text, "f.yaml")
