"""What a person writes to tell where a shared workspace is, and what nobody may read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterfit.errors import ConfigError, NotFoundError, UnavailableError
from afterfit.registry.shared.opening import open_stores
from afterfit.registry.shared.place import POINTER, SharedPlace, place_of
from afterfit.store.remote.secret import redacted, without_secrets

URL = "postgresql://ana:hunter2@db/team?sslmode=require&blobs=s3%3A%2F%2Fbucket%2Fp&sslpassword=hunter2"


def test_a_url_a_file_and_a_folder_with_the_file_tell_the_same(tmp_path: Path) -> None:
    """Whatever the database's own settings are stays with its address."""
    found = place_of(URL)
    assert found is not None
    assert found.blobs == "s3://bucket/p"
    assert found.database == "postgresql://ana:hunter2@db/team?sslmode=require&sslpassword=hunter2"
    placed = SharedPlace(database=found.database, blobs=found.blobs, cache=str(tmp_path / "c"))
    placed.point()
    text = (tmp_path / "c" / POINTER).read_text("utf-8")
    assert "hunter2" not in text
    again = place_of(tmp_path / "c")
    assert again == place_of(tmp_path / "c" / POINTER)
    assert again is not None
    assert again.database == "postgresql://ana@db/team?sslmode=require"
    assert again.folder == placed.folder


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    """Without the file nothing is shared."""
    assert place_of(tmp_path) is None
    assert place_of(".afterfit") is None


@pytest.mark.parametrize(
    "url", ["postgresql://ana:hunter2@db/team", "s3://bucket/x", "mysql://ana:hunter2@db?blobs=x"]
)
def test_a_url_that_lacks_something_shows_one_that_does_not(url: str) -> None:
    """And never the password."""
    with pytest.raises(ConfigError) as caught:
        place_of(url)
    assert "?blobs=s3://" in caught.value.fix
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "database = 3",
        'blobs = "s3://b"',
        'database = "mysql://x"\nblobs = "s3://b"',
        "= ",
        'x = "y"',
    ],
)
def test_a_wrong_file_says_where_and_what(text: str, tmp_path: Path) -> None:
    """The file is named."""
    (tmp_path / POINTER).write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        place_of(tmp_path)
    assert caught.value.where == str(tmp_path / POINTER)
    with pytest.raises(NotFoundError):
        place_of(tmp_path / "none.toml")


def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    """Nobody listens on that port."""
    url = f"postgresql://ana:hunter2@127.0.0.1:9/team?blobs=file://{tmp_path}&cache={tmp_path}/c"
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        open_stores(url)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:9" in caught.value.where


def test_no_secret_is_left_in_a_text() -> None:
    """Users' passwords, tokens of a query, keys of an account."""
    text = "az://x?sig=hunter2&y=1 postgresql://a:hunter2@h s3://k:hunter2@b account_key=hunter2"
    assert "hunter2" not in redacted(text)
    assert without_secrets("az://x?sig=hunter2&y=1") == "az://x?y=1"


def test_neither_records_nor_the_configuration_shown_hold_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was asked of a line leaves out where the workspace is."""
    from afterfit.cli.config import show
    from afterfit.config import load_config
    from afterfit.workspace.asked import ASKED, asked_of
    from afterfit.workspace.sources import Sources

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERFIT_WORKSPACE", URL)
    monkeypatch.setenv("AFTERFIT_LINE_SEED", "7")
    given = load_config().given
    assert given["workspace"] == URL
    sources = Sources(model="m.skops", data="rows.csv")
    for step in (*ASKED, "ship"):
        assert "hunter2" not in str(asked_of(step, sources, given))
    assert asked_of("ship", sources, given) == {"line.seed": 7}
    answer = show()
    assert "hunter2" not in f"{answer.text} {answer.result}"
    assert "postgresql://ana@db/team" in answer.text
