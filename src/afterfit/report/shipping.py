"""The sections of ``inspect``, ``package`` and ``predict``, the signature, and the evidence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from afterfit.core.metric import in_percent
from afterfit.core.signature import Column, Signature
from afterfit.records.codec import Stored
from afterfit.records.inspect import InspectRecord
from afterfit.records.package import PackageRecord
from afterfit.records.predict import PredictRecord
from afterfit.records.record import Environment
from afterfit.report import number
from afterfit.report.page import Block, Cell, Commands, Details, Section, Table
from afterfit.report.parts import STEP_TITLES, code, digest_cell, key_values, rows_of, table, when
from afterfit.report.printable import printable
from afterfit.report.unlike import unlike

MOST_CATEGORIES = 6


def model(record: InspectRecord) -> tuple[Block, ...]:
    """Return what the model is."""
    description = record.description
    saved = ", ".join(f"{name} {version}" for name, version in description.saved_with.items())
    trusted = ", ".join(record.trusted)
    return (
        key_values(
            ("Estimator", description.estimator),
            ("Framework", description.framework),
            ("Format", record.format),
            ("Saved with", saved),
            ("Task", record.signature.task),
            ("Size", number.size(description.size_bytes) if description.size_bytes else ""),
            ("Digest", code(record.subject)),
            ("Names audited", record.audited),
            ("Let in on purpose", Cell(trusted, "warn", code=True) if trusted else "nothing"),
            ("Own classes", code(", ".join(description.custom)) if description.custom else ""),
            ("Evaluation rows", record.n_data or ""),
            ("Training rows", record.n_train or ""),
        ),
    )


def signature_blocks(signature: Signature) -> tuple[Block, ...]:
    """Return the outputs and the columns of a signature."""
    classes = ", ".join(str(label) for label in signature.classes[:20])
    more = f" and {len(signature.classes) - 20} more" if len(signature.classes) > 20 else ""
    positive = "" if signature.positive is None else str(signature.positive)
    threshold = "" if signature.threshold is None else number.plain(signature.threshold)
    if signature.own_labels is True:
        threshold = "none: the model decides each label itself"
    return (
        key_values(
            ("Predicts", code(signature.target)),
            ("Task", signature.task),
            ("Classes", classes + more),
            ("Positive class", positive),
            ("Threshold", threshold),
        ),
        columns_table(signature.columns),
    )


def columns_table(columns: tuple[Column, ...]) -> Table:
    """Return one row a column of the signature."""
    rows = [
        [
            code(column.name),
            column.kind,
            "may be missing" if column.nullable else "required",
            _held(column),
        ]
        for column in columns
    ]
    caption = f"{number.plural(len(columns), 'input column')}"
    return table(("Column", "Kind", "Missing values", "Reference data held"), rows, caption=caption)


def _held(column: Column) -> str:
    if column.categories:
        shown = ", ".join(column.categories[:MOST_CATEGORIES])
        left = len(column.categories) - MOST_CATEGORIES
        return f"{shown} and {number.count(left)} more" if left > 0 else shown
    if column.low is not None and column.high is not None:
        return f"{column.low:.6g} to {column.high:.6g}"
    return ""


def bundle(record: PackageRecord) -> tuple[Block, ...]:
    """Return the bundle's digest and files."""
    total = sum(record.files.values())
    blocks: list[Block] = [
        key_values(
            ("Version digest", code(record.bundle)),
            (
                "Files",
                f"{len(record.files)}, {number.size(total)} together" if record.files else "",
            ),
            ("Destination", record.destination),
        )
    ]
    if record.files:
        rows = [[code(path), number.size(size)] for path, size in sorted(record.files.items())]
        blocks.append(Details("Files", (table(("Path", "Size"), rows, numeric=(1,)),)))
    if record.written:
        written = [[code(path)] for path in record.written]
        blocks.append(table(("Written",), written, caption="Files that were written"))
    return (*blocks, *unlike(record))


def batch(record: PredictRecord) -> tuple[Block, ...]:
    """Return what a batch prediction did."""
    rows = [
        [flag.replace("_", " "), count, in_percent(count / record.rows, 2) if record.rows else None]
        for flag, count in sorted(record.flagged.items())
    ]
    blocks: list[Block] = [
        key_values(
            ("From", code(record.source)), ("Into", code(record.output)), ("Rows", record.rows)
        )
    ]
    if rows:
        blocks.append(
            table(("Flag", "Rows", "Share"), rows, caption="Flagged rows", numeric=(1, 2))
        )
    return tuple(blocks)


def default_commands(name: str, version: int, previous: str) -> Commands:
    """Return the commands to go on with; a name that a shell would take apart is quoted."""
    champion, numbered = (
        shlex.quote(printable(f"{name}@{tail}")) for tail in ("champion", version)
    )
    items = [
        ("Serve what is promoted", f"afterfit serve {champion}"),
        ("Score a file", f"afterfit predict {champion} rows.csv -o scored.csv"),
        ("See this version", f"afterfit version show {numbered}"),
    ]
    if previous:
        items.append(
            (
                "Go back to the version before",
                f"afterfit version rollback {shlex.quote(printable(name))}",
            )
        )
    return Commands(tuple(items))


def evidence(records: Mapping[str, Stored]) -> Section:
    """Return the digests of all records and the machine they were made on."""
    rows = [
        [
            STEP_TITLES.get(step, step),
            digest_cell(stored.digest),
            digest_cell(stored.body.subject),
            stored.body.status,
            when(stored.envelope.created) or None,
            number.seconds(stored.envelope.duration_s) if stored.envelope.duration_s else None,
        ]
        for step, stored in records.items()
    ]
    columns = ("Step", "Record", "Of", "Status", "Made", "Took")
    blocks: list[Block] = [table(columns, rows, caption="Records", numeric=(5,))]
    environments = list(dict.fromkeys(stored.body.env.afterfit for stored in records.values()))
    last = next(reversed(list(records.values())), None)
    if last is not None:
        if any(stored.body.inputs for stored in records.values()):
            blocks.append(_inputs(records))
        blocks.append(_environment(last.body.env, environments))
    return Section("evidence", "Evidence", tuple(blocks))


def _inputs(records: Mapping[str, Stored]) -> Details:
    rows = [
        [STEP_TITLES.get(step, step), name, code(digest)]
        for step, stored in records.items()
        for name, digest in sorted(stored.body.inputs.items())
    ]
    return Details(
        f"What the steps read ({len(rows)})", (table(("Step", "Input", "SHA-256"), rows),)
    )


def _environment(env: Environment, versions: list[str]) -> Details:
    commit = (
        f"{env.git_commit[:12]}{' with changes' if env.git_dirty else ''}" if env.git_commit else ""
    )
    facts = key_values(
        ("Afterfit", ", ".join(versions)),
        ("Python", env.python),
        ("System", env.system),
        ("Processor", env.cpu),
        ("Cores", env.cores or ""),
        ("Instruction sets", ", ".join(env.cpu_features)),
        ("Git commit", code(commit) if commit else ""),
    )
    packages = rows_of([[code(name), version] for name, version in sorted(env.packages.items())])
    return Details("Environment", (facts, Table(("Package", "Version"), packages)))
