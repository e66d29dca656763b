"""``afterfit ci``: write a pipeline, and say in it whether a version may go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer, table
from afterfit.errors import ConflictError
from afterfit.report import ci
from afterfit.report.junit import junit
from afterfit.report.markdown import escape
from afterfit.report.pipeline import FILES, Host, Pipeline, pipeline
from afterfit.report.sarif import sarif
from afterfit.store.files import os_errors, write_bytes
from afterfit.workspace.pipelines import Checked
from afterfit.workspace.pipelines import check as check_version

NONE = Common()


def init(
    host: Host,
    *,
    model: str = "model.joblib",
    data: str = "data/test.csv",
    target: str = "target",
    name: str = "model",
    image: str = "registry.example.com/team/model",
    effort: Literal["quick", "standard", "full"] = "standard",
    force: Annotated[bool, Parameter(negative="", help="Replace a file that is there.")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = NONE,
) -> Answer:
    """Write a pipeline: verify, inspect, assess, gates, build once, push, canary, promote.

    The steps are plain shell, so that each can be run by hand. Set AFTERFIT_WORKSPACE to a
    workspace that lasts from run to run: without one there is no champion to compare with.

    Parameters
    ----------
    host
        github, gitlab or azure.
    model
        The model file in the repository; data and target: rows that it has not seen.
    image
        Where the image goes, without a tag.
    output
        The file to write; where the host looks for it without it.

    """
    del common
    from afterfit import __version__

    about = Pipeline(model=model, data=data, target=target, name=name, image=image, effort=effort,
                     version=__version__)  # fmt: skip
    text = pipeline(host, about)
    path = output or Path(FILES[host])
    if path.exists() and not force:
        raise ConflictError("the file is there already", where=str(path), fix="add --force")
    with os_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, text.encode())
    told = "its gates are those of afterfit.toml (afterfit init)"
    return Answer({"path": str(path)}, f"Wrote {path}; {told}.")


def check(
    ref: str,
    *,
    model: Annotated[str, Parameter(help="The model's path, for the reports.")] = "model",
    markdown: Annotated[Path | None, Parameter(help="For the pull request.")] = None,
    junit_file: Annotated[Path | None, Parameter(name="--junit", help="For the test view.")] = None,
    sarif_file: Annotated[Path | None, Parameter(name="--sarif", help="For code scanning.")] = None,
    common: Common = NONE,
) -> Answer:
    """Say whether a version may go on: gates, champion, regressions, load test; write reports.

    Exit 1 where one demand is not met; reports are written all the same. No rows of data and no
    evidence of findings are in them.

    Parameters
    ----------
    ref
        A version that was shipped, such as churn@3.

    """
    from afterfit import __version__

    with opened(common) as space:
        found = check_version(space, ref)
    findings = found.all_findings.body.findings
    if markdown is not None:
        write_bytes(markdown, _markdown(found).encode())
    if junit_file is not None:
        write_bytes(junit_file, junit(found.all_findings, found.demands))
    if sarif_file is not None:
        content = sarif(findings, found.demands, path=model, version=__version__)
        write_bytes(sarif_file, content)
    rows = [("met" if d.met else "NOT MET", d.name, d.told) for d in found.demands]
    result = {"passed": found.passed,
              "demands": [asdict(d) for d in found.demands]}  # fmt: skip
    text = table(rows, ("demand", "of", "what"))
    return Answer(result, text, 0 if found.passed else EXIT_GATE_FAILED)


def _markdown(found: Checked) -> str:
    code = 0 if found.passed else EXIT_GATE_FAILED
    lines = [ci.summary(found.release.page, code), "| | Demand | What |", "|---|---|---|"]
    for demand in found.demands:
        mark = "✅" if demand.met else "❌"
        lines.append(f"| {mark} | {escape(demand.name)} | {escape(demand.told)} |")
    return "\n".join(lines) + "\n"
