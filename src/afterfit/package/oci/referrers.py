"""Evidence beside an image in a registry: small artifacts that refer to the image by its digest.

Whoever has the image's digest finds its bill of materials and its model card; neither is part of
the image. Source: OCI distribution specification 1.1, pushing manifests with a subject; registries
without the referrers API keep the list under a tag that is made of the digest.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.errors import InputError, NotFoundError
from afterfit.package.oci.client import Client
from afterfit.package.oci.layout import INDEX, MANIFEST, Artifact, Descriptor, Index, decode
from afterfit.package.sbom import FILE as BILL
from afterfit.store.files import read_bytes

__all__ = ["CARD", "KINDS", "attach"]

CARD = "card.md"
KINDS = {
    BILL: ("application/vnd.cyclonedx+json", "application/vnd.cyclonedx+json"),
    CARD: ("application/vnd.afterfit.model-card.v1", "text/markdown"),
}
"""For each file its type as an artifact, and that of its bytes."""
_EMPTY = "application/vnd.oci.empty.v1+json"
_NOTHING = b"{}"
_TITLE = "org.opencontainers.image.title"


def attach(client: Client, subject: Descriptor, path: Path) -> int:
    """Return the bytes sent so that the file ``path`` refers to ``subject`` in the registry.

    The same bytes are attached once, however often they are. Raises what a registry can answer.
    """
    kind, media = KINDS[path.name]
    content = read_bytes(path)
    blob, config = _described(content, media), _described(_NOTHING, _EMPTY)
    artifact = Artifact(
        artifact_type=kind,
        config=config,
        layers=(msgspec.structs.replace(blob, annotations={_TITLE: path.name}),),
        subject=msgspec.structs.replace(subject, annotations={}, platform=None),
    )
    body = canonical_json(msgspec.to_builtins(artifact))
    sent = sum(
        each.size for source, each in ((content, blob), (_NOTHING, config))
        if client.push_blob(source, each)
    )  # fmt: skip
    listed = msgspec.structs.replace(_described(body, MANIFEST), artifact_type=kind)
    if client.push_manifest(body, MANIFEST, listed.digest):
        sent += len(body)
    if client.referrers(subject.digest) is None:
        sent += _list_by_tag(client, subject.digest, listed)
    return sent


def _described(body: bytes, media: str) -> Descriptor:
    return Descriptor(media_type=media, digest=f"sha256:{sha256_bytes(body)}", size=len(body))


def _list_by_tag(client: Client, subject: str, listed: Descriptor) -> int:
    """Return the bytes sent so that the tag made of ``subject`` lists the artifact."""
    tag = subject.replace(":", "-")
    try:
        known = decode(client.manifest(tag)[0], Index, str(client.name)).manifests
    except NotFoundError:
        known = ()
    except InputError as error:
        raise InputError(
            "the tag that lists what refers to the image is something else",
            where=f"{client.name.host}/{client.name.path}:{tag}",
            why=error.why,
            fix="remove that tag in the registry, then run the command again",
        ) from None
    if any(each.digest == listed.digest for each in known):
        return 0
    body = canonical_json(msgspec.to_builtins(Index(manifests=(*known, listed))))
    client.push_manifest(body, INDEX, tag)
    return len(body)
