"""What the tests of places share: what a place is told, and its files as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.package.run import package_for
from afterfit.package.sizes import Scaling, Sized, Sizes
from afterfit.records.package import PackageRecord
from afterfit.records.record import Environment

WHY = "as it was measured"
SIZES = Sizes(
    workers=Sized(2, WHY),
    threads=Sized(1, WHY),
    cpu_request=Sized(2.5, WHY),
    cpu_limit=Sized(3, WHY),
    memory_request=Sized(384, "it took 290 MiB: with # and\nkind: Evil in it"),
    memory_limit=Sized(416, WHY),
    by_cpu=Scaling(least=Sized(3, WHY), most=Sized(20, WHY), target=Sized(55, WHY)),
    by_concurrency=Scaling(least=Sized(1, WHY), most=Sized(9, WHY), target=Sized(6, WHY)),
    concurrency=Sized(40, WHY),
    rate=Sized(812.0, WHY),
    admission=Sized(812.9, WHY),
    start=Sized(31, WHY),
    measured=True,
    source="ab" * 32,
)
CONFIG = PackageConfig(
    name="churn", number=3, image="registry.example.com/team/churn", sizes=SIZES,
)  # fmt: skip


def packaged(
    place: str, bundle: Bundle, folder: Path, config: PackageConfig = CONFIG, **changed: Any
) -> PackageRecord:
    """Return the record of what was written for a place, the config changed."""
    told = msgspec.structs.replace(config, **changed)
    return package_for(place, bundle, folder, told, env=Environment(afterfit="0"))


def document(path: Path) -> dict[str, Any]:
    """Return the one document of a YAML file."""
    (found,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def unreasoned(path: Path, numbers: str) -> list[str]:
    """Return the lines that set one of the ``|``-joined names without a reason beside it."""
    import re

    wanted = re.compile(rf"^\s*(?:- )?\"?(?:{numbers})[:=]")
    lines = path.read_text(encoding="utf-8").splitlines()
    set_ = [line for line in lines if wanted.match(line)]
    assert set_, f"nothing sets {numbers}"
    return [line for line in set_ if " # " not in line]
