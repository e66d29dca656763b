"""``afterfit endpoint``: who answers on a running server, and what that led to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.endpoint_text import told
from afterfit.cli.output import Answer
from afterfit.errors import ForbiddenError, UsageError
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import MILLION, Endpoint
from afterfit.serve.observe import observe
from afterfit.serve.rollout import DIVIDE, Plan, divided, find_server, parse_share
from afterfit.serve.run import ServedBundle, link_bundle
from afterfit.workspace import Workspace

NONE = Common()
NOTHING = "none"
CONSTANT = "constant:"
Admin = Annotated[str, Parameter(help="The admin API, such as unix:PATH; found without it.")]


def set_(
    name: str,
    *,
    canary: Annotated[
        str | None, Parameter(help="A version and its share of the requests: 3=10%; or none.")
    ] = None,
    key: Annotated[
        str, Parameter(help="A column, or entity: each of its values always meets one version.")
    ] = "",
    shadow: Annotated[
        tuple[str, ...] | None,
        Parameter(negative="", help="A version that gets copies of the requests; or none."),
    ] = None,
    stand_in: Annotated[
        str | None,
        Parameter(help="What answers when the model cannot: a version, or constant:no; or none."),
    ] = None,
    clear: Annotated[
        bool, Parameter(negative="", help="Take canary, shadows and stand-in away.")
    ] = False,
    why: Annotated[str, Parameter(help="A reason for the audit log.")] = "",
    admin: Admin = "",
    common: Common = NONE,
) -> Answer:
    """Change who answers on a running server, between two requests.

    What is not named stays as it is. The change is refused where somebody else made one meanwhile.

    Parameters
    ----------
    name
        The model's name.

    """
    if not clear and canary is None and shadow is None and stand_in is None:
        raise UsageError("nothing to change", fix=f"afterfit endpoint set {name} --canary 3=10%")
    with opened(common) as space:
        state, client = _server(space, name, admin)
        bundles: dict[str, ServedBundle] = {}
        plan = _plan(space, name, bundles, canary=canary, key=key, shadow=shadow, stand_in=stand_in)
        for bundle in bundles.values():
            if state is not None:
                link_bundle(state / "bundles", bundle.digest, bundle.folder, bundle.proven)
        document = divided(client, name, _cleared(plan) if clear else plan)
        asked = {"canary": canary, "key": key, "shadow": shadow, "stand_in": stand_in}
        _note(space, name, {**asked, "clear": clear, "generation": document.generation}, why)
    return Answer(msgspec.to_builtins(document), _changed(document, name), warnings=space.warnings)


def _note(space: Workspace, name: str, asked: dict[str, Any], why: str) -> None:
    """Write down who divided a model's traffic; that it cannot be written stops nothing."""
    details = {option: value for option, value in asked.items() if value}
    try:
        space.registry.note(DIVIDE, who=space.who, name=name, why=why, details=details)
    except ForbiddenError as error:
        space.warnings.append(f"the change is not in the audit log: {error.message}")


def status(name: str = "", *, admin: Admin = "", common: Common = NONE) -> Answer:
    """Show who answers on a running server: shares, rates, differences, latency and workers.

    Parameters
    ----------
    name
        The model's name; any server of the workspace without it.

    """
    with opened(common) as space:
        _, client = _server(space, name, admin)
    report = observe(client.status())
    return Answer(msgspec.to_builtins(report), told(report, now=time.time()))


def _server(space: Workspace, name: str, admin: str) -> tuple[Path | None, AdminClient]:
    if admin:
        return None, AdminClient(admin)
    return find_server(space.folder / "endpoints", name)


def _plan(
    space: Workspace,
    name: str,
    bundles: dict[str, ServedBundle],
    *,
    canary: str | None,
    key: str,
    shadow: tuple[str, ...] | None,
    stand_in: str | None,
) -> Plan:
    """Return the changes; each version that they name is checked out and put into ``bundles``."""

    def digest(version: str) -> str:
        found = bundles[version] = space.version(f"{name}@{version}")
        return found.digest

    if key and canary in {None, NOTHING}:
        raise UsageError("--key is for a canary", fix=f"--canary 3=10% --key {key}")
    divided_to = shadows = standing = constant = None
    if canary is not None:
        version, share = _canary(canary)
        divided_to = (digest(version), share, key) if version else ("", 0, "")
    if shadow is not None:
        shadows = tuple(digest(version) for version in shadow if version != NOTHING)
    if stand_in is not None and stand_in.startswith(CONSTANT):
        constant = stand_in.removeprefix(CONSTANT)
    elif stand_in is not None:
        standing = "" if stand_in == NOTHING else digest(stand_in)
    numbers = {bundle.digest: bundle.version for bundle in bundles.values()}
    return Plan(divided_to, shadows, standing, constant, numbers)


def _canary(text: str) -> tuple[str, int]:
    if text == NOTHING:
        return "", 0
    version, equals, share = text.partition("=")
    if not version or not equals:
        raise UsageError(f"not a canary: {text!r}", fix="write --canary 3=10%, or none")
    return version, parse_share(share)


def _cleared(plan: Plan) -> Plan:
    """Return the plan with every part that it does not set taken away."""
    standing = "" if plan.stand_in is None and plan.constant is None else plan.stand_in
    return plan._replace(
        canary=plan.canary or ("", 0, ""), shadow=plan.shadow or (), stand_in=standing
    )


def _changed(document: Endpoint, name: str) -> str:
    route = document.models[name]
    parts = [f"{name}: version {route.version}"]
    if route.canary is not None:
        by = f" by {route.canary.key}" if route.canary.key else ""
        share = 100 * route.canary.share_ppm / MILLION
        parts.append(f"{share:.3g} % of the requests to version {_number(document, name)}{by}")
    if route.shadow:
        shadows = ", ".join(str(route.number(digest)) for digest in route.shadow)
        parts.append(f"shadow {shadows}")
    if route.stand_in is not None:
        constant = f"the constant {route.stand_in.constant}"
        number = route.number(route.stand_in.digest)
        parts.append(f"stand-in {f'version {number}' if route.stand_in.digest else constant}")
    return f"{', '.join(parts)} (generation {document.generation})"


def _number(document: Endpoint, name: str) -> int:
    canary = document.models[name].canary
    return 0 if canary is None else document.models[name].number(canary.digest)
