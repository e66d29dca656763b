"""A worker without a supervisor: a process of somebody else answers as a worker of ours does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from afterfit.runtime.access import observer
from afterfit.runtime.app import App
from afterfit.runtime.asgi import AsgiApp
from afterfit.runtime.endpoint import Endpoint, check
from afterfit.runtime.keys import KeyRing
from afterfit.runtime.live import Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.prepare import Loader, commit, release
from afterfit.runtime.routes_repository import add_repository
from afterfit.runtime.settings import Prepare, WorkerSettings
from afterfit.runtime.shadow import ShadowLink
from afterfit.runtime.worker import WATCH_SECONDS, make_journal

__all__ = ["Alone"]


class Alone:
    """The models of an endpoint, loaded, verified and warmed in this process, behind ``app``.

    ``folders`` maps each digest to its bundle folder. Its counters are its own: ``/metrics`` tells
    of this process alone. Made off the event loop or on it; it answers on one loop only. Raises
    what keeps a bundle from being loaded, and UsageError for a document that means nothing.
    """

    def __init__(
        self, settings: WorkerSettings, endpoint: Endpoint, folders: Mapping[str, str], worker: str
    ) -> None:
        check(endpoint)
        self.metrics = Metrics()
        self.journal = make_journal(settings, worker, self.metrics)
        self.service = Service(self.metrics, self.journal, settings.batching)
        self.ring = (
            KeyRing(Path(settings.keys), share=settings.key_share) if settings.keys else None
        )
        loader = Loader(self.service, settings, ShadowLink(None))
        message = Prepare(request=0, endpoint=endpoint, folders=dict(folders))
        commit(self.service, loader.load(message))
        app = App(
            self.service,
            endpoint=settings.endpoint,
            routes=settings.routes,
            ring=self.ring,
            public_docs=settings.public_docs or self.ring is None,
        )
        add_repository(app, None)
        app.generation, app.ready = endpoint.generation, True
        self.metrics.set("ready", 1)
        self.app = app
        self.asgi = AsgiApp(app, settings.http, app.count_refused, observer(settings.access_log))

    async def watch(self) -> None:
        """Read the keys anew when their file changes, until cancelled."""
        while self.ring is not None:
            await asyncio.sleep(WATCH_SECONDS)
            self.ring.reload_if_changed()

    def close(self) -> None:
        """Write the last events and let go of the models; a second close does nothing."""
        self.app.ready = False
        models = list(self.service.models.values())
        self.service.models = {}
        release(self.service, models)
        self.journal.close()
