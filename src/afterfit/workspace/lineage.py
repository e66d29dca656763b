"""Where a version came from and where it went, put together from its records and files."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.core.dataset import Dataset
from afterfit.core.digest import short
from afterfit.errors import AfterfitError, IntegrityError, NotFoundError
from afterfit.records.codec import Stored
from afterfit.records.lineage import Agreement, DataSource
from afterfit.records.package import PackageRecord
from afterfit.records.record import Environment
from afterfit.records.ship import ShipRecord
from afterfit.registry.lineage.chain import Chain, Edge, Node, told
from afterfit.registry.lineage.diagram import CSS, drawing
from afterfit.registry.lineage.dvc import Tracked, agreement, remote_address, root_of, tracked
from afterfit.registry.lineage.tag import GitTag, tag
from afterfit.registry.version import Version
from afterfit.runtime.endpoint import read_endpoint
from afterfit.store.files import write_bytes
from afterfit.workspace.evidence import STEPS
from afterfit.workspace.packaging import PUSH

if TYPE_CHECKING:
    from afterfit.workspace.line import Line
    from afterfit.workspace.space import Workspace

__all__ = ["chain_of", "data_sources", "dvc_inputs", "tagged", "write_diagram"]


def data_sources(line: Line) -> tuple[DataSource, ...]:
    """Return where the tables of a walk came from, as far as DVC's files beside them tell.

    A file of DVC that cannot be read stops nothing: `warnings` says so.
    """
    tables: list[tuple[str, Any, Dataset | None]] = [
        ("data", line.sources.data, line.data),
        ("train", line.sources.train, line.train),
    ]
    return tuple(
        _data_source(line.space, role, given, table, line.sources.tracked.get(role))
        for role, given, table in tables
        if table is not None
    )


def dvc_inputs(sources: tuple[DataSource, ...]) -> dict[str, str]:
    """Return DVC's hashes as inputs of a record: ``data.dvc`` to ``md5:…``."""
    return {f"{source.role}.dvc": source.hash for source in sources if source.hash}


def _data_source(
    space: Workspace, role: str, given: Any, table: Dataset, named: Tracked | None
) -> DataSource:
    plain = DataSource(role=role, digest=table.digest)
    if named is not None:
        root = root_of(Path.cwd())
        remote = "" if root is None else remote_address(root)
        return _of_dvc(plain, named, "same", remote)
    if not isinstance(given, str | Path) or not Path(given).is_file():
        return plain
    path = Path(given).resolve()
    root = root_of(path.parent)
    try:
        found = tracked(path)
        if root is None or found is None:
            return plain
        agrees = agreement(path, found, root)
    except (AfterfitError, OSError) as error:
        space.warnings.append(f"the lineage of {path.name} is not known: {error}")
        return plain
    if agrees == "changed":
        changed = f"{path.name} is not what {found.file} says: it changed since `dvc add`"
        space.warnings.append(changed)
        space.progress.say(f"  ! {changed}")
    told = _of_dvc(plain, found, agrees, remote_address(root))
    return msgspec.structs.replace(told, path=path.relative_to(root.resolve()).as_posix())


def _of_dvc(plain: DataSource, found: Tracked, agrees: Agreement, remote: str) -> DataSource:
    return msgspec.structs.replace(
        plain,
        path=found.path,
        file=found.file,
        hash=f"md5:{found.md5}",
        size=found.size,
        stage=found.stage,
        agrees=agrees,
        remote=remote,
    )


def chain_of(space: Workspace, ref: str) -> Chain:
    """Return the chain of a version, from its data to the endpoints that were given it."""
    version = space.registry.resolve(ref)
    shipped = _shipped(space, version)
    records = _records(space, version)
    body = shipped.body if shipped is not None else None
    if not isinstance(body, ShipRecord):
        body = None
    above = _sources(body, records)
    model = _model(body, records)
    middle = [_record_node(step, records[step]) for step in STEPS if step in records]
    bundle = _bundle(version)
    packages = _packages(space, version)
    below = [*(node for node, _ in packages), *_images(space, version, packages),
             *_endpoints(space, version)]  # fmt: skip
    missing = () if body is not None else ("how it was shipped: no record of that is kept here",)
    return _linked(version, above, model, middle, bundle, below, missing)


def _linked(
    version: Version,
    above: list[Node],
    model: Node,
    middle: list[Node],
    bundle: Node,
    below: list[Node],
    missing: tuple[str, ...],
) -> Chain:
    """Return the chain of the layers, each node linked to those that it went into."""
    nodes = [*above, model, *middle, bundle, *below]
    at_model = len(above)
    at_bundle = at_model + 1 + len(middle)
    edges = [Edge(i, at_model) for i in range(at_model)]
    edges += [Edge(at_model, i) for i in range(at_model + 1, at_bundle)]
    edges += [Edge(i, at_bundle) for i in range(at_model + 1, at_bundle)]
    for i, node in enumerate(below, at_bundle + 1):
        made = [j for j, each in enumerate(below, at_bundle + 1)
                if node.kind == "image" and each.facts.get("image") == node.digest]  # fmt: skip
        edges += [Edge(j, i) for j in made] or [Edge(at_bundle, i)]
    if not middle:
        edges.append(Edge(at_model, at_bundle))
    return Chain(
        name=version.name,
        number=version.number,
        digest=version.digest,
        nodes=tuple(nodes),
        edges=tuple(edges),
        missing=missing,
    )


def _shipped(space: Workspace, version: Version) -> Stored | None:
    """Return the first record of the walk that made a version: later ones measured it again."""
    found = [
        stored
        for stored in space.records.list(step="ship", subject=version.digest)
        if isinstance(stored.body, ShipRecord)
        and (stored.body.name, stored.body.version) == (version.name, version.number)
    ]
    return found[-1] if found else None


def _records(space: Workspace, version: Version) -> dict[str, Stored]:
    found = {}
    for step, digest in version.evidence.items():
        try:
            found[step] = space.records.get(digest)
        except (NotFoundError, IntegrityError):
            continue
    return found


def _sources(body: ShipRecord | None, records: dict[str, Stored]) -> list[Node]:
    if body is None:
        some = next(iter(records.values()), None)
        inputs = some.body.inputs if some is not None else {}
        tables = [DataSource(role=r, digest=inputs[r]) for r in ("data", "train") if r in inputs]
        env = some.body.env if some is not None else None
    else:
        tables, env = list(body.data), body.env
        known = {table.role for table in tables}
        tables += [
            DataSource(role=role, digest=body.inputs[role])
            for role in ("data", "train")
            if role in body.inputs and role not in known
        ]
    nodes = [_table(table) for table in tables]
    nodes += _code(env) if env is not None else []
    if body is not None and body.origin is not None:
        origin = body.origin
        facts = {"server": origin.server, "asked": origin.asked, "run": origin.run}
        facts |= {"file": f"{origin.file} ({origin.flavor})", "commit": origin.commit}
        node = Node(kind="origin", title=origin.identity, digest=origin.digest, facts=facts)
        nodes.append(node)
    return nodes


def _table(source: DataSource) -> Node:
    facts = {
        "DVC": f"{source.hash} in {source.file}" if source.hash else "",
        "stage": source.stage,
        "remote": source.remote,
    }
    doubt = "changed since DVC wrote down its hash" if source.agrees == "changed" else ""
    title = f"{source.role}: {source.path}" if source.path else source.role
    return Node(kind="data", title=title, digest=source.digest, facts=facts, doubt=doubt)


def _code(env: Environment) -> list[Node]:
    if not env.git_commit:
        return []
    doubt = ""
    if env.git_dirty:
        differs = f" (git diff HEAD: {short(env.git_diff)})" if env.git_diff else ""
        doubt = f"there were changes beside the commit{differs}"
    facts = {"remote": env.git_remote}
    title = f"commit of {env.git_branch}" if env.git_branch else "commit"
    return [Node(kind="code", title=title, digest=env.git_commit, facts=facts, doubt=doubt)]


def _model(body: ShipRecord | None, records: dict[str, Stored]) -> Node:
    inspected = records.get("inspect")
    digest = inspected.body.subject if inspected is not None else ""
    code = body.inputs.get("code", "") if body is not None else ""
    facts = {"own code": short(code)} if code else {}
    return Node(kind="model", title="the trained model", digest=digest, facts=facts)


def _record_node(step: str, stored: Stored) -> Node:
    facts = {"made": stored.envelope.created[:19], "status": stored.body.status}
    return Node(kind="record", title=step, digest=stored.digest, facts=facts)


def _bundle(version: Version) -> Node:
    facts = {
        "aliases": ", ".join(version.aliases),
        "registered": f"{version.created[:19]} by {version.who}",
    }
    title = f"{version.name}@{version.number}"
    return Node(kind="bundle", title=title, digest=version.digest, facts=facts)


def _packages(space: Workspace, version: Version) -> list[tuple[Node, PackageRecord]]:
    """Return what was written for some place, and the record of it."""
    found = []
    for stored in space.records.list(step="package"):
        body = stored.body
        if isinstance(body, PackageRecord) and body.destination and body.bundle == version.digest:
            facts = {"made": stored.envelope.created[:19], "files": str(len(body.written))}
            name = str(body.args.get("image", "") or body.resolved.get("image", ""))
            facts |= {"name": name, "image": body.image}
            title = body.destination
            node = Node(kind="package", title=title, digest=stored.digest, facts=facts)
            found.append((node, body))
    return found


def _images(
    space: Workspace, version: Version, packages: list[tuple[Node, PackageRecord]]
) -> list[Node]:
    """Return the images that were made of a version, and where the log says that they went."""
    went: dict[str, list[str]] = {body.image: [] for _, body in packages if body.image}
    for entry in space.registry.log(version.name):
        if (entry.action, entry.to) == (PUSH, str(version.number)):
            digest = str(entry.details.get("image", "")).rpartition("@")[2]
            went.setdefault(digest, []).append(str(entry.details.get("tag", "")))
    return [
        Node(
            kind="image",
            title=names[-1] if names else "not pushed from here",
            digest=digest,
            facts={"pushed to": ", ".join(dict.fromkeys(names))},
        )
        for digest, names in went.items()
    ]


def _endpoints(space: Workspace, version: Version) -> list[Node]:
    """Return the endpoints whose last document on this machine names the version."""
    found = []
    for path in sorted((space.folder / "endpoints").glob("*/endpoint.json")):
        try:
            endpoint = read_endpoint(path)
        except AfterfitError:
            continue
        for name, route in endpoint.models.items() if endpoint is not None else ():
            roles = {"primary": route.primary == version.digest}
            roles["canary"] = route.canary is not None and route.canary.digest == version.digest
            roles["shadow"] = version.digest in route.shadow
            if any(roles.values()):
                role = ", ".join(role for role, holds in roles.items() if holds)
                facts = {"role": role, "folder": path.parent.name}
                found.append(Node(kind="endpoint", title=f"{name}: {role}", facts=facts))
    return found


def tagged(space: Workspace, ref: str, *, commit: str = "", folder: Path | None = None) -> GitTag:
    """Return the tag of Git for a version, on the commit that it was shipped from.

    ``commit`` overrides that. Where the folder had changes then, `warnings` says so.
    """
    version = space.registry.resolve(ref)
    shipped = _shipped(space, version)
    env = shipped.body.env if shipped is not None else None
    if not commit and env is not None and env.git_commit:
        commit = env.git_commit
        if env.git_dirty:
            space.warnings.append(
                f"{version.name}@{version.number} was shipped with changes beside the commit"
            )
    return tag(folder or Path.cwd(), version, commit)


def write_diagram(space: Workspace, chain: Chain) -> Path:
    """Return the page with the diagram and the text of a chain, below ``reports/``."""
    from afterfit.report.html import style

    title = escape(f"Lineage of {chain.name}@{chain.number}")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style()}{CSS}</style></head><body><div class="wrap">'
        f'<header class="top"><p class="eyebrow">Afterfit</p><h1>{title}</h1>'
        f'<p class="subtitle">sha256:{escape(chain.digest)}</p></header>'
        f"<main>{drawing(chain)}"
        f"<h2>The same as text</h2><pre><code>{escape(told(chain))}</code></pre>"
        "</main></div></body></html>\n"
    )
    path = space.reports / f"{chain.name}-{chain.number}-lineage.html"
    write_bytes(path, page.encode(errors="replace"))
    return path
