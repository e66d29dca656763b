"""The command line's contract: help, JSON, streams and exit codes."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from afterfit.cli.app import COMMANDS, GROUPS, RENAMED, build, run
from afterfit.cli.explain import load_checks
from afterfit.core.finding import LABELS
from afterfit.runtime.options import parser

ALL = [(name,) for name in COMMANDS] + [
    (group, member) for group, (_, members) in GROUPS.items() for member in members
]
# A command in quotes, in back-quotes, after a prompt or after "fix:"; prose is not meant.
NAMED = re.compile(r"""["'`$(]\s?afterfit ([a-z]+)(?: ([a-z]+)\b(?![=/.@-]))?""")
# Where a command ends in a sentence.
ENDS = re.compile(r"   #|; |, |`|\)| \(| or | and | shows | prints| makes |\. |$")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z_-]+")
OF_GIT, OF_MLFLOW = {"--delete", "--tags"}, {
    "--artifact-uri", "--backend-store-uri", "--serve-artifacts",
}  # fmt: skip
FOREIGN = {"--editable", "--help", "--upgrade", *OF_GIT, *OF_MLFLOW}  # pip's, and every command's
ENVELOPE = {"schema", "ok", "command", "exit", "result", "error", "warnings"}


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_has_help(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """``--help`` tells what the command does and exits 0."""
    assert run([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: afterfit {' '.join(command)}")
    assert len(text.splitlines()) > 3


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help_has_the_whole_of_the_docstring(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the exit codes mean stands there, too, and no option is there to give nothing."""
    target = COMMANDS[command[0]][0] if len(command) == 1 else GROUPS[command[0]][1][command[1]][0]
    module, _, function = target.partition(":")
    docstring = getattr(import_module(module), RENAMED.get(function, function)).__doc__
    assert run([*command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    before = docstring.partition("Parameters\n")[0].replace("``", "")
    assert " ".join(before.split()) in shown
    assert "--empty-" not in shown


@pytest.mark.parametrize("arguments", [["nothing"], ["ship"], ["ship", "m", "--nope"], []])
def test_wrong_usage_exits_2_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is told on stderr; without any command the help is shown."""
    code = run(arguments)
    shown = capsys.readouterr()
    assert code == (2 if arguments else 0)
    assert "Traceback" not in shown.err + shown.out
    assert (shown.err if arguments else shown.out).strip()


def test_json_errors_have_the_envelope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is one JSON object on stdout, with kind, what, where, why and fix."""
    monkeypatch.chdir(tmp_path)
    assert run(["version", "list", "--json"]) == 2
    envelope = json.loads(capsys.readouterr().out)
    assert set(envelope) == ENVELOPE
    assert envelope["ok"] is False
    assert envelope["command"] == "version list"
    assert envelope["error"]["kind"] == "not_found"
    assert set(envelope["error"]) == {"kind", "code", "message", "where", "why", "fix"}


def test_json_answers_have_the_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    """A result is one JSON object on stdout."""
    assert run(["explain", "a001", "--json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert set(envelope) == ENVELOPE
    assert envelope["result"]["code"] == "A001"


def test_every_finding_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Each code's page says more than its title."""
    checks = load_checks()
    assert len(checks) > 40
    for code, check in checks.items():
        labels = list(check.page())
        assert labels == ["", *(label for label in LABELS if label in labels)], code
        assert {"Why it matters", "Fix"} <= set(labels), code
        assert run(["explain", code]) == 0
        page = capsys.readouterr().out
        assert check.title in page
        assert len(page.splitlines()) >= 5, code


def test_config_show_tells_the_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defaults, the file and the environment are told apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERFIT_SERVE_PORT", "9001")
    assert run(["init"]) == 0
    (tmp_path / "afterfit.toml").write_text("[line]\nseed = 3\n")
    capsys.readouterr()
    assert run(["config", "show", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["line.seed"] == {"value": 3, "origin": "afterfit.toml"}
    assert result["serve.port"] == {"value": 9001, "origin": "environment"}
    assert result["serve.host"]["origin"] == "default"


def test_every_problem_of_the_configuration_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt key, a wrong type and a bad gate are three problems with their paths."""
    monkeypatch.chdir(tmp_path)
    text = 'gates = ["f1 >> 1"]\n[serve]\nprt = 1\nport = "x"\n'
    (tmp_path / "afterfit.toml").write_text(text)
    assert run(["version", "list"]) == 2
    told = capsys.readouterr().err
    assert "3 problems" in told
    for part in ("$.serve.prt", "did you mean 'port'", "$.serve.port", "$.gates[0]"):
        assert part in told
    assert "line 3" in told


def test_a_bad_configuration_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the error names as its fix shows every value, what is wrong and the line to change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERFIT_LINE_SEED", "many")
    (tmp_path / "afterfit.toml").write_text('[line]\nfolds = 3\n[serve]\nport = "x"\n')
    assert run(["config", "show"]) == 2
    told = capsys.readouterr().out
    assert re.search(r"serve\.port +\"x\" +afterfit\.toml", told)
    assert re.search(r"line\.folds +3 +afterfit\.toml", told)
    assert f"change serve.port in {tmp_path / 'afterfit.toml'}, line 4" in told
    assert "unset AFTERFIT_LINE_SEED" in told
    assert run(["config", "show", "--json"]) == 2
    result = json.loads(capsys.readouterr().out)["result"]
    assert [problem["path"] for problem in result["problems"]] == ["$.line.seed", "$.serve.port"]


def test_the_template_is_a_valid_configuration(tmp_path: Path) -> None:
    """What ``init`` writes can be read, and twice is a conflict."""
    from afterfit.config import load_config

    assert run(["init", str(tmp_path)]) == 0
    assert load_config(tmp_path, environ={}).config.gates == ("baseline_lift > 0",)
    assert run(["init", str(tmp_path)]) == 2


def test_every_command_that_a_message_names_exists(project_root: Path) -> None:
    """A fix to paste must work: each ``afterfit WORD`` in the sources and pages is a command."""
    wrong = []
    pages = [project_root / "README.md", project_root / "CONTRIBUTING.md"]
    for path in [*project_root.glob("src/**/*.py"), *project_root.glob("docs/**/*.md"), *pages]:
        text = path.read_text(encoding="utf-8")
        for word, member in NAMED.findall(text):
            group = GROUPS.get(word)
            known = word in COMMANDS or (group and (not member or member in group[1]))
            if not known:
                wrong.append(f"{path.relative_to(project_root)}: afterfit {word} {member}")
    assert wrong == []


def _text(node: ast.expr) -> str:
    """The text of an expression of strings, with X for what is only known when it runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)}; {_text(node.orelse)}"
    return "X"


def _fixes(root: Path) -> Iterator[tuple[str, str]]:
    """Place and text of every ``fix=`` of an error or a finding, and of every finding's page."""
    for path in sorted((root / "src" / "afterfit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for keyword in node.keywords:
                    if keyword.arg == "fix":
                        where = f"{path.relative_to(root)}:{keyword.value.lineno}"
                        yield where, _text(keyword.value)
    for code, check in load_checks().items():
        yield code, check.page()["Fix"]


def _refused(command: str) -> str:
    """Why the command line does not take a whole command; words alone may lack arguments."""
    words = shlex.split(command)[1:]
    try:
        build().parse_args(words, print_error=False, exit_on_error=False, help_on_error=False)
    except UnusedCliTokensError as error:
        # X may stand for an option with its value.
        return "" if set(error.unused_tokens or ()) == {"X"} else str(error)
    except MissingArgumentError as error:
        return str(error) if any(word.startswith("-") for word in words) else ""
    except CycloptsError as error:
        return str(error)
    return ""


def test_every_fix_is_taken_by_the_command_line(project_root: Path) -> None:
    """Not its first word alone: each ``afterfit …`` of a fix parses, options and all."""
    found = 0
    told = []
    for where, text in _fixes(project_root):
        for match in re.finditer(r"\bafterfit (?=[a-z])", text):
            command = ENDS.split(text[match.start() :])[0].strip()
            found += 1
            if why := _refused(command):
                told.append(f"{where}: {command}: {why}")
    assert told == []
    assert found > 30


def test_every_option_that_a_fix_names_exists(
    project_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--effort full`` is an option of a command here, or of the server in an image."""
    known = FOREIGN | set(OPTION.findall(parser().format_help()))
    for command in ALL:
        assert run([*command, "--help"]) == 0
        known |= set(OPTION.findall(capsys.readouterr().out))
    fixes = [
        (where, option) for where, text in _fixes(project_root) for option in OPTION.findall(text)
    ]
    assert len(fixes) > 60
    assert [(where, option) for where, option in fixes if option not in known] == []
