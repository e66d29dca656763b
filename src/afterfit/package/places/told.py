"""What the files of a place are told, and how they are written from templates."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterfit.core.bundle import Bundle
from afterfit.core.dns import dns_name
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import UsageError
from afterfit.package.config import USER_ID, PackageConfig
from afterfit.package.findings import ImageHasRegistry, SizesMeasured
from afterfit.package.image import Image, image_of
from afterfit.package.sizes import Sized, Sizes
from afterfit.package.start import HEALTH
from afterfit.runtime.example import example_row

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["KEYS", "Argument", "arguments", "prepared", "write_files"]

TEMPLATES = Path(__file__).parent / "templates"
KEYS = "/etc/afterfit/keys.json"
"""Where the file of API keys is in a container."""
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_REFERENCE = re.compile(r"(?P<name>[^@]+?)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]+))?")


@dataclass(frozen=True)
class Argument:
    """A word for the server, and why it is given."""

    word: str
    why: str


def arguments(
    config: PackageConfig, *, keys: str = "", grace: Sized | None = None
) -> list[Argument]:
    """Return what the server is started with; ``keys`` is the path of its file, empty for none."""
    sizes = config.sizes
    words = [Argument(f"--workers={sizes.workers.whole}", sizes.workers.why),
             Argument(f"--threads={sizes.threads.whole}", sizes.threads.why)]  # fmt: skip
    if sizes.admission.value >= 1:
        word = f"--admission-rps={math.floor(sizes.admission.value)}"
        words.append(Argument(word, sizes.admission.why))
    if grace is not None:
        words.append(Argument(f"--grace-seconds={grace.value:g}", grace.why))
    if config.allow_unauthenticated:
        words.append(Argument("--allow-unauthenticated", "as was asked: anybody is answered"))
    elif keys:
        words.append(Argument(f"--keys={keys}", "who may ask; changes are seen without a restart"))
    return words


def prepared(
    bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
) -> tuple[dict[str, Any], list[Finding]]:
    """Return what templates are told, and what was seen, after writing ``folder/image``.

    Raises UsageError for the name of an image that is none, and what making it raises.
    """
    if config.image and not _IMAGE.fullmatch(config.image):
        raise UsageError(
            f"not the name of an image: {config.image!r}",
            where="--image",
            fix="--image registry.example.com/team/churn, without a tag",
        )
    image = image_of(bundle, folder, config, progress)
    told = {
        "name": dns_name(config.name),
        "model": config.name,
        "number": config.number,
        "digest": bundle.digest,
        "image": image,
        "repository": _part(image, "name"),
        "tag": _part(image, "tag"),
        "pinned": _part(image, "digest"),
        "config": config,
        "sizes": config.sizes,
        "user": USER_ID,
        "keys": KEYS,
        "health": HEALTH,
        "open": config.allow_unauthenticated,
        "python": "python3" if config.builder == "native" else "/opt/afterfit/bin/python",
        "rows": json.dumps({"rows": [example_row(bundle.signature)]}),
    }
    return told, [*image.findings, _registry(config), _measured(config.sizes)]


def write_files(place: str, folder: Path, told: dict[str, Any]) -> None:
    """Write every template of a place into ``folder``, under its path there without ``.j2``."""
    root = TEMPLATES / place
    for template in sorted(root.rglob("*.j2")):
        target = folder / template.relative_to(root).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        made = _environment().get_template(template.relative_to(TEMPLATES).as_posix())
        target.write_text(made.render(told), encoding="utf-8", newline="\n")


def _part(image: Image, part: str) -> str:
    found = _REFERENCE.fullmatch(image.reference)
    return (found[part] or "") if found else image.reference


def _registry(config: PackageConfig) -> Finding:
    if config.image:
        return ImageHasRegistry.passed(f"the files name the image {config.image}")
    return ImageHasRegistry.tip(
        f"the files name the image {config.name} without a registry",
        where="image",
        fix=f"--image registry.example.com/team/{config.name}",
    )


def _measured(sizes: Sizes) -> Finding:
    if sizes.measured:
        return SizesMeasured.passed(
            f"one replica is sized by a load test: {sizes.rate.value:.4g} requests/s",
            record=sizes.source,
        )
    return SizesMeasured.tip(
        "the sizes are usual ones: no load test of this version searched for a rate",
        fix='afterfit loadtest NAME@champion --slo "p99<50ms", then package again',
    )


@cache
def _environment() -> Environment:
    import jinja2

    # YAML and Markdown, no HTML: what comes from people is quoted as JSON, or made one line.
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(q=json.dumps, sh=shlex.quote, line=_line, cpu=_cpu, plain=_plain)
    return found


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _cpu(value: float) -> str:
    """Return processors as Kubernetes takes them: whole, or in thousandths."""
    return str(round(value)) if value == round(value) else f"{math.ceil(value * 1000)}m"
