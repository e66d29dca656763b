"""The workspace: configuration, stores and the verbs as methods."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from afterfit.core.gate import GateResult
from afterfit.monitor.config import MonitorConfig
from afterfit.package.config import PackageConfig
from afterfit.package.run import package_for
from afterfit.predict.config import PredictConfig
from afterfit.predict.run import predict_file
from afterfit.records.codec import Stored
from afterfit.registry.version import GateRefusal, Promotion, Version
from afterfit.runtime.embed import EmbeddedModel
from afterfit.runtime.predict import load_bundle
from afterfit.serve.run import ServedBundle
from afterfit.workspace.evidence import attached, refreshed
from afterfit.workspace.folder import WorkspaceFolder
from afterfit.workspace.proven import proven_of
from afterfit.workspace.sources import Told, sources_of

if TYPE_CHECKING:
    from afterfit.loadtest.config import LoadConfig
    from afterfit.records.robustness_cases import CaseFile, KeptCase
    from afterfit.report.score import Attestation, Score
    from afterfit.robustness.endpoint.config import EndpointConfig
    from afterfit.workspace.labelling import Added
    from afterfit.workspace.placing import ToldReplica, Traffic
    from afterfit.workspace.scoring import Card
    from afterfit.workspace.serving import Served


class Workspace(WorkspaceFolder):
    """A folder that carries records, blobs and versions between steps, and the verbs as methods.

    It is opened as `WorkspaceFolder` says. A version is told by a reference: ``churn@champion``,
    ``churn@3``, ``churn@DIGEST``.
    """

    def evidence(self, version: Version) -> dict[str, Stored]:
        """Return the records attached to a version by step; raises IntegrityError for a bad one."""
        return {step: self.records.get(digest) for step, digest in version.evidence.items()}

    def attach(self, ref: str, record: str) -> Version:
        """Return a version with a record, told by its digest, as its evidence of that step."""
        return attached(self, ref, self.records.get(record))

    def attach_where_due(self, stored: Stored) -> Stored:
        """Return the record, attached to versions of its bundle without evidence that counts."""
        refreshed(self, stored)
        return stored

    def judge(self, ref: str) -> tuple[GateResult, ...]:
        """Return what each gate of the configuration says of a version; see `judging.judge`."""
        from afterfit.workspace.judging import judge

        version = self.registry.resolve(ref)
        return judge(self, version, self.evidence(version))

    def promote(
        self,
        name: str,
        number: int,
        *,
        alias: str = "champion",
        why: str = "",
        override: str | None = None,
    ) -> Promotion | GateRefusal:
        """Return the move of an alias, or the refusal where a gate did not pass.

        The gates are judged anew on the version's records; ``override`` is a reason, kept in the
        audit log, to promote all the same.
        """
        from afterfit.workspace.approving import check_override, with_approvals

        check_override(self, override)
        version = self.registry.resolve(f"{name}@{number}")
        gates = with_approvals(self, version, alias, self.judge(f"{name}@{number}"))
        return self.registry.promote(
            name, number, alias, who=self.who, why=why, gates=gates, override=override
        )

    def rollback(
        self, name: str, *, why: str = "", alias: str = "champion", target: int | None = None
    ) -> Promotion:
        """Return the move of an alias back to the last version that it held, or to ``target``."""
        return self.registry.rollback(name, who=self.who, why=why, alias=alias, target=target)

    def version(self, ref: str) -> ServedBundle:
        """Return the version that ``ref`` names, checked out on this machine and verified."""
        found = self.registry.resolve(ref)
        folder = self.registry.checkout(found)
        return ServedBundle(found.number, found.digest, folder, proven_of(self.records, found))

    def load(self, ref: str, *, events: bool = True) -> EmbeddedModel:
        """Return a version to be asked in this process: validation and events as when served."""
        found = self.registry.resolve(ref)
        return EmbeddedModel(
            self.registry.checkout(found),
            name=found.name,
            version=found.number,
            events=self.events if events else None,
            expected=found.digest,
        )

    def predict(
        self, ref: str, source: Path, output: Path, config: PredictConfig | None = None
    ) -> Stored:
        """Return the record of scoring a file with a version."""
        started = time.monotonic()
        bundle = self.version(ref)
        predictor = load_bundle(bundle.folder, expected=bundle.digest)
        record = predict_file(predictor, source, output, config, progress=self.progress)
        return self.keep(record, started=started)

    def release(self, ref: str) -> Any:
        """Return the newest Release of the version that ``ref`` names, its page rendered anew."""
        from afterfit.workspace.publish import latest_release

        found = self.registry.resolve(ref)
        return latest_release(self, found.name, found.number)

    def score(self, ref: str) -> Score:
        """Return the ML Test Score of a version, each point with its evidence."""
        from afterfit.workspace.scoring import score_of

        return score_of(self, self.registry.resolve(ref))

    def attest(self, ref: str, item: str, *, why: str, days: int = 180) -> Attestation:
        """Return your word that an item of the score is looked after; see `scoring.attest`."""
        from afterfit.workspace.scoring import attest

        return attest(self, ref, item, why=why, days=days)

    def card(self, ref: str) -> Card:
        """Return the model card of a version: a page, and Markdown as Hugging Face reads it."""
        from afterfit.workspace.scoring import card_of

        return card_of(self, self.registry.resolve(ref))

    def cases(self, ref: str) -> CaseFile:
        """Return what a version failed at in its smallest form, with the values of real rows."""
        from afterfit.workspace.case_book import cases_of

        return cases_of(self, self.registry.resolve(ref))

    def export_cases(
        self, ref: str, folder: Path, *, real_rows: bool = False
    ) -> tuple[KeptCase, ...]:
        """Return the cases of a version that are now tests in a folder; see `exported.export`."""
        from afterfit.workspace.exported import export

        return export(self, self.registry.resolve(ref), folder, real_rows=real_rows)

    def add_labels(self, ref: str, file: Path, columns: Mapping[str, str] | None = None) -> Added:
        """Return what became of a file of labels; see `labelling.add_labels` for ``columns``."""
        from afterfit.workspace.labelling import add_labels

        return add_labels(self, ref, file, columns or {})

    def package(self, ref: str, destination: str, folder: Path, config: PackageConfig) -> Stored:
        """Return the record of writing what a destination needs to run a version.

        Name, number and sizes are the version's own, whatever ``config`` says.
        """
        from afterfit.workspace.packaging import packaged

        started = time.monotonic()
        self.progress.step("package")
        bundle, told = packaged(self, self.registry.resolve(ref), config)
        record = package_for(destination, bundle, folder, told, progress=self.progress)
        return self.keep(record, started=started)

    def ship(self, model: Any, data: Any, target: Any = None, **options: Any) -> Any:
        """Return the Release of a model; see `afterfit.ship` for the options."""
        from afterfit.workspace.ship import ship

        return ship(self, model, data, target, **options)

    def inspect(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the signature of a model and its rows, and what is odd about them.

        Here as for the other steps ``model``, ``data`` and ``target`` are as in `afterfit.ship`,
        and the steps that this one needs run before it, where their records cannot be reused.
        """
        return self._alone("inspect", model, data, target, told, fresh=fresh)

    def assess(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of how good the model is, with intervals and beside a baseline."""
        return self._alone("assess", model, data, target, told, fresh=fresh)

    def optimize(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the forms of the model, and of the one that would ship."""
        return self._alone("optimize", model, data, target, told, fresh=fresh)

    def robustness(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of what strange rows did to the bundle that would ship."""
        return self._alone("robustness", model, data, target, told, fresh=fresh)

    def loadtest(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the latency of the bundle that would ship, served on loopback."""
        return self._alone("loadtest", model, data, target, told, fresh=fresh)

    def robustness_endpoint(self, url: str, config: EndpointConfig, **reach: Any) -> Stored:
        """Return the record of strange requests to a server; see the step for ``reach``."""
        from afterfit.robustness.endpoint.run import robustness_endpoint

        started = time.monotonic()
        record = robustness_endpoint(url, config, progress=self.progress, **reach)
        return self.keep(record, started=started)

    def loadtest_endpoint(self, endpoint: str, config: LoadConfig, **asked: Any) -> Stored:
        """Return the record of a version, bundle or URL under load; see `loading` for ``asked``."""
        from afterfit.workspace.loading import loadtest_endpoint

        return loadtest_endpoint(self, endpoint, config, **asked)

    def platforms(
        self,
        ref: str = "",
        traffic: Traffic | str | Path = "",
        *,
        told: ToldReplica | None = None,
        peak: float | None = None,
        probes: Sequence[Path] = (),
        **asked: Any,
    ) -> Stored:
        """Return the record of where a version is best run, what that costs, and why not elsewhere.

        ``traffic`` is a path, or a shape with its ``peak`` (requests/s). ``told`` are numbers of
        one replica where no load test has them, ``probes`` results of probes. ``asked`` are
        settings of ``[platforms]``, such as ``require=["hipaa", "region=eu"]`` or
        ``weights={"cost": 3}``.
        """
        from afterfit.workspace.placing import ToldReplica, Traffic, place_version
        from afterfit.workspace.placing_names import known_regions
        from afterfit.workspace.required import asked_of, settings_of

        of = traffic if isinstance(traffic, Traffic) else Traffic(trace=str(traffic), peak=peak)
        config = asked_of(settings_of(self.config.platforms, of.file(known_regions(self))), **asked)
        return place_version(self, ref, of, told or ToldReplica(), config, probes)[0]

    def serve(self, *refs: str, **options: Any) -> AbstractContextManager[Served]:
        """Return a server of versions, for a ``with`` block; see `serving` for the options."""
        from afterfit.workspace.serving import serving

        return serving(self, refs, **options)

    def monitor(
        self, ref: str, config: MonitorConfig | None = None, *, rows: Path | None = None
    ) -> Stored:
        """Return the record of what a version saw and said, from its events and live counts.

        ``rows`` is a file of labelled rows to judge by, which are kept beside the version.
        """
        from afterfit.workspace.watching import report_on_events

        asked = config or MonitorConfig(gates=self.config.gates)
        return report_on_events(self, ref, asked, rows=rows)

    def monitor_log(
        self, log: str | Path, mapping: Mapping[str, str], config: MonitorConfig, **beside: Any
    ) -> Stored:
        """Return the record of anyone's prediction log; see `report_on_log` for ``beside``."""
        from afterfit.workspace.watching import report_on_log

        return report_on_log(self, log, mapping, config, **beside)

    def _alone(
        self, step: str, model: Any, data: Any, target: Any, told: Told, *, fresh: bool
    ) -> Stored:
        from afterfit.workspace.line import alone

        return alone(self, step, sources_of(model, data, target, told), fresh=fresh)
