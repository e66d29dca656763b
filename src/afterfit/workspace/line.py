"""The line: inspect → assess → optimize → package → robustness → loadtest → register → promote."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from afterfit.assess.run import assess
from afterfit.config import Config
from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset
from afterfit.core.digest import digest_of
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, UsageError, in_record
from afterfit.inspect.run import inspect_model
from afterfit.loadtest.run import loadtest
from afterfit.models.code import tree_digest
from afterfit.models.hosted import HostedVariant
from afterfit.models.loaded import Hints, LoadedModel
from afterfit.optimize.lossy import Means
from afterfit.optimize.made import KeptInFolder
from afterfit.optimize.run import optimize
from afterfit.records.assess import AssessRecord
from afterfit.records.codec import Stored
from afterfit.records.inspect import InspectRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.package import PackageRecord
from afterfit.records.robustness import RobustnessRecord
from afterfit.robustness.config import require_fixed, require_monotone
from afterfit.robustness.run import robustness
from afterfit.runtime.cpus import Division
from afterfit.serve.config import ServeConfig
from afterfit.serve.division import division_of
from afterfit.serve.run import ServedBundle, start_server
from afterfit.workspace import effort, payload
from afterfit.workspace.asked import asked_of, inspect_config, replace_seconds
from afterfit.workspace.case_book import WorkspaceBook
from afterfit.workspace.champion import champion_of, made_of, opened_champion
from afterfit.workspace.dvc_data import from_dvc
from afterfit.workspace.loading import Standing, load_bundle
from afterfit.workspace.mlflow import bring, is_mlflow
from afterfit.workspace.sources import Sources, name_of, read_sources
from afterfit.workspace.space import Workspace

STEPS = ("inspect", "assess", "optimize", "package", "robustness", "loadtest")
NEEDS: dict[str, tuple[str, ...]] = {
    "inspect": (),
    "assess": ("inspect",),
    "optimize": ("inspect",),
    "robustness": ("inspect", "optimize", "package"),
    "loadtest": ("inspect", "optimize", "package"),
}
"""The steps before each of those that can be run alone."""


@dataclass
class Line:
    """One walk: what it walks on, and the records so far.

    ``required`` is the step that the walk is for: it has its time and raises where it fails.
    """

    space: Workspace
    sources: Sources
    data: Dataset
    train: Dataset | None
    model: LoadedModel
    name: str
    budget: effort.Budget
    fresh: bool = False
    required: str = ""
    records: dict[str, Stored] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The workspace's configuration."""
        return self.space.config

    @property
    def inputs(self) -> dict[str, str]:
        """The digests of the tables, of the user's own code, and of the versions of libraries."""
        train = {} if self.train is None else {"train": self.train.digest}
        code = {"code": self.code_digest} if self.code_digest else {}
        libraries = {"libraries": digest_of(self.model.description.installed)}
        return {"data": self.data.digest, **train, **code, **libraries}

    @cached_property
    def code_digest(self) -> str:
        """The digest of the user's own code; empty where there is none."""
        if self.model.code_digest or self.sources.code is None:
            return self.model.code_digest
        # A model in memory carries none: the code then holds the function that fits it again.
        return tree_digest(self.sources.code)

    @property
    def signature(self) -> Signature:
        """The signature that inspect found."""
        body = self.records["inspect"].body
        if not isinstance(body, InspectRecord):
            raise UsageError("the model has not been inspected", fix="walk the step inspect first")
        return body.signature

    @property
    def decided(self) -> Signature:
        """The signature of what ships: that of the model, unless a map moved its threshold."""
        return self.optimized.decides(self.signature)

    @property
    def optimized(self) -> OptimizeRecord:
        """What optimize chose."""
        body = self.records["optimize"].body
        if not isinstance(body, OptimizeRecord):
            raise UsageError("the model has not been optimized", fix="walk the step optimize first")
        return body

    @cached_property
    def bundle(self) -> Bundle:
        """The drafted bundle, checked out and verified byte by byte."""
        body = self.records["package"].body
        digest = body.bundle if isinstance(body, PackageRecord) else ""
        folder = self.space.folder / "bundles" / digest
        self.space.blobs.checkout(self.space.blobs.manifest(digest), folder)
        return Bundle(folder)

    def inspect(self) -> Stored:
        """Run ``inspect``; the model learns names and classes from it, also when it is reused."""
        asked = inspect_config(self.sources, self.config)
        stored = self._step(
            "inspect",
            lambda: inspect_model(
                self.model, self.data, self.train, asked, progress=self.space.progress
            ),
            resolved=msgspec.to_builtins(asked),
        )
        if not isinstance(stored.body, InspectRecord):
            return stored
        # Told now: the steps before robustness take minutes.
        known = self.config.robustness
        require_monotone(known.monotone, stored.body.signature)
        require_fixed(known.fixed, stored.body.signature)
        if "inspect" in self.space.reused:
            self.model.adopt(Hints.of(stored.body.signature))
        return stored

    def assess(self) -> Stored:
        """Run ``assess``."""
        seconds = self._seconds("assess")
        asked = effort.assess_config(self.config, str(self.sources.code or ""), seconds)
        inspected = self.records["inspect"].body
        described = inspected.description if isinstance(inspected, InspectRecord) else None
        champion = champion_of(self.space, self.name)
        resolved = [digest_of(self.signature), msgspec.to_builtins(replace_seconds(asked))]
        if champion is not None and not made_of(self.space, champion, self.model.digest):
            # Beside itself a model has nothing new to show: its record is reused.
            resolved.append(champion.digest)

        def make() -> AssessRecord:
            with opened_champion(self.space, champion, self.model.digest) as rival:
                return assess(
                    self.model,
                    self.signature,
                    self.data,
                    self.train,
                    asked,
                    subject=self.model.digest,
                    refittable=described is not None and described.refittable,
                    estimator="" if described is None else described.estimator,
                    rival=rival,
                    progress=self.space.progress,
                )

        return self._step("assess", make, resolved=resolved, seconds=seconds)

    def optimize(self) -> Stored:
        """Run ``optimize``; the files of the chosen variant go to the blobs."""
        asked = effort.optimize_config(self.config, self._seconds("optimize"))

        def make() -> OptimizeRecord:
            means = Means(self.train, KeptInFolder(self.space.folder / "made"))
            done = optimize(
                self.model,
                self.signature,
                self.data,
                asked,
                means=means,
                progress=self.space.progress,
            )
            blobs = payload.keep_files(self.space.blobs, done.files)
            return msgspec.structs.replace(done.record, blobs=blobs)

        resolved = [digest_of(self.signature), msgspec.to_builtins(replace_seconds(asked))]
        # A search that was cut short goes on where it ended, so only a whole one is reused.
        last = self.space.records.latest("optimize", self.model.digest) if asked.allow else None
        again = last is not None and last.body.status == "partial"
        return self._step(
            "optimize", make, resolved=resolved, measured=True, again=again, seconds=asked.seconds
        )

    def package(self) -> Stored:
        """Draft the bundle; the same inputs give the same digest."""

        def make() -> PackageRecord:
            self.space.progress.step("package")
            known, fresh = (self.data, None) if self.train is None else (self.train, self.data)
            return payload.draft(self.space, self.model, self.decided, self.optimized, known, fresh)

        resolved = [digest_of(self.decided), digest_of(self.optimized.variant)]
        extra = [self.optimized.blobs, self.config.line.seed, digest_of(self.config.ood)]
        return self._step("package", make, resolved=[resolved, extra], measured=True)

    def robustness(self) -> Stored:
        """Send strange rows through the very bundle that will ship, in a process of its own."""
        asked = effort.robustness_config(self.config, self._seconds("robustness"))
        book = WorkspaceBook(self.space, self.name, self.bundle.digest)
        resolved = msgspec.to_builtins(replace_seconds(asked))

        def make() -> RobustnessRecord:
            self._require_time("robustness")
            bundle = self.bundle
            with HostedVariant(bundle.folder, bundle.variant, bundle.signature) as model:
                return robustness(
                    model,
                    self.decided,
                    self.data,
                    asked,
                    subject=bundle.digest,
                    inputs=bundle.variant.inputs,
                    ends=(model,),
                    fingerprint=bundle.fingerprint,
                    book=book,
                    progress=self.space.progress,
                )

        return self._step(
            "robustness",
            make,
            # What earlier versions failed at is asked again, so it decides what the record says.
            resolved=[resolved, book.digest] if book.digest else resolved,
            subject=self.bundle.digest,
            seconds=asked.seconds,
        )

    def loadtest(self) -> Stored:
        """Serve the bundle on loopback and measure its latency, or search what it carries."""
        searched = effort.search_config(self.config)
        asked = effort.loadtest_config(self.config) if searched is None else searched
        division = self._division()
        settings = {"workers": division.workers, "threads": division.threads}

        def make() -> Any:
            self._require_time("loadtest")
            if searched is not None:
                standing = Standing(self.name, self._served_bundle)
                return load_bundle(self.space, standing, searched, self.data)
            with self.served() as url:
                return loadtest(
                    url,
                    self.decided,
                    self.data,
                    effort.loadtest_config(self.config),
                    subject=self.bundle.digest,
                    settings=settings,
                    progress=self.space.progress,
                )

        return self._step(
            "loadtest",
            make,
            resolved=[msgspec.to_builtins(asked), settings],
            measured=True,
            subject=self.bundle.digest,
        )

    @property
    def _served_bundle(self) -> ServedBundle:
        proven = self.optimized.proven(self.bundle.digest)
        return ServedBundle(0, self.bundle.digest, self.bundle.folder, proven)

    def _division(self) -> Division:
        asked = self.config.serve
        return division_of(asked.workers, asked.threads, [self.bundle.folder])

    @contextmanager
    def served(self) -> Iterator[str]:
        """Yield the URL of a server of the drafted bundle, for as long as the block runs."""
        division = self._division()
        config = ServeConfig(
            host="127.0.0.1", port=0, workers=division.workers, threads=division.threads
        )
        state = Path(tempfile.mkdtemp(prefix="afterfit-serve-"))
        try:
            with (
                (state / "server.log").open("wb") as log,
                start_server({self.name: self._served_bundle}, config, state, log=log) as server,
            ):
                yield server.url
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def walk(self, steps: tuple[str, ...] = STEPS) -> dict[str, Stored]:
        """Return the records after running the steps in order.

        Evidence that cannot be had (robustness, loadtest) is told as skipped; what the bundle
        itself needs raises, and so does the step that the walk is for.
        """
        for step in steps:
            try:
                self.records[step] = getattr(self, step)()
            except AfterfitError as error:
                if step not in {"robustness", "loadtest"} or step == self.required:
                    raise
                self.skipped[step] = in_record(error)
                self.space.progress.say(f"  ! {step} was skipped: {error.message} {error.why}")
        return self.records

    def _seconds(self, step: str) -> float:
        """Return how long a step may take; the one that the walk is for is never out of time."""
        if step == self.required:
            return effort.most_seconds(self.config.line.effort, step)
        return self.budget.share(step)

    def _require_time(self, step: str) -> None:
        if step != self.required:
            self.budget.require(step)

    def _step(
        self,
        step: str,
        make: Any,
        *,
        resolved: Any,
        measured: bool = False,
        subject: str = "",
        again: bool = False,
        seconds: float | None = None,
    ) -> Stored:
        return self.space.run_step(
            step,
            make,
            subject=subject or self.model.digest,
            inputs=self.inputs,
            resolved=resolved,
            measured=measured,
            fresh=self.fresh or again,
            args=asked_of(step, self.sources, self.space.given),
            seconds=seconds,
        )


@contextmanager
def opened_line(
    space: Workspace, sources: Sources, name: str, *, fresh: bool, required: str = ""
) -> Iterator[Line]:
    """Yield a line on the user's model and tables; the model's process ends with the block.

    Its time begins here.
    """
    searched = effort.search_config(space.config)
    own = {} if searched is None else {"loadtest": 1.5 * searched.budget_s}
    budget = effort.Budget(space.config.line.effort, own=own)
    code = sources.code or (Path(space.config.model.code) if space.config.model.code else None)
    sources = replace(sources, code=code)
    if is_mlflow(sources.model):
        brought = bring(space, str(sources.model))
        sources = replace(sources, model=brought.file, origin=brought.source)
    sources = from_dvc(space, sources)
    data, train = read_sources(sources, space.config.data)
    with space.open_model(sources.model, code=code) as model:
        yield Line(space, sources, data, train, model, name, budget, fresh=fresh, required=required)


def alone(space: Workspace, step: str, sources: Sources, *, fresh: bool = False) -> Stored:
    """Return the record of one step, after those that it needs; raises what stops it."""
    space.reused = []
    name = space.config.model.name or name_of(sources.model)
    with opened_line(space, sources, name, fresh=fresh, required=step) as line:
        return space.attach_where_due(line.walk((*NEEDS[step], step))[step])
