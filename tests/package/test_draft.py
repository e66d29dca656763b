"""Drafting a bundle: equal inputs, equal digest, and nothing of the machine in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterfit.core.bundle import Bundle
from afterfit.errors import ConflictError, UsageError
from afterfit.package.draft import code_finding
from afterfit.package.run import record_draft
from afterfit.records.record import Environment
from afterfit.runtime.predict import load_bundle

Draft = Callable[..., Bundle]
AGAIN = """
import sys
from pathlib import Path
import msgspec
from afterfit.core.bundle import Bundle, Golden, Variant
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Signature
from afterfit.models.code import code_files
from afterfit.package.draft import draft_bundle
source, target = Path(sys.argv[1]), Path(sys.argv[2])
old = Bundle(source)
own = {f"code/{name}": path for name, path in code_files(Path(sys.argv[3])).items()}
new = draft_bundle(
    target, signature=old.signature, fingerprint=old.fingerprint, variant=old.variant,
    golden=old.golden, files={"model/model.onnx": source / "model/model.onnx", **own},
    requirements=(source / "requirements.lock").read_text(encoding="utf-8"),
)
print(new.digest)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A user's package, with what must not ship beside it."""
    folder = tmp_path / "src"
    files = {
        "mypkg/__init__.py": "",
        "mypkg/encoder.py": "NAME = 'é'\n",
        "mypkg/__pycache__/encoder.cpython-311.pyc": "cache",
        ".git/config": "[user]",
        ".env": "TOKEN=hunter2",
        "mypkg/server.key": "hunter2",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_draft_is_a_bundle_that_the_runtime_serves(draft: Draft, tmp_path: Path) -> None:
    """Every byte is named by the manifest, and the golden rows are answered as written."""
    bundle = draft(tmp_path / "bundle")
    assert bundle.verify(bundle.digest) == bundle.digest
    predictor = load_bundle(bundle.folder)
    assert (predictor.golden.outcome, predictor.golden.rows) == ("passed", 64)
    assert list(bundle.manifest.files) == [
        "fingerprint.json",
        "golden.json",
        "model/model.onnx",
        "requirements.lock",
        "signature.json",
        "variant.json",
    ]


def test_equal_inputs_have_one_digest_anywhere(draft: Draft, code: Path, tmp_path: Path) -> None:
    """Another folder, process, umask, locale, hash seed, time zone and user: the same bytes."""
    bundle = draft(tmp_path / "one", code=code)
    other = tmp_path / "deep" / "er" / "two"
    strange = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LC_ALL": "C",
        "TZ": "Pacific/Auckland",
        "PYTHONHASHSEED": "12345",
        "USER": "somebody",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    arguments = [str(bundle.folder), str(other), str(code)]
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, *arguments],
        env=strange,
        umask=0o077,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == bundle.digest
    assert b"".join(p.read_bytes() for p in sorted(other.rglob("*.json"))) == b"".join(
        p.read_bytes() for p in sorted(bundle.folder.rglob("*.json"))
    )


def test_nothing_of_the_machine_is_in_a_bundle(draft: Draft, code: Path, tmp_path: Path) -> None:
    """Neither the folder, nor the host, nor the user stands in any file."""
    bundle = draft(tmp_path / "bundle", code=code)
    everything = b"".join(path.read_bytes() for path in bundle.folder.rglob("*") if path.is_file())
    for word in (str(tmp_path), os.uname().nodename, str(Path.cwd())):
        assert word.encode() not in everything


def test_a_digest_depends_on_every_part(draft: Draft, code: Path, tmp_path: Path) -> None:
    """A threshold, a pin, a byte of the model or of the code: each gives another version."""
    base = draft(tmp_path / "base", code=code)
    signature = msgspec.structs.replace(base.signature, threshold=0.4)
    digests = {
        base.digest,
        draft(tmp_path / "a", code=code, signature=signature).digest,
        draft(tmp_path / "b", code=code, requirements="numpy==2.4.5\n").digest,
        draft(tmp_path / "c", code=code, files={"model/model.onnx": b"other"}).digest,
        draft(tmp_path / "d").digest,
    }
    (code / "mypkg" / "encoder.py").write_text("NAME = 'e'\n")
    digests.add(draft(tmp_path / "e", code=code).digest)
    assert len(digests) == 6


def test_caches_hidden_files_and_secrets_stay_out(draft: Draft, code: Path, tmp_path: Path) -> None:
    """Only the sources ship; the finding names what looked like a secret."""
    bundle = draft(tmp_path / "bundle", code=code)
    shipped = [name for name in bundle.manifest.files if name.startswith("code/")]
    assert shipped == ["code/mypkg/__init__.py", "code/mypkg/encoder.py"]
    finding = code_finding(code)
    assert finding.outcome == "issue"
    assert finding.evidence["files"] == [".env", "mypkg/server.key"]
    assert b"hunter2" not in b"".join(p.read_bytes() for p in bundle.folder.rglob("*.*"))
    assert code_finding(None).outcome == "not_applicable"
    assert code_finding(code / "mypkg" / "__pycache__").outcome == "passed"


def test_a_folder_that_holds_something_is_left_alone(draft: Draft, tmp_path: Path) -> None:
    """Nothing is overwritten, and a failed draft leaves nothing."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    with pytest.raises(ConflictError):
        draft(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a//b", "c:x", "a\\b", "manifest.json", ""]
)
def test_a_file_stays_below_the_bundle(name: str, draft: Draft, tmp_path: Path) -> None:
    """Paths that lead out, or take the bundle's own names, are refused."""
    with pytest.raises(UsageError):
        draft(tmp_path / "bundle", files={"model/model.onnx": b"m", name: b"x"})
    assert not (tmp_path / "bundle").exists()


def test_a_variant_without_its_file_or_code_is_refused(
    draft: Draft, parts: dict[str, Any], tmp_path: Path
) -> None:
    """A bundle that could not be served is not written."""
    with pytest.raises(UsageError, match="not among the files"):
        draft(tmp_path / "bundle", files={"model/other.onnx": b"m"})
    needs_code = msgspec.structs.replace(parts["variant"], code=True)
    with pytest.raises(UsageError, match="needs the user's code"):
        draft(tmp_path / "bundle", variant=needs_code)


def test_the_record_of_a_draft_names_bundle_and_files(draft: Draft, tmp_path: Path) -> None:
    """Digest and sizes, and no destination."""
    bundle = draft(tmp_path / "bundle")
    record = record_draft(bundle, subject="m" * 64, env=Environment(afterfit="0"))
    assert (record.subject, record.bundle, record.destination) == ("m" * 64, bundle.digest, "")
    assert record.files["model/model.onnx"] == (bundle.folder / "model/model.onnx").stat().st_size
