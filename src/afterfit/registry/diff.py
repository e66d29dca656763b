"""What changes between two versions: for callers, in the bytes, and in what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, TypeVar

import msgspec

from afterfit.core.bundle import Manifest, Variant
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.metric import Metric, find
from afterfit.core.signature import Column, Signature
from afterfit.errors import RESTORE, AfterfitError, IntegrityError
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.registry.version import Version
from afterfit.store.blobs import BlobStore

T = TypeVar("T", Signature, Variant, Fingerprint)
LOCK = "requirements.lock"
_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE
)
FileState = Literal["added", "removed", "changed"]


class RecordReader(Protocol):
    """Something that returns a record by its digest; the workspace's record store is one."""

    def get(self, digest: str) -> Stored:
        """Return the record; raises NotFoundError or IntegrityError."""
        ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference of the signature or the variant: ``where`` is ``columns.age.kind``.

    ``breaking`` means that a request which was right before is refused or means something else.
    """

    where: str
    old: str
    new: str
    breaking: bool = False
    why: str = ""


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle that differs; sizes in bytes, None where it is not there."""

    path: str
    state: FileState
    old_size: int | None = None
    new_size: int | None = None


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of both versions, each with its interval; None where one has not measured it.

    ``paired`` is False: the numbers stand side by side, and no test of their difference was made.
    """

    step: str
    name: str
    scope: str
    old: Metric | None
    new: Metric | None
    paired: bool = False


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changes from ``old`` to ``new``; ``skipped`` says what could not be compared.

    ``dependencies`` are the locked libraries, which with ``files`` are the bill of materials;
    ``settings`` those that a load test served with; ``sizes`` the bytes of both bundles.
    """

    old: Version
    new: Version
    signature: tuple[Change, ...] = ()
    variant: tuple[Change, ...] = ()
    files: tuple[FileChange, ...] = ()
    dependencies: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    sizes: tuple[int, int] = (0, 0)
    metrics: tuple[MetricChange, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that callers must know of before."""
        return tuple(change for change in self.signature if change.breaking)

    @property
    def same_bytes(self) -> bool:
        """Whether both are the same bundle."""
        return self.old.digest == self.new.digest


def compare(
    blobs: BlobStore, old: Version, new: Version, records: RecordReader | None
) -> VersionDiff:
    """Return what changes from ``old`` to ``new``; raises IntegrityError for unreadable bundles."""
    before, after = blobs.manifest(old.digest), blobs.manifest(new.digest)
    metrics, skipped = _metrics(old, new, records)
    return VersionDiff(
        old=old,
        new=new,
        signature=tuple(
            signature_changes(
                _read(blobs, before, "signature.json", Signature),
                _read(blobs, after, "signature.json", Signature),
            )
        ),
        variant=tuple(
            _fields(
                _read(blobs, before, "variant.json", Variant),
                _read(blobs, after, "variant.json", Variant),
            )
        ),
        files=tuple(file_changes(before, after)),
        dependencies=tuple(_pairs(_locked(blobs, before), _locked(blobs, after))),
        settings=tuple(_pairs(_settings(old, records), _settings(new, records))),
        sizes=(_size(before), _size(after)),
        metrics=metrics,
        skipped=skipped,
    )


def file_changes(old: Manifest, new: Manifest) -> Iterator[FileChange]:
    """Yield the files that differ, sorted by path."""
    for path in sorted(old.files.keys() | new.files.keys()):
        before, after = old.files.get(path), new.files.get(path)
        if before == after:
            continue
        state: FileState = "added" if before is None else "removed" if after is None else "changed"
        yield FileChange(
            path=path,
            state=state,
            old_size=before.size if before else None,
            new_size=after.size if after else None,
        )


def signature_changes(old: Signature, new: Signature) -> Iterator[Change]:
    """Yield the differences that a caller can see, each breaking or not."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    for name in [*before, *(name for name in after if name not in before)]:
        yield from _column_changes(name, before.get(name), after.get(name))
    if old.names != new.names and sorted(old.names) == sorted(new.names):
        yield Change(
            where="columns",
            old=", ".join(old.names),
            new=", ".join(new.names),
            why="the order changed; requests name their columns",
        )
    yield from _output_changes(old, new)


def _column_changes(name: str, old: Column | None, new: Column | None) -> Iterator[Change]:
    where = f"columns.{name}"
    if old is None and new is not None:
        why = "requests without it count it as missing" if new.nullable else "requests must send it"
        yield Change(where=where, old="", new=new.kind, breaking=not new.nullable, why=why)
    elif new is None and old is not None:
        why = "requests must not send it any more"
        yield Change(where=where, old=old.kind, new="", breaking=True, why=why)
    elif old is not None and new is not None:
        yield from _same_column(where, old, new)


def _same_column(where: str, old: Column, new: Column) -> Iterator[Change]:
    if old.kind != new.kind:
        wider = (old.kind, new.kind) in {("integer", "number"), ("category", "text")}
        yield Change(
            where=f"{where}.kind",
            old=old.kind,
            new=new.kind,
            breaking=not wider,
            why="every old value is still one" if wider else "old values are refused",
        )
    if old.nullable != new.nullable:
        yield Change(
            where=f"{where}.nullable",
            old=str(old.nullable).lower(),
            new=str(new.nullable).lower(),
            breaking=old.nullable,
            why="missing values are refused" if old.nullable else "",
        )
    if old.shape != new.shape:
        yield Change(where=f"{where}.shape", old=str(old.shape), new=str(new.shape), breaking=True)
    gone = sorted(set(old.categories) - set(new.categories))
    come = sorted(set(new.categories) - set(old.categories))
    if gone or come:
        yield Change(
            where=f"{where}.categories",
            old=_some(gone),
            new=_some(come),
            why="removed on the left, added on the right; unknown ones are flagged",
        )
    if (old.low, old.high) != (new.low, new.high):
        yield Change(
            where=f"{where}.range",
            old=_range(old),
            new=_range(new),
            why="values outside are flagged",
        )


def _output_changes(old: Signature, new: Signature) -> Iterator[Change]:
    reasons = {
        "task": (True, "answers have another form"),
        "classes": (True, "answers have other labels"),
        "positive": (True, "the score means another class"),
        "threshold": (False, "scores near it change their label"),
        "probabilities": (True, "answers have another form"),
        "target": (False, ""),
    }
    for name, (breaking, why) in reasons.items():
        before, after = getattr(old, name), getattr(new, name)
        # True and 1 are equal to Python and different words to a person.
        if repr(before) != repr(after):
            yield Change(where=name, old=repr(before), new=repr(after), breaking=breaking, why=why)


def _fields(old: Variant, new: Variant) -> Iterator[Change]:
    for name in Variant.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(where=name, old=_text(before), new=_text(after))


def _pairs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yield what differs, by name; empty where one side has none."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            yield Change(where=name, old=before, new=after)


def _locked(blobs: BlobStore, manifest: Manifest) -> dict[str, str]:
    """Return the versions that the bundle's lock pins, by the name of the library."""
    entry = manifest.files.get(LOCK)
    if entry is None:
        return {}
    text = blobs.read(entry.sha256).decode(errors="replace")
    return {match["name"].lower(): match["version"] for match in _PIN.finditer(text)}


def _settings(version: Version, records: RecordReader | None) -> dict[str, str]:
    """Return what its load test served with; nothing where there is none that can be read."""
    digest = version.evidence.get("loadtest")
    if records is None or digest is None:
        return {}
    try:
        body = records.get(digest).body
    except AfterfitError:
        return {}  # said already of its metrics
    if not isinstance(body, LoadtestRecord):
        return {}
    found: dict[str, object] = {**body.settings}
    if body.chosen is not None:
        found |= msgspec.to_builtins(body.chosen)
    return {name: str(value) for name, value in found.items() if value and name != "source"}


def _size(manifest: Manifest) -> int:
    return sum(file.size for file in manifest.files.values())


def _metrics(
    old: Version, new: Version, records: RecordReader | None
) -> tuple[tuple[MetricChange, ...], tuple[str, ...]]:
    if records is None:
        return (), ("metrics: no records were given",)
    changes: list[MetricChange] = []
    skipped: list[str] = []
    for step in sorted(old.evidence.keys() | new.evidence.keys()):
        before, after = (_evidence(v, step, records, skipped) for v in (old, new))
        keys = dict.fromkeys((m.name, m.scope) for m in (*before, *after))
        changes += [
            MetricChange(
                step=step,
                name=name,
                scope=scope,
                old=find(before, name, scope),
                new=find(after, name, scope),
            )
            for name, scope in keys
        ]
    return tuple(changes), tuple(skipped)


def _evidence(
    version: Version, step: str, records: RecordReader, skipped: list[str]
) -> tuple[Metric, ...]:
    digest = version.evidence.get(step)
    if digest is None:
        skipped.append(f"{step}: {version.name}@{version.number} has no such record")
        return ()
    try:
        return records.get(digest).body.metrics
    except AfterfitError as error:
        skipped.append(f"{step}: {error.message} ({version.name}@{version.number})")
        return ()


def _read(blobs: BlobStore, manifest: Manifest, name: str, kind: type[T]) -> T:
    entry = manifest.files.get(name)
    if entry is None:
        raise IntegrityError(f"the bundle has no {name}", why="every bundle has one", fix=RESTORE)
    try:
        return msgspec.json.decode(blobs.read(entry.sha256), type=kind)
    except msgspec.MsgspecError as error:
        where = str(blobs.path(entry.sha256))
        raise IntegrityError(
            f"{name} cannot be read", where=where, why=str(error), fix=RESTORE
        ) from None


def _some(values: list[str]) -> str:
    return ", ".join(values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")


def _range(column: Column) -> str:
    low, high = ("-" if each is None else f"{each:g}" for each in (column.low, column.high))
    return f"{low} to {high}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
