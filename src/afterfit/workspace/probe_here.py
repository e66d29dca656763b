"""``python -m afterfit.workspace.probe_here``: measures one replica on this machine.

The server runs on its own cores and the load comes from the others; the greatest rate within the
objective is searched and certified as `afterfit loadtest` does, and cold starts are timed. It runs
in the probe's container, and from any environment that has Afterfit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset
from afterfit.core.serving_settings import ServingSettings
from afterfit.core.slo import slo_of
from afterfit.errors import AfterfitError, UnavailableError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.arrivals import Closed
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.endpoint import About, Endpoint, load_endpoint
from afterfit.loadtest.gathered import Live
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.shot import Arrivals, Shooter, Shot
from afterfit.loadtest.soak import FaultName
from afterfit.loadtest.target import Ask, target_of
from afterfit.platforms.catalog import builtin
from afterfit.platforms.probe.machine import Pinning, machine_here, pinning, usable_cpus
from afterfit.platforms.probe.results import RESULT, ProbeResult
from afterfit.records.loadtest import LoadtestRecord
from afterfit.runtime.batch import BatchSettings
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.store.environment import current_environment
from afterfit.store.files import read_bytes, write_bytes
from afterfit.workspace.loading import rows_of
from afterfit.workspace.placing import ToldReplica, measured_of, tier_of_features

__all__ = ["Asked", "main", "measure_here"]

STARTS = 6
USUAL_S = 1.0
SEARCHED, CERTIFIED = 0.7, 0.015
"""Parts of the time for the search, and for one of the certificate's eight tries at most."""
SHORT_S = 120.0
LEAST_S, MOST_S = 40.0, 600.0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the kit's ``probe.json`` asks: of which bundle, at which objective, and how it serves.

    ``seconds`` bounds the whole.
    """

    name: str
    number: int
    digest: str
    slo: str
    settings: ServingSettings
    seconds: float = 600.0
    seed: int = 0


def measure_here(asked: Asked, bundle: Bundle, machine: str = "") -> ProbeResult:
    """Return what one replica of a bundle holds on this machine.

    ``machine`` names it; without it the machine's cloud is asked, if it answers. Raises
    IntegrityError for another bundle, UnavailableError where no rate holds the objective.
    """
    bundle.verify(asked.digest)
    env = current_environment()
    usable = usable_cpus()
    pinned = pinning(asked.settings.workers * asked.settings.intra_op, usable)
    settings = _fitting(asked.settings, pinned)
    config = _config(asked)
    replica = _Replica(asked, bundle, pinned)
    about = About(subject=asked.digest, target=asked.name, env=env, settings=settings,
                  cores=len(pinned.server))  # fmt: skip
    _run_on(pinned.load)
    try:
        record = load_endpoint(Endpoint(about, replica.stand), config)
    finally:
        _run_on(usable)
    return _result(asked, record, pinned, machine)


def _config(asked: Asked) -> LoadConfig:
    short = asked.seconds < SHORT_S
    return LoadConfig(
        slo=slo_of(asked.slo),
        seconds=min(5.0, asked.seconds / 100),
        budget_s=asked.seconds * SEARCHED,
        certify_s=asked.seconds * CERTIFIED,
        cold_starts=2 if short else STARTS,
        seed=asked.seed,
    )


def _fitting(settings: ServingSettings, pinned: Pinning) -> ServingSettings:
    """Return settings for the cores that there are: a worker each where they are fewer."""
    if settings.workers * settings.intra_op == len(pinned.server):
        return settings
    return msgspec.structs.replace(settings, workers=len(pinned.server), intra_op=1)


def _run_on(cpus: Sequence[int]) -> None:
    # Of this thread, and of what it starts from now on.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


@dataclass
class _Up:
    """A server that is up, pinned to its cores."""

    shooter: Shooter
    follow: Callable[[Arrivals | Closed, float, int], Shot]
    ask: Callable[[], None]
    workers: int
    start_s: float
    load_s: float
    usual_rps: float = 0.0
    lives: list[Live] = field(default_factory=list)
    faults: Mapping[FaultName, Callable[[], None]] = field(default_factory=dict)

    def memory_bytes(self) -> float | None:
        """Return the memory that was seen last."""
        seen = (live.seen.get("server_memory_bytes") for live in reversed(self.lives))
        return next((value for value in seen if value is not None), None)


class _Replica:
    """Brings the server up on its cores and fires at it from the others."""

    def __init__(self, asked: Asked, bundle: Bundle, pinned: Pinning) -> None:
        self._asked = asked
        self._bundle = bundle
        self._pinned = pinned
        self._rows: Dataset = rows_of(bundle, asked.seed)

    @contextmanager
    def stand(self, settings: ServingSettings) -> Iterator[_Up]:
        """Yield the server with a generator for it."""
        lives: list[Live] = []
        with self._served(settings) as server:
            ask = Ask(seed=self._asked.seed)
            target = target_of(server.url, ask, data=self._rows, signature=self._bundle.signature)
            limit = slo_of(self._asked.slo).limit_ms
            means = Means(cores=self._pinned.load)
            with Generator(
                target, means, limit_ms=limit, pid=server.pid, on_second=lives.append
            ) as generator:
                users = Closed(2 * max(1, settings.workers))
                usual = generator.fire(users, USUAL_S, self._asked.seed).good.sum() / USUAL_S
                yield _Up(
                    generator, generator.fire, lambda: _ask_once(server, target),
                    settings.workers, server.start_s, server.load_s, float(usual), lives,
                )  # fmt: skip

    @contextmanager
    def _served(self, settings: ServingSettings) -> Iterator[ServerHandle]:
        batching = BatchSettings(cap=settings.batch_cap, queue_rows=settings.queue_rows)
        config = ServeConfig(host="127.0.0.1", port=0, workers=settings.workers,
                             threads=settings.intra_op, batching=batching)  # fmt: skip
        served = ServedBundle(self._asked.number, self._asked.digest, self._bundle.folder)
        state = Path(tempfile.mkdtemp(prefix="afterfit-probe-"))
        try:
            with (state / "server.log").open("wb") as log:
                _run_on(self._pinned.server)
                try:
                    server = start_server({self._asked.name: served}, config, state, log=log)
                finally:
                    _run_on(self._pinned.load)
                with server:
                    yield server
        finally:
            shutil.rmtree(state, ignore_errors=True)


def _ask_once(server: ServerHandle, target: Target) -> None:
    with server.client() as client:
        body = target.requests[0].partition(b"\r\n\r\n")[2]
        client.request("POST", target.route, body, content_type="application/json")


def _result(asked: Asked, record: LoadtestRecord, pinned: Pinning, machine: str) -> ProbeResult:
    if record.sustained_rps is None or record.sustained_rps.value is None:
        why = next((step.why for step in reversed(record.steps) if step.why), "")
        raise UnavailableError(
            "no rate was found that holds the objective on this machine", where=asked.slo, why=why,
            fix="give it more time (--seconds 600), or see whether anything else runs here",
        )  # fmt: skip
    named = machine or machine_here()
    catalog = builtin()
    known = named in {each.id for each in catalog.machines}
    told = ToldReplica(cores=float(len(pinned.server)), machine=named if known else "")
    measured = measured_of(told, record, catalog, slo_of(asked.slo))
    promised = measured.tier
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    env = record.env
    # The processor itself, not the catalog: it may have been told wrongly, or be an older one.
    tier = tier_of_features(env.cpu_features) or measured.tier
    measured = msgspec.structs.replace(
        measured, machine=named, tier=tier, siblings=pinned.siblings,
        source=f"probe of {date} on {named or env.cpu}",
    )  # fmt: skip
    proof = record.certificate
    notes = (*_notes(asked, pinned, named, known=known), *_otherwise(named, promised, tier))
    return ProbeResult(
        digest=asked.digest, slo=str(slo_of(asked.slo)), measured=measured, cpu=env.cpu,
        features=env.cpu_features, cores=env.cores, date=date, afterfit=env.afterfit,
        generator_cores=len(set(pinned.load) - set(pinned.server)), told=bool(machine),
        requests=sum(step.requests for step in record.steps),
        seconds=sum(step.seconds for step in record.steps),
        certified=None if proof is None else proof.rate, notes=notes,
    )  # fmt: skip


def _notes(asked: Asked, pinned: Pinning, named: str, *, known: bool) -> tuple[str, ...]:
    notes = []
    wanted = asked.settings.workers * asked.settings.intra_op
    if len(pinned.server) < wanted:
        notes.append(f"the replica had {len(pinned.server)} of {wanted} vCPUs: no more are here")
    if set(pinned.load) & set(pinned.server):
        notes.append("server and load shared the only vCPU: the rate is too low")
    if not named:
        notes.append("the machine was not named: give --machine aws/us-east-1/m7i.large")
    elif not known:
        notes.append(f"{named} is not in the catalog that ships")
    return tuple(notes)


def _otherwise(named: str, promised: str, tier: str) -> tuple[str, ...]:
    if promised in ("", tier):
        return ()
    told = f"the processor here multiplies with {tier}, that of {named} with {promised}"
    return (f"{told}: is this machine what it was told to be?",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 after writing the result, which is also the last line on standard output."""
    options = _parser().parse_args(arguments)
    try:
        asked = msgspec.json.decode(read_bytes(options.settings), type=Asked)
        seconds = min(max(options.seconds or asked.seconds, LEAST_S), MOST_S)
        asked = msgspec.structs.replace(asked, seconds=seconds)
        result = measure_here(asked, Bundle(options.bundle), options.machine)
        document = msgspec.json.format(msgspec.json.encode(result), indent=2)
        write_bytes(options.output / RESULT, document + b"\n")
    except AfterfitError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except msgspec.DecodeError as error:
        sys.stderr.write(f"error: no settings of a probe\n  where: {options.settings}: {error}\n")
        return 2
    rate = result.measured
    sys.stderr.write(
        f"{rate.rate:.4g} requests/s ({rate.low:.4g} to {rate.high:.4g}) on {rate.cores:g} vCPU "
        f"within {result.slo}; written to {options.output / RESULT}\n"
    )
    sys.stderr.write("".join(f"note: {note}\n" for note in result.notes))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="probe", description=__doc__, allow_abbrev=False)
    made.add_argument("--bundle", type=Path, required=True, help="the bundle's folder")
    made.add_argument("--settings", type=Path, required=True, help="the kit's probe.json")
    made.add_argument("--output", type=Path, default=Path(), help="folder for the result")
    made.add_argument("--machine", default="", help="such as aws/us-east-1/m7i.large")
    made.add_argument("--seconds", type=float, default=0.0, help="of about all: 40 to 600")
    return made


if __name__ == "__main__":
    sys.exit(main())
