"""Whether what a customer has bought is left out of answers: what the validation of the served model chose."""

import asyncio
from concurrent.futures import Executor

from botocore.exceptions import BotoCoreError, ClientError

from services.gateway.upstreams.model_registry import Registry
from services.gateway.upstreams.outages import Outages
from services.gateway.upstreams.recommender_client import ModelWatch

_PART = "the served model's manifest"


class ShopsChoice:
    """Keeps the choice of the model that was served last, by its manifest; until one is known, bought is left out."""

    def __init__(self, model: ModelWatch, registry: Registry, threads: Executor) -> None:
        self._model = model
        self._registry = registry
        self._threads = threads
        self._outages = Outages()
        self._version: str | None = None
        self.leaves_out_bought = True

    async def refresh(self) -> None:
        """Look once, where another model is served than before."""
        version = self._model.version
        if version is None or version == self._version:
            return
        try:
            composition = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._registry.composition, version
            )
        except (BotoCoreError, ClientError) as error:
            self._outages.begun(_PART, error)
            return
        self._outages.over(_PART)
        self._version, self.leaves_out_bought = version, composition.get("mask_bought") is not False
