"""Follows the list of erased customers: their lines have no customer from then on, and their histories are removed."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from recsys.recommender import Recommender
from services.common.erased import Erased
from services.common.erasure_list import BadErasureList, Source, read_erased
from services.common.tasks import in_daemon_thread
from services.recommender.model_startup import ModelActivator
from services.recommender.serving import Serving

logger = logging.getLogger(__name__)

POLL_S = 5.0


class ErasureFollower:
    """Applies the list to every model that answers. Runs on the event loop; the list is read in a thread."""

    def __init__(self, source: Source, activator: ModelActivator, serving: Callable[[], Serving]) -> None:
        self._source = source
        self._activator = activator
        self._serving = serving
        self._removed: dict[str, Erased] = {}  # by version
        self._failing = False
        self.erased: Erased | None = None

    async def step(self) -> None:
        """Read the list once and apply it. While S3 is away the list stays as it was."""
        try:
            self.erased = await in_daemon_thread(lambda: read_erased(self._source))
            self._failing = False
        except (BadErasureList, BotoCoreError, ClientError, OSError) as error:
            if not self._failing:  # once an outage
                logger.warning("the list of erased customers cannot be read, will retry: %s", error)
            self._failing = True
        if self.erased is None:
            return
        self._activator.use_erased(self.erased)
        served = self._serving().models()
        self._removed = {
            each.model.version: self._removed[each.model.version]
            for each in served
            if each.model.version in self._removed
        }
        for each in served:
            version = each.model.version
            if self._removed.get(version) != self.erased:
                await _remove(each.recommender, self.erased)
                self._removed[version] = self.erased


async def _remove(recommender: Recommender, erased: Erased) -> None:
    """Hashing each customer takes a second for a million of them: in a thread, so that answers go on."""
    found = await asyncio.to_thread(_among, recommender.live.customers(), erased)
    for customer in found:
        recommender.forget(customer)


def _among(customers: Sequence[str], erased: Erased) -> list[str]:
    return [customer for customer in customers if customer in erased]
