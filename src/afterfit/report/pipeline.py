"""A pipeline that takes a model from a commit to production: the same steps for every CI server.

The steps are shell, so that they can be run anywhere; a template puts them into the form that one
server reads. Names and paths come in as variables and never as text in a script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from afterfit.errors import UsageError

__all__ = ["FILES", "Host", "Pipeline", "Step", "pipeline", "steps"]

Host = Literal["github", "gitlab", "azure"]
FILES: dict[Host, str] = {
    "github": ".github/workflows/afterfit.yml",
    "gitlab": ".gitlab-ci.yml",
    "azure": "azure-pipelines.yml",
}
TEMPLATES = Path(__file__).with_name("templates") / "ci"
TAKE = (
    'import json; r = json.load(open("afterfit-ship.json"))["result"]; '
    'print("VERSION=" + str(r["version"])); print("DIGEST=" + r["digest"])'
)
_PLAIN = re.compile(r"[A-Za-z0-9._/@:-]*")


@dataclass(frozen=True)
class Step:
    """One step: its title, its lines of bash, and whether it changes what serves."""

    key: str
    title: str
    lines: tuple[str, ...]
    deploys: bool = False


@dataclass(frozen=True)
class Pipeline:
    """What a pipeline is of; ``model`` and ``data`` are paths in the repository."""

    model: str = "model.joblib"
    data: str = "data/test.csv"
    target: str = "target"
    name: str = "model"
    image: str = "registry.example.com/team/model"
    effort: str = "standard"
    python: str = "3.12"
    version: str = ""
    variables: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Raise UsageError for what would need quoting in one of the files."""
        told = {"MODEL": self.model, "DATA": self.data, "TARGET": self.target, "NAME": self.name,
                "IMAGE": self.image, "EFFORT": self.effort,
                "AFTERFIT_VERSION": self.version}  # fmt: skip
        for name, value in told.items():
            if not _PLAIN.fullmatch(value):
                raise UsageError(
                    f"{value!r} cannot stand in a pipeline",
                    where=f"--{name.lower()}",
                    why="it may hold letters, digits and . _ / @ : - only",
                    fix="rename it, or write the variable in the file yourself",
                )
        object.__setattr__(self, "variables", told)


def steps() -> tuple[Step, ...]:
    """Return the steps in order; each is run by ``bash -euo pipefail`` in the repository."""
    rows = '--data "$DATA" --target "$TARGET" --effort "$EFFORT"'
    ship = f'afterfit ship "$MODEL" --name "$NAME" {rows} --no-promote --json > afterfit-ship.json'
    judge = (
        'afterfit ci check "$NAME@$VERSION" --model "$MODEL" --markdown afterfit.md '
        "--junit afterfit.junit.xml --sarif afterfit.sarif"
    )
    promote = 'afterfit version promote "$NAME@$DIGEST" --why "pipeline, commit ${COMMIT:-unknown}"'
    keep = f"python -c '{TAKE}' > afterfit.env"
    return (
        Step("install", "Install Afterfit",
             ('python -m pip install "afterfit==$AFTERFIT_VERSION"',)),
        Step("verify", "Verify what is registered",
             ("if afterfit version list > /dev/null 2>&1; then", "  afterfit version verify",
              "else", '  echo "nothing is registered yet"', "fi")),
        Step("inspect", "Inspect: audit the file before it is loaded",
             (f'afterfit inspect "$MODEL" {rows}',)),
        Step("assess", "Assess, beside the champion",
             (f'afterfit assess "$MODEL" --name "$NAME" {rows}',)),
        Step("register", "Attack, load-test and register; nothing is promoted",
             (ship, keep)),
        Step("gate", "Gates: champion, robustness regressions, load test",
             (". ./afterfit.env", judge)),
        Step("build", "Build once",
             (". ./afterfit.env",
              'afterfit package "$NAME@$DIGEST" --for oci --image "$IMAGE" --output image'),
             deploys=True),
        Step("push", "Push; the answer names the image by digest",
             (". ./afterfit.env",
              'afterfit package push image "$IMAGE:$VERSION" --json > afterfit-push.json',
              "cat afterfit-push.json"), deploys=True),
        Step("canary", "Canary: more and more requests while it is not worse",
             (". ./afterfit.env", 'if [ -n "${AFTERFIT_ADMIN:-}" ]; then',
              '  afterfit rollout start "$NAME" --to "$VERSION" --admin "$AFTERFIT_ADMIN"',
              "else", '  echo "AFTERFIT_ADMIN names no server: no canary"', "fi"), deploys=True),
        Step("promote", "Promote by digest",
             (". ./afterfit.env", promote), deploys=True),
    )  # fmt: skip


def pipeline(host: Host, about: Pipeline) -> str:
    """Return the file of one CI server; raises UsageError for a server that is not known."""
    import jinja2

    if host not in get_args(Host):
        raise UsageError(f"no such CI server: {host}", fix=f"one of {', '.join(get_args(Host))}")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML, of plain words that Pipeline has checked
    )
    return environment.get_template(f"{host}.yml.j2").render(about=about, steps=steps())
