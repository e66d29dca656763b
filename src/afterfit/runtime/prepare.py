"""What a worker prepares for an endpoint document: models that are loaded, measured and divided.

What the document has in common with the one that serves is kept as it is, its queue included.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from afterfit.errors import InternalError
from afterfit.runtime.contract import check_same_contract
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.memory import resident_bytes
from afterfit.runtime.predict import Predictor, load_bundle
from afterfit.runtime.proving import log_proof
from afterfit.runtime.settings import Prepare, WorkerSettings
from afterfit.runtime.shadow import ShadowLink, ShadowSender
from afterfit.runtime.slots import CONSTANT, Slot, SlotKey, SlotRole
from afterfit.runtime.traffic import CanaryRule, Constant

__all__ = ["Division", "Loader", "Prepared", "commit", "release"]


class Division(NamedTuple):
    """Who else answers or sees the requests for a model."""

    canary: CanaryRule | None = None
    stand_in: LiveModel | None = None
    shadows: ShadowSender | None = None


class Prepared(NamedTuple):
    """A document and its models, ready to serve; ``sizes`` are bytes of memory by digest."""

    endpoint: Endpoint
    slots: tuple[Slot, ...]
    models: dict[str, LiveModel]
    divisions: dict[str, Division]
    sizes: dict[str, int]

    @property
    def all(self) -> list[LiveModel]:
        """Every model that may answer."""
        others = [
            other
            for canary, stand_in, _ in self.divisions.values()
            for other in (canary.model if canary else None, stand_in)
            if other is not None
        ]
        return [*self.models.values(), *others]


class Loader:
    """Loads what a document asks for, beside the models that serve; runs in a thread."""

    def __init__(self, service: Service, settings: WorkerSettings, link: ShadowLink) -> None:
        self.service = service
        self.settings = settings
        self.link = link

    def load(self, message: Prepare) -> Prepared:
        """Return what serves the document; raises what keeps a bundle from being loaded."""
        loading = _Loading(self, message)
        try:
            return loading.run()
        except BaseException:
            loading.close()
            raise


class _Loading:
    """One document being prepared."""

    def __init__(self, loader: Loader, message: Prepare) -> None:
        self.service, self.settings, self.link = loader.service, loader.settings, loader.link
        self.message = message
        self.slots = {slot.key: slot for slot in message.slots}
        serving = [m for model in self.service.models.values() for m in model.answering]
        self.known = {(m.name, m.role, m.digest, m.version): m for m in serving if m.digest}
        self.loaded = {m.digest: m for m in serving if m.digest}
        self.fresh: dict[str, Predictor] = {}
        self.sizes: dict[str, int] = {}

    def run(self) -> Prepared:
        """Return what serves the document."""
        endpoint = self.message.endpoint
        models, divisions = {}, {}
        for name, route in endpoint.models.items():
            if route.loaded:
                models[name] = self._model(name, "primary", route.primary, route)
                divisions[name] = self._division(name, route, models[name])
        return Prepared(endpoint, self.message.slots, models, divisions, self.sizes)

    def close(self) -> None:
        """Let go of what was loaded for nothing."""
        for predictor in self.fresh.values():
            predictor.close()

    def _division(self, name: str, route: ModelRoute, primary: LiveModel) -> Division:
        canary = None
        if route.canary is not None:
            model = self._model(name, "canary", route.canary.digest, route)
            check_same_contract(primary.signature, model.signature, f"$.models.{name}.canary")
            canary = CanaryRule(route.canary, model)
        return Division(canary, self._stand_in(name, route, primary), self._shadows(name, route))

    def _stand_in(self, name: str, route: ModelRoute, primary: LiveModel) -> LiveModel | None:
        stand_in = route.stand_in
        if stand_in is None:
            return None
        if stand_in.constant is None:
            model = self._model(name, "stand_in", stand_in.digest, route)
            check_same_contract(primary.signature, model.signature, f"$.models.{name}.stand_in")
            model.marks = ((MARK, str(model.version or model.digest)),)
            return model
        reference = primary.predictor.fingerprint
        constant = Constant(stand_in.constant, primary.signature, reference)
        model = self._live(name, "stand_in", 0, constant, CONSTANT)
        model.marks = ((MARK, CONSTANT),)
        return model

    def _shadows(self, name: str, route: ModelRoute) -> ShadowSender | None:
        if not route.shadow:
            return None
        keys = [
            SlotKey(model=name, role="pair", digest=digest, against=route.primary)
            for digest in route.shadow
        ]
        pairs = [self.service.metrics.pair(self.slots.get(key)) for key in keys]
        return ShadowSender(self.link, pairs)

    def _model(self, name: str, role: SlotRole, digest: str, route: ModelRoute) -> LiveModel:
        number = route.number(digest)
        known = self.known.get((name, role, digest, number))
        if known is not None:
            return known
        predictor = self._predictor(digest)
        model = self._live(name, role, number, predictor, digest)
        self._measure(model)
        return model

    def _live(
        self,
        name: str,
        role: SlotRole,
        number: int,
        predictor: Predictor | Constant,
        digest: str,
    ) -> LiveModel:
        slot = self.slots.get(SlotKey(model=name, role=role, digest=digest))
        tally = self.service.metrics.model(slot)
        return LiveModel(name, number, predictor, self.settings.limits, role=role, tally=tally)

    def _predictor(self, digest: str) -> Predictor:
        serving = self.loaded.get(digest)
        if serving is not None:
            if not isinstance(serving.predictor, Predictor):
                raise InternalError("a constant has no digest")
            return serving.predictor
        if digest not in self.fresh:
            before = resident_bytes()
            # The golden rows that are checked here have also warmed the model.
            self.fresh[digest] = load_bundle(
                Path(self.message.folders[digest]), threads=self.settings.threads, expected=digest
            )
            self.sizes[digest] = max(0, resident_bytes() - before)
            log_proof(digest, self.fresh[digest].proof)
        return self.fresh[digest]

    def _measure(self, model: LiveModel) -> None:
        """Let batches begin at the right size: by what is known of the model, or golden rows."""
        batcher = self.service.batcher(model)
        serving = self.loaded.get(model.digest)
        if serving is not None and serving.batcher is not None:
            batcher.learn_from(serving.batcher)
            return
        rows = model.predictor.golden_rows()
        if rows is not None:
            model.measure(rows, batcher.learn)


MARK = "x-afterfit-stand-in"


def commit(service: Service, prepared: Prepared) -> list[LiveModel]:
    """Make the service serve what was prepared; return the models that serve no longer.

    They keep who stands in for them, until the last request inside is answered.
    """
    before = [m for model in service.models.values() for m in model.answering]
    service.models = prepared.models
    service.document, service.slots = prepared.endpoint, prepared.slots
    for name, model in prepared.models.items():
        model.divide(*prepared.divisions[name])
    now = {id(model) for model in prepared.all}
    return [model for model in before if id(model) not in now]


def release(service: Service, models: list[LiveModel]) -> None:
    """End what models that serve no longer hold: threads, processes, and what points in circles.

    The models of now may go on with some of their predictors.
    """
    kept = {id(m.predictor) for model in service.models.values() for m in model.answering}
    for model in models:
        if model.batcher is not None:
            model.batcher.close()
        if id(model.predictor) not in kept:
            model.predictor.close()
        model.forget()
