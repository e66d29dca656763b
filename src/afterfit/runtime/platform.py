"""Where the server runs, told from the environment and the arguments: one image for all.

==========  ===============================  ==============================  ===================
platform    told by                          port                            model, else the
                                                                             image's own
==========  ===============================  ==============================  ===================
vertex      ``AIP_MODE=PREDICTION``          ``AIP_HTTP_PORT``, 8080         none
kserve      ``--model_name`` ``--model_dir``  ``--http_port``, ``PORT``      ``/mnt/models``
            ``--http_port``
knative     ``K_SERVICE`` (Cloud Run too)    ``PORT``                        none
azureml     ``AZUREML_MODEL_DIR``            ``PORT``, 8080                  that folder
sagemaker   the argument ``serve``           ``SAGEMAKER_BIND_TO_PORT``,     ``/opt/ml/model``
                                             8080
==========  ===============================  ==============================  ===================

``AFTERFIT_PLATFORM`` names one of them, or ``none``, where this is mistaken. An option that is
given wins over what the platform says. ``/ping`` and ``/invocations`` answer everywhere.

Sources: the custom container pages of SageMaker, Vertex AI and Azure ML; KServe's config/runtimes;
Knative's runtime contract.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from afterfit.errors import UsageError
from afterfit.runtime.options import KSERVE_UNUSED

__all__ = ["Family", "Platform", "detect", "find_bundle"]

Family = Literal["health", "invocations", "vertex", "azureml"]
"""How a route answers: readiness, MLflow's bodies, or the instances of a cloud's own form."""

PORT = 8080
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only where a platform is in front
EVERY_SERVER: dict[str, Family] = {"/ping": "health", "/invocations": "invocations"}
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
DEPTH = 3
_ROUTE = re.compile(r"/[!-~]*")
_NO_BUNDLE_FIX = "put a bundle folder there, as afterfit package writes it into bundle/"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server runs; ``name`` is empty on a plain machine.

    ``routes`` are paths beside the server's own, or in their place. ``model_dir`` is the folder
    that the platform puts a model into and ``model_name`` what it calls it, both empty where it
    does not. ``ignored`` names what was given and is not used.
    """

    name: str = ""
    host: str = LOOPBACK
    port: int = PORT
    routes: dict[str, Family] = msgspec.field(default_factory=lambda: dict(EVERY_SERVER))
    model_dir: str = ""
    model_name: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def guarded(self) -> bool:
        """Whether the platform checks who calls, so that the server needs no keys of its own."""
        return bool(self.name)


def detect(options: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    """Return the platform with the given options applied; raises UsageError, naming the variable.

    Beyond loopback is listened only where the platform shows itself: the argument alone, typed on
    one's own machine, opens nothing.
    """
    name = _name(options, environ)
    found = _PLATFORMS[name](options, environ) if name else _plain(environ)
    return msgspec.structs.replace(
        found,
        host=options.host or found.host,
        port=found.port if options.port is None else _checked(options.port, "--port"),
    )


def find_bundle(folder: Path) -> Path | None:
    """Return the bundle that the folder is or holds, or None for a folder that is not there.

    An empty folder is as none. Raises UsageError for one that holds something else, or several.
    """
    try:
        level = [folder] if _entries(folder) else []
        if not level:
            return None
        for _ in range(DEPTH):
            bundles = [each for each in level if _is_bundle(each)]
            if bundles:
                return _only(bundles, folder)
            level = [entry for each in level for entry in _entries(each) if entry.is_dir()]
    except OSError as error:
        raise UsageError(
            "the model's folder cannot be read",
            where=str(folder),
            why=error.strerror or str(error),
            fix="let the user of the container read it",
        ) from None
    raise UsageError(
        "the model's folder holds no bundle",
        where=str(folder),
        why=f"a bundle has {MANIFEST} and {SIGNATURE}; none of the folders here has both",
        fix=_NO_BUNDLE_FIX,
    )


def _name(options: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Return the platform's name; the surer sign first, as KServe may run on Knative."""
    told = environ.get("AFTERFIT_PLATFORM", "")
    if told:
        if told not in {*_PLATFORMS, "none"}:
            raise UsageError(
                f"no platform is called {told!r}",
                where="AFTERFIT_PLATFORM",
                fix=f"use one of {', '.join(sorted(_PLATFORMS))}, none",
            )
        return told if told != "none" else ""
    signs = {
        "vertex": environ.get("AIP_MODE") == "PREDICTION" or "AIP_HTTP_PORT" in environ,
        "kserve": bool(options.model_name or options.model_dir or options.http_port is not None),
        "knative": "K_SERVICE" in environ,
        "azureml": "AZUREML_MODEL_DIR" in environ,
        "sagemaker": options.command == "serve",
    }
    return next((name for name, seen in signs.items() if seen), "")


def _plain(environ: Mapping[str, str]) -> Platform:
    return Platform(port=_port(environ, "PORT", PORT))


def _sagemaker(_: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    base = Path(environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    return Platform(
        name="sagemaker",
        host=EVERYWHERE if base.is_dir() else LOOPBACK,
        port=_port(environ, "SAGEMAKER_BIND_TO_PORT", PORT),
        model_dir=str(base / "model"),
    )


def _vertex(_: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    health = _route(environ, "AIP_HEALTH_ROUTE")
    predict = _route(environ, "AIP_PREDICT_ROUTE")
    if health and health == predict:
        raise UsageError(
            "one path for health and predictions",
            where="AIP_PREDICT_ROUTE",
            why=f"AIP_HEALTH_ROUTE is {health} as well",
            fix="upload the model with two paths",
        )
    routes = dict(EVERY_SERVER)
    if health:
        routes[health] = "health"
    if predict:
        routes[predict] = "vertex"
    # Reading the artifacts would need Google's libraries and rights; the image has its model.
    ignored = ("AIP_STORAGE_URI",) if environ.get("AIP_STORAGE_URI") else ()
    port = _port(environ, "AIP_HTTP_PORT", PORT)
    return Platform(name="vertex", host=EVERYWHERE, port=port, routes=routes, ignored=ignored)


def _azureml(_: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    # Ports and paths are named by the deployment's inference_config, which the container does not
    # see: any path of this server will do there, and /score is the one that people expect.
    return Platform(
        name="azureml",
        host=EVERYWHERE,
        port=_port(environ, "PORT", PORT),
        routes={**EVERY_SERVER, "/score": "azureml"},
        model_dir=environ.get("AZUREML_MODEL_DIR", ""),
    )


def _kserve(options: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    port = options.http_port
    return Platform(
        name="kserve",
        host=EVERYWHERE if "KUBERNETES_SERVICE_HOST" in environ else LOOPBACK,
        port=_port(environ, "PORT", PORT) if port is None else _checked(port, "--http_port"),
        model_dir=options.model_dir or "/mnt/models",
        model_name=options.model_name,
        ignored=tuple(f"--{each}" for each in KSERVE_UNUSED if getattr(options, each) is not None),
    )


def _knative(_: argparse.Namespace, environ: Mapping[str, str]) -> Platform:
    return Platform(name="knative", host=EVERYWHERE, port=_port(environ, "PORT", PORT))


_PLATFORMS: dict[str, Callable[[argparse.Namespace, Mapping[str, str]], Platform]] = {
    "azureml": _azureml,
    "knative": _knative,
    "kserve": _kserve,
    "sagemaker": _sagemaker,
    "vertex": _vertex,
}


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    return _checked(int(text) if text.isascii() and text.isdigit() else -1, variable, text)


def _checked(port: int, where: str, text: str = "") -> int:
    if not 0 <= port <= 65535:
        raise UsageError(f"not a port: {text or port}", where=where, fix="use 1 to 65535")
    return port


def _route(environ: Mapping[str, str], variable: str) -> str:
    text = environ.get(variable, "").strip()
    if text and (not _ROUTE.fullmatch(text) or set(text) & set("?#")):
        raise UsageError(f"not a path: {text!r}", where=variable, fix="write it as /predict")
    return text


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without hidden things and what a disk adds itself."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(path for path in found if path.name != "lost+found")


def _is_bundle(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / SIGNATURE).is_file()


def _only(bundles: list[Path], folder: Path) -> Path:
    if len(bundles) > 1:
        names = ", ".join(str(each.relative_to(folder)) for each in bundles[:5])
        raise UsageError(
            f"the model's folder holds {len(bundles)} bundles",
            where=str(folder),
            why=f"they are {names}",
            fix="leave one there, or serve them all with --bundle NAME=FOLDER for each",
        )
    return bundles[0]
