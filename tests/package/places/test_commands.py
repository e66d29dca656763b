"""Every command of ours that a package names is one, with arguments that it takes."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from tests.package.places.place import packaged

from afterfit.cli.app import build
from afterfit.core.bundle import Bundle
from afterfit.package.sizes import Sizes

NAMED = re.compile(r"\bafterfit ([a-z]+ [^`#|\n]*)")
IMAGES = {
    "kubernetes": "registry.example.com/team/churn",
    "kserve": "registry.example.com/team/churn",
    "compose": "registry.example.com/team/churn",
    "cloudrun": "europe-west1-docker.pkg.dev/my-project/models/churn",
    "sagemaker": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/churn",
    "vertex": "europe-west1-docker.pkg.dev/my-project/models/churn",
    "azureml": "myregistry.azurecr.io/churn",
}


command_line = cache(build)


def refused(command: str) -> str:
    """Why the command line does not take a command; empty where it does."""
    try:
        command_line().parse_args(
            shlex.split(command), print_error=False, exit_on_error=False, help_on_error=False
        )
    except CycloptsError as error:
        return f"{command}: {error}"
    return ""


@pytest.mark.parametrize("place", IMAGES)
def test_the_command_line_takes_what_is_told(bundle: Bundle, tmp_path: Path, place: str) -> None:
    """In its pages, scripts and comments; with keys and nothing measured, as most will read it."""
    out = tmp_path / "out"
    packaged(place, bundle, out, image=IMAGES[place], sizes=Sizes())
    texts = [path.read_text("utf-8") for path in out.rglob("*")
             if path.suffix in {".md", ".yaml", ".sh", ".yml"}]  # fmt: skip
    told = {each.strip() for text in texts for each in NAMED.findall(text)}
    assert any(each.startswith("loadtest ") for each in told)
    assert list(filter(None, map(refused, sorted(told)))) == []


def test_a_command_that_is_none_would_be_seen() -> None:
    """The check above can fail: a word too many, an option that there is not, no such command."""
    for wrong in ("version promote churn 3", "loadtest churn@3 --sloo x", "version promte churn@3"):
        assert refused(wrong)
