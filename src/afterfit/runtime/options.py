"""The options of ``python -m afterfit.runtime``, those of other servers' images included."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

__all__ = ["KSERVE_UNUSED", "parser"]

KSERVE_UNUSED = (
    "grpc_port",
    "protocol",
    "predictor_protocol",
    "max_threads",
    "max_asyncio_workers",
    "enable_grpc",
    "enable_docs_url",
    "enable_latency_logging",
    "configure_logging",
    "log_config_file",
    "access_log_format",
)
"""Options that KServe's own servers have and this one has no use for: taken, and told in the log.

A ServingRuntime's arguments then need no change when its image is replaced.
"""


_TOLD = ("WORKERS", "THREADS", "ADMISSION_RPS")


def parser(environ: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser; what was not given is None or empty, so that a platform can fill it.

    ``AFTERFIT_WORKERS``, ``AFTERFIT_THREADS`` and ``AFTERFIT_ADMISSION_RPS`` stand for the options
    of their names where a platform hands variables to an image and no words.
    """
    made = argparse.ArgumentParser(
        prog="python -m afterfit.runtime",
        description="Serve until stopped. On a platform it takes port and routes from there.",
        allow_abbrev=False,
    )
    _add_own(made, environ or {})
    _add_platforms(made)
    return made


def _add_own(made: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    add = made.add_argument
    # argparse reads a default that is text as it reads what is given.
    told = {name: environ.get(f"AFTERFIT_{name}") or None for name in _TOLD}
    add("--config", default="", help="a JSON file of settings, in place of the other options")
    add("--bundle", action="append", default=[], help="NAME[@NUMBER]=FOLDER; may be repeated")
    add("--trust", action="append", default=[], help="a bundle's digest that may bring code")
    add("--name", default="afterfit", help="the endpoint's name")
    add("--host", default="", help="address to bind; 127.0.0.1, or the platform's")
    add("--port", type=int, help="port to bind; the platform's, else $PORT, else 8080; 0: any free")
    add(
        "--workers",
        type=_positive,
        default=told["WORKERS"],
        help="processes that serve; one for each usable processor",
    )
    add(
        "--threads",
        "--nthread",
        type=_positive,
        default=told["THREADS"],
        help="threads inside of one call of the model",
    )
    add("--bundles", default="", help="folder of bundles by digest, for later changes")
    add("--state", default="", help="folder that keeps the endpoint document")
    add("--events", default="", help="folder of events, or - for standard output")
    add("--admin-socket", default="", help="path of the admin API's unix socket")
    add("--keys", default="", help="file of API keys, as afterfit key writes it")
    add("--allow-unauthenticated", action="store_true", help="serve other machines without keys")
    add("--batch-cap", type=_positive, help="most rows in one call of the model")
    add("--queue-rows", type=_positive, help="most rows that wait in a worker")
    add(
        "--admission-rps",
        type=_positive,
        default=told["ADMISSION_RPS"],
        help="turn away beyond so many requests/s",
    )
    add("--grace-seconds", type=float, default=25.0, help="time for requests when stopping")
    add("--repository-control", action="store_true", help="let clients load and unload models")
    add("--hang-seconds", type=float, default=30.0, help="end a call of a model after so long")
    add("--ready-fd", type=int, default=None, help="descriptor that gets one line when ready")


def _add_platforms(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "command", nargs="?", choices=("serve",), help="what SageMaker runs an image with"
    )
    kserve = made.add_argument_group("KServe's arguments, spelt as it spells them")
    kserve.add_argument("--model_name", default="", help="the name in the paths of the protocol")
    kserve.add_argument("--model_dir", default="", help="folder that is, or holds, one bundle")
    kserve.add_argument("--http_port", type=int, help="port to bind")
    for name in KSERVE_UNUSED:
        kserve.add_argument(f"--{name}", help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
