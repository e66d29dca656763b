"""One workspace for all tests of the pages: none of them changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report import samples as records
from tests.web.samples import Browser, filled, site_of


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with something on every page."""
    return filled(tmp_path_factory.mktemp("shop") / ".afterfit")


@pytest.fixture(scope="session")
def browser(workspace: Path) -> Browser:
    """Somebody on this machine who looks at it."""
    return Browser(site_of(workspace))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Somebody who looks at a workspace without anything."""
    folder = tmp_path_factory.mktemp("new") / ".afterfit"
    folder.mkdir()
    return Browser(site_of(folder))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Somebody who looks at a workspace whose names want to be markup."""
    folder = tmp_path_factory.mktemp("bad") / ".afterfit"
    return Browser(site_of(filled(folder, records.HOSTILE)))
