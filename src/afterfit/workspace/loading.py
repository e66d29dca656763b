"""Endpoints under load: a version, a bundle, or a server that runs, and what can go wrong."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset
from afterfit.core.digest import sha256_bytes
from afterfit.core.progress import Progress
from afterfit.core.serving_settings import ServingSettings
from afterfit.errors import UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.arrivals import Closed
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.endpoint import About, Endpoint, load_endpoint
from afterfit.loadtest.gathered import Live, live_text
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.shot import Arrivals, Shooter, Shot
from afterfit.loadtest.soak import FaultName
from afterfit.loadtest.target import Ask, target_of
from afterfit.package.golden import MAX_ROWS, golden_rows
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.runtime.batch import BatchSettings
from afterfit.serve.config import ServeConfig
from afterfit.serve.division import division_of
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.store.environment import current_environment, usable_cores
from afterfit.workspace.baseline import baselines_of, beside
from afterfit.workspace.load_faults import faults_of, slow_clients
from afterfit.workspace.tuned import tuned_settings

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = [
    "Against",
    "Elsewhere",
    "Standing",
    "bundle_of",
    "load_bundle",
    "loadtest_endpoint",
    "rows_of",
    "usual_settings",
]

NAME = "model"
PROBE_S = 1.0


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier load test to compare with, told as `baselines_of` says.

    ``anyway`` compares what was measured otherwise, too.
    """

    baseline: str
    anyway: bool = False


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """How a server that we did not start is asked: headers are sent and never kept."""

    headers: tuple[tuple[str, str], ...] = ()
    allow_remote: tuple[str, ...] = ()


def loadtest_endpoint(
    space: Workspace,
    endpoint: str,
    config: LoadConfig,
    *,
    ask: Ask | None = None,
    means: Means | None = None,
    data: Dataset | None = None,
    elsewhere: Elsewhere | None = None,
    against: Against | None = None,
) -> Stored:
    """Return the record of an endpoint under load: a version, a bundle's folder, or a URL.

    ``data`` are the rows to send; without it a version is asked rows that are drawn from its
    fingerprint, and a URL those of its example. A version and a bundle are served on loopback with
    the settings that `serve` would take, for as long as the test runs.
    """
    started = time.monotonic()
    baselines = baselines_of(space, against.baseline, endpoint) if against else ()
    ask = ask or Ask(seed=config.seed)
    aim = _Aim(config, means or Means(), ask, data, space.progress)
    if "://" in endpoint:
        tested = _of_url(endpoint, aim, elsewhere or Elsewhere())
    else:
        tested = _of_bundle(space, endpoint, bundle_of(space, endpoint), aim)
    record = load_endpoint(tested, config, space.progress)
    resolved = {**record.resolved, "rows": ask.rows, "binary": ask.binary}
    record = msgspec.structs.replace(record, resolved=resolved)
    if against is not None:
        record = beside(record, baselines, anyway=against.anyway)
    return space.attach_where_due(space.keep(record, started=started))


@dataclass(frozen=True)
class _Aim:
    """What is asked, with what, and who is told."""

    config: LoadConfig
    means: Means
    ask: Ask
    data: Dataset | None
    progress: Progress
    interruptions: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Return whether ctrl-C has ended a run."""
        return bool(self.interruptions)

    def usual_rps(self, generator: Generator, workers: int) -> float:
        """Return what two users for each worker get answered in a second, before a search only."""
        config = self.config
        if config.slo is None or config.schedule or config.at_rps:
            return 0.0
        shot = generator.fire(Closed(2 * max(1, workers)), PROBE_S, config.seed)
        return float(shot.good.sum()) / PROBE_S

    @contextmanager
    def generator(
        self, target: Target, lives: list[Live], pid: int | None = None
    ) -> Iterator[Generator]:
        """Yield a generator that fires at a target and tells each second of it."""
        slo = self.config.slo

        def second(live: Live) -> None:
            lives.append(live)
            self.progress.now(live_text(live))

        limit = None if slo is None else slo.limit_ms
        with Generator(target, self.means, limit_ms=limit, pid=pid, on_second=second) as generator:
            for note in target.notes:
                self.progress.say(f"  ! {note}")
            yield generator
            if generator.interrupted:
                self.interruptions.append("in a run")


@dataclass
class _Up:
    """A server that is up, as a load test sees it."""

    generator: Generator
    ask_once: Callable[[], None]
    lives: list[Live] = field(default_factory=list)
    faults: Mapping[FaultName, Callable[[], None]] = field(default_factory=dict)
    workers: int = 0
    start_s: float = 0.0
    load_s: float = 0.0
    usual_rps: float = 0.0

    @property
    def shooter(self) -> Shooter:
        """Return the generator."""
        return self.generator

    def follow(self, schedule: Arrivals | Closed, seconds: float, seed: int) -> Shot:
        """Send what a schedule says."""
        return self.generator.fire(schedule, seconds, seed)

    def memory_bytes(self) -> float | None:
        """Return the memory that was seen last."""
        seen = (live.seen.get("server_memory_bytes") for live in reversed(self.lives))
        return next((value for value in seen if value is not None), None)

    def ask(self) -> None:
        """Send one request and return when it is answered."""
        self.ask_once()


# A server that runs elsewhere.


def _of_url(url: str, aim: _Aim, elsewhere: Elsewhere) -> Endpoint:
    config = aim.config
    if wanted := [
        name
        for name, value in (("--grid", config.grid), ("--cold-starts", config.cold_starts))
        if value
    ]:
        raise UsageError(
            f"{', '.join(wanted)}: only for a server that is started here",
            where=url,
            fix="afterfit loadtest NAME@champion",
        )
    target = target_of(
        url,
        aim.ask,
        data=aim.data,
        headers=elsewhere.headers,
        allow_remote=elsewhere.allow_remote,
    )

    @contextmanager
    def stand(_: ServingSettings) -> Iterator[_Up]:
        lives: list[Live] = []
        with aim.generator(target, lives) as generator:
            faults: dict[FaultName, Callable[[], None]] = {"slow": lambda: slow_clients(target)}
            usual = aim.usual_rps(generator, 1)
            yield _Up(generator, lambda: None, lives, faults, usual_rps=usual)

    inputs = {} if aim.data is None else {"data": aim.data.digest}
    # Nobody knows which bytes answer there: the address stands for them.
    about = About(
        subject=sha256_bytes(target.url.encode()),
        target=target.url,
        env=current_environment(),
        inputs=inputs,
    )
    return Endpoint(about, stand)


# A version or a bundle.


class Standing(NamedTuple):
    """What is served for a test: the model's name, its bundle, and another one to swap to."""

    name: str
    served: ServedBundle
    other: ServedBundle | None = None


def load_bundle(
    space: Workspace, standing: Standing, config: LoadConfig, data: Dataset
) -> LoadtestRecord:
    """Return what a bundle did under load, for a caller whose walk goes on after it.

    Raises KeyboardInterrupt where ctrl-C ended it.
    """
    aim = _Aim(config, Means(), Ask(seed=config.seed), data, space.progress)
    record = load_endpoint(_of_bundle(space, "", standing, aim), config, space.progress)
    if aim.interrupted:
        raise KeyboardInterrupt
    return record


def usual_settings(space: Workspace, served: ServedBundle) -> ServingSettings:
    """Return the settings that `serve` would take for a bundle, admitting everything."""
    asked = space.config.serve
    tuned = tuned_settings(space, [served.digest])
    division = division_of(
        asked.workers or tuned.workers or None,
        asked.threads or tuned.intra_op or None,
        [served.folder],
    )
    return msgspec.structs.replace(
        tuned,
        workers=division.workers,
        intra_op=division.threads,
        batch_cap=asked.batch_cap or tuned.batch_cap,
        queue_rows=asked.queue_rows or tuned.queue_rows,
        # What it admits now must not be what it is found to carry.
        admission_rps=0.0,
    )


def _of_bundle(space: Workspace, ref: str, standing: Standing, aim: _Aim) -> Endpoint:
    name, served, other = standing
    bundle = Bundle(served.folder)
    data = aim.data if aim.data is not None else rows_of(bundle, aim.config.seed)
    if aim.data is None:
        space.progress.say("  no --data: rows drawn from the version's fingerprint are sent")
    usual = usual_settings(space, served)

    @contextmanager
    def stand(settings: ServingSettings) -> Iterator[_Up]:
        try:
            right = _right_after_swap(standing, aim, data)
            with _served(name, served, settings) as server:
                target = target_of(server.url, aim.ask, data=data, signature=bundle.signature)
                target = _either(target, right)
                lives: list[Live] = []
                with aim.generator(target, lives, server.pid) as generator:
                    yield _Up(
                        generator,
                        lambda: _ask_once(server, target),
                        lives,
                        faults_of(server, name, target, other),
                        settings.workers or usual.workers,
                        server.start_s,
                        server.load_s,
                        aim.usual_rps(generator, settings.workers or usual.workers),
                    )
        except KeyboardInterrupt:
            aim.interruptions.append("between runs")
            raise

    about = About(
        subject=served.digest,
        target=ref,
        env=current_environment(),
        inputs={"data": data.digest},
        settings=usual,
        cores=usable_cores(),
    )
    return Endpoint(about, stand)


Judge = Callable[[int, bytes], bool]


def _right_after_swap(standing: Standing, aim: _Aim, data: Dataset) -> Judge | None:
    """Return what says that an answer is not that of the version to swap to; None without one."""
    name, _, other = standing
    if other is None or "swap" not in aim.config.faults:
        return None
    signature = Bundle(other.folder).signature
    with _served(name, other, ServingSettings(workers=1)) as server:
        return target_of(server.url, aim.ask, data=data, signature=signature).wrong


def _either(target: Target, also: Judge | None) -> Target:
    """Return a target whose answers may also be those that another judge finds right."""
    first = target.wrong
    if first is None or also is None:
        return target
    return replace(target, wrong=lambda number, body: first(number, body) and also(number, body))


def bundle_of(space: Workspace, ref: str) -> Standing:
    """Return what a reference names: a bundle's folder or a version, beside it another one."""
    folder = Path(ref)
    if (folder / "manifest.json").is_file():
        return Standing(NAME, ServedBundle(1, Bundle(folder).digest, folder))
    found = space.registry.resolve(ref)
    served = space.version(f"{found.name}@{found.number}")
    others = [v for v in space.registry.list(found.name) if v.digest != found.digest]
    other = space.version(f"{found.name}@{others[-1].number}") if others else None
    return Standing(found.name, served, other)


def rows_of(bundle: Bundle, seed: int) -> Dataset:
    """Return rows that are drawn from a bundle's fingerprint."""
    frame = golden_rows(bundle.fingerprint, bundle.signature, n=MAX_ROWS, seed=seed)
    return Dataset(frame, source="the version's fingerprint")


@contextmanager
def _served(name: str, served: ServedBundle, settings: ServingSettings) -> Iterator[ServerHandle]:
    config = ServeConfig(
        host="127.0.0.1",
        port=0,
        workers=settings.workers,
        threads=settings.intra_op,
        batching=BatchSettings(
            cap=settings.batch_cap,
            queue_rows=settings.queue_rows,
            deadline_ms=settings.deadline_ms,
        ),
    )
    state = Path(tempfile.mkdtemp(prefix="afterfit-load-"))
    try:
        with (
            (state / "server.log").open("wb") as log,
            start_server({name: served}, config, state, log=log) as server,
        ):
            yield server
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _ask_once(server: ServerHandle, target: Target) -> None:
    with server.client() as client:
        body = target.requests[0].partition(b"\r\n\r\n")[2]
        client.request("POST", target.route, body, content_type="application/json")
