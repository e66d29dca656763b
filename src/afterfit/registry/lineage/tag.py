"""An annotated tag of Git for a version: its name, its digest, and where its evidence is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from afterfit.errors import ConflictError, NotFoundError, ResourceError, UsageError
from afterfit.registry.version import Version
from afterfit.store.git import run_git

__all__ = ["GitTag", "tag"]

_SECONDS = 30.0


class GitTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag on a commit; ``new`` is False where it stood there already and says the same."""

    name: str
    commit: str
    digest: str
    message: str
    new: bool


def tag(folder: Path, version: Version, commit: str = "") -> GitTag:
    """Return the tag ``NAME/N`` after putting it on ``commit`` (HEAD without one).

    Raises NotFoundError without a repository or commit, ConflictError where the tag says something
    else, ResourceError where Git fails.
    """
    if not run_git(folder, "rev-parse", "--git-dir"):
        raise NotFoundError(
            "this folder is in no Git repository", where=str(folder.resolve()),
            why="or git is not installed", fix="go to the folder of the model's code",
        )  # fmt: skip
    if commit.startswith("-"):
        raise UsageError(f"not a commit: {commit!r}", fix="give the hash of a commit")
    on = run_git(folder, "rev-parse", "--verify", "--quiet", f"{commit or 'HEAD'}^{{commit}}")
    if not on:
        raise NotFoundError(
            f"there is no commit {commit or 'HEAD'} in this repository",
            where=str(folder.resolve()),
            why="the version was shipped from another repository, or nothing was committed yet",
            fix="git fetch --all, or name one: --commit HASH",
        )
    name, message = f"{version.name}/{version.number}", _message(version)
    made = GitTag(name=name, commit=on, digest=version.digest, message=message, new=True)
    if run_git(folder, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}"):
        return _known(folder, made)
    _git(folder, "tag", "--annotate", "--message", message, name, on)
    return made


def _message(version: Version) -> str:
    lines = [f"{version.name}@{version.number}", "", f"Afterfit-Digest: sha256:{version.digest}"]
    lines += [f"Afterfit-{step.capitalize()}: {d}" for step, d in sorted(version.evidence.items())]
    return "\n".join(lines)


def _known(folder: Path, made: GitTag) -> GitTag:
    on = run_git(folder, "rev-parse", f"refs/tags/{made.name}^{{commit}}")
    said = run_git(folder, "tag", "--list", "--format=%(contents)", made.name)
    if on == made.commit and f"Afterfit-Digest: sha256:{made.digest}" in said:
        return msgspec.structs.replace(made, message=said, new=False)
    raise ConflictError(
        f"the tag {made.name} is there already and says something else",
        where=f"refs/tags/{made.name}",
        why=f"it stands on {on[:12]}, wanted was {made.commit[:12]} with sha256:{made.digest[:12]}",
        fix=f"look at it: git show {made.name}; to replace it: git tag --delete {made.name}",
    )


def _git(folder: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is found on PATH as usual
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ResourceError(
            "Git did not make the tag", why=type(error).__name__, fix="look at: git status"
        ) from None
    if done.returncode != 0:
        raise ResourceError(
            "Git did not make the tag",
            where=str(folder.resolve()),
            why=" ".join(done.stderr.split())[:300],
            fix="git config user.name and user.email must be set; then run the command again",
        )
